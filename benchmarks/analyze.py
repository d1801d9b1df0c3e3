"""What an analysis costs: a whole mesh from nothing, and one object at the API's door.

Against reading the same objects from YAML, which every analysis of files does first. CPU time, the best of some rounds.
Then what it costs istiod to keep the findings of the larger mesh current: memory, all once, and after single changes.

    .venv/bin/python benchmarks/analyze.py [--services N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import yaml

from plait.analyze.analysis import analyze, judge
from plait.analyze.current import CurrentFindings
from plait.analyze.world import Item, World
from plait.api.meta import ObjectKey
from plait.api.yaml import read_yaml
from plait.xds.engine import Engine, Remove, Upsert


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
    kept_current(given.services)


def kept_current(services: int) -> None:
    """Print what following the mesh costs."""
    objects = {(one["kind"], one["metadata"]["name"]): one for one in mesh(services, full=True)}
    everything = [Upsert(obj) for obj in objects.values()]
    held = memory(everything)
    one = Followed()
    one.engine.apply(everything)
    cost = one.change(*everything, told=True)
    print(f"\nkept current: {held / 1e6:.1f} MB")
    print(f"{'change':42} {'judged':>8} {'CPU':>10} {'longest':>9}")
    pod, rule, service = objects["Pod", "s5-v1"], objects["DestinationRule", "s5"], objects["Service", "s5"]
    route = json.loads(json.dumps(objects["VirtualService", "s5"]))
    route["spec"]["http"][0]["route"][0]["weight"] = 80
    narrow = {**rule, "spec": {**rule["spec"], "subsets": rule["spec"]["subsets"][:1]}}
    rows = (
        ("all, once", cost),
        ("an endpoint", one.change(Upsert(endpoint("s5")))),
        ("a pod's status", one.change(Upsert({**pod, "status": {"podIP": "10.0.0.9"}}))),
        ("a pod that goes", one.change(gone(pod))),
        ("the pod that all subsets v1 stand on goes", one.change(gone(objects["Pod", "s0-v1"]))),
        ("a VirtualService", one.change(Upsert(route))),
        ("a DestinationRule loses a subset", one.change(Upsert(narrow))),
        ("a DestinationRule goes", one.change(gone(rule))),
        ("a Service goes", one.change(gone(service))),
        ("a new namespace", one.change(Upsert({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}))),
    )
    for name, (judged, spent, longest) in rows:
        print(f"{name:42} {judged:>8} {spent * 1000:>8.2f}ms {longest * 1000:>7.2f}ms")


def memory(changes: list[Upsert]) -> int:
    """Bytes held for the findings of a mesh, beside the engine's."""
    one = Followed()
    one.engine.apply(changes)
    tracemalloc.start()
    one.change(*changes, told=True)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held


class Followed:
    """An engine, and the findings of its objects."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.current = CurrentFindings(self.engine.entry, lambda key, _: self.engine.problems_of(key))
        self.engine.listen(self.current.moved)

    def change(self, *changes: Upsert | Remove, told: bool = False) -> tuple[int, float, float]:
        """(objects judged, seconds of CPU, the longest step) after changes that the engine has taken in."""
        if not told:
            self.engine.apply(changes)
        judged, longest, begun = self.current.judged, 0.0, time.process_time()
        for change in changes:
            if isinstance(change, Upsert):
                self.current.put(change.obj)
            else:
                self.current.remove(change.group, ObjectKey(change.kind, change.namespace, change.name))
        while True:
            since = time.process_time()
            if not self.current.step():
                return self.current.judged - judged, time.process_time() - begun, longest
            longest = max(longest, time.process_time() - since)


def gone(obj: dict[str, Any]) -> Remove:
    meta = obj["metadata"]
    return Remove(obj["apiVersion"].rpartition("/")[0], obj["kind"], meta["namespace"], meta["name"])


def endpoint(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.9"]}],
        "ports": [{"name": "http", "port": 8080}],
    }


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
