"""What an analysis costs: a whole mesh from nothing, and one object at the API's door.

Against reading the same objects from YAML, which every analysis of files does first. CPU time, the best of some rounds.

    .venv/bin/python benchmarks/analyze.py [--services N] [--rounds N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import yaml

from plait.analyze.analysis import analyze, judge
from plait.analyze.world import Item, World
from plait.api.yaml import read_yaml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"{'mesh':42} {'objects':>8} {'from YAML':>10} {'analysis':>9} {'ratio':>6} {'one object':>11}")
    for name, full in (("Services, VirtualServices", False), ("the same, DestinationRules, 2 pods each", True)):
        objects = list(mesh(given.services, full=full))
        written = yaml.dump_all(objects, Dumper=yaml.CSafeDumper)
        read = min(reading(written) for _ in range(given.rounds))
        whole, one = min(cost(objects) for _ in range(given.rounds)), at_the_door(objects)
        times = f"{read:>9.2f}s {whole:>8.2f}s {whole / read:>6.2f} {one * 1000:>9.2f}ms"
        print(f"{name:42} {len(objects):>8} {times}")


def reading(written: str) -> float:
    """Seconds of CPU to read manifests."""
    before = time.process_time()
    read_yaml(written)
    return time.process_time() - before


def cost(objects: list[dict[str, Any]]) -> float:
    """Seconds of CPU from JSON to findings."""
    before = time.process_time()
    analyze(World(map(Item, objects)))
    return time.process_time() - before


def at_the_door(objects: list[dict[str, Any]], times: int = 50) -> float:
    """Seconds of CPU to judge a VirtualService that is being written, in a world that is at hand."""
    world = World(map(Item, objects))
    written = [Item(one) for one in objects if one["kind"] == "VirtualService"][:times]
    with world.trying(written[0]):
        judge(world, written[0])
    before = time.process_time()
    for item in written:
        with world.trying(Item(item.obj)):
            judge(world, item)
    return (time.process_time() - before) / len(written)


def mesh(services: int, *, full: bool) -> Iterator[dict[str, Any]]:
    """A namespace with so many services, each with a canary rule; `full` with the rest of what a rule needs."""
    yield {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}},
    }
    for index in range(services):
        name = f"s{index}"
        meta = {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"}
        ports = [{"name": "http", "port": 80}]
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": {"app": name}, "ports": ports},
        }
        split = [{"destination": {"host": name, "subset": f"v{v}"}, "weight": w} for v, w in ((1, 90), (2, 10))]
        http = [{"match": [{"uri": {"prefix": "/a"}}], "route": split}, {"route": [{"destination": {"host": name}}]}]
        yield istio("VirtualService", meta, {"hosts": [name], "http": http})
        if full:
            subsets = [{"name": f"v{v}", "labels": {"version": f"v{v}"}} for v in (1, 2)]
            yield istio("DestinationRule", meta, {"host": name, "subsets": subsets})
            yield from (pod(meta, f"v{v}") for v in (1, 2))


def istio(kind: str, meta: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec}


def pod(meta: dict[str, Any], version: str) -> dict[str, Any]:
    made = {**meta, "name": f"{meta['name']}-{version}", "labels": {"app": meta["name"], "version": version}}
    containers = [{"name": "istio-proxy", "image": "proxy"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": {"containers": containers}}


if __name__ == "__main__":
    main()
