"""A mesh of several clusters: networks of unknown registries, Services that differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import mapping, mappings, sequence, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import SECRET, SERVICE
from plait.analyze.messages import INCONSISTENT_SERVICE, UNKNOWN_REGISTRY
from plait.analyze.world import Index, Item, World

_REGISTRIES: Final = frozenset({"Mock", "Kubernetes", "External"})
_REMOTE: Final = "istio/multiCluster"


def _about_networks(world: World) -> Iterator[Finding]:
    """Istio: registries are those it is built with, by their exact names, and the clusters of remote secrets."""
    owner, networks = world.mesh_networks()
    known = set(_REGISTRIES)
    for secret in world.all(SECRET):
        if secret.labels.get(_REMOTE) == "true":
            known.update(mapping(secret.obj, "data"), mapping(secret.obj, "stringData"))
    for name in sorted(mapping(networks, "networks")):
        network = mapping(networks, "networks", name)
        for index, endpoint in mappings(network, "endpoints"):
            registry = endpoint.get("fromRegistry")
            if isinstance(registry, str) and registry not in known:
                yield Finding(
                    message=UNKNOWN_REGISTRY,
                    object=owner,
                    text=UNKNOWN_REGISTRY.text.format(network=name, registry=repr(registry)),
                    path=f"networks.{name}.endpoints[{index}].fromRegistry",
                    fix=f"one of: {', '.join(sorted(known))}",
                    value=registry,
                )


_SERVICES: Final = Index((SERVICE,), lambda item, _: (item.key,) if item.cluster else ())


def _check_service(world: World, item: Item) -> Iterator[Finding]:
    everywhere = sorted(world.find(_SERVICES, item.key), key=lambda one: one.cluster)
    if len(everywhere) < 2 or item is not everywhere[0]:
        # It is told once, of the first cluster that has it.
        return
    differing: set[str] = set()
    reasons: list[str] = []
    for what, of in (("one is headless", _headless), ("their types", _type), ("their ports", _ports)):
        others = {one.cluster for one in everywhere[1:] if of(one) != of(item)}
        if others:
            differing |= {item.cluster, *others}
            reasons.append(what)
    if reasons:
        clusters = ", ".join(sorted(differing))
        yield found(
            INCONSISTENT_SERVICE, item, "spec", service=item.full_name, clusters=clusters, detail=", ".join(reasons)
        )


def _headless(item: Item) -> bool:
    return text(item.spec, "clusterIP") == "None"


def _type(item: Item) -> str:
    return text(item.spec, "type")


def _ports(item: Item) -> list[Any]:
    ports = [port for port in sequence(item.spec, "ports") if isinstance(port, dict)]
    return sorted(ports, key=lambda port: str(port.get("name", "")))


ANALYZERS: Final = (
    Analyzer(name="meshnetworks.MeshNetworksAnalyzer", messages=(UNKNOWN_REGISTRY,), about=_about_networks),
    Analyzer(
        name="services.MultiClusterServiceAnalyzer",
        messages=(INCONSISTENT_SERVICE,),
        subjects=(SERVICE,),
        check=_check_service,
    ),
)
