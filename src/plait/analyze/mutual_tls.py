"""Clients and servers that disagree about mutual TLS: what a DestinationRule sends, a PeerAuthentication refuses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import labels, mapping, mappings, number, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import DESTINATION_RULE, SERVICE
from plait.analyze.known_hosts import find_host
from plait.analyze.messages import CONFLICTING_TLS
from plait.analyze.pods import containers, pod_in_mesh, pods_selected
from plait.analyze.world import Item, World
from plait.mesh.peers import PeerMode, peer_policies
from plait.snapshot.contribution import sorted_labels


def _check(world: World, item: Item) -> Iterator[Finding]:
    known = find_host(world, text(item.spec, "host"), item.namespace)
    if known is None or known.item.kind != SERVICE:
        return
    yield from _judge(world, item, known.item, _Policy("spec.trafficPolicy", mapping(item.spec, "trafficPolicy")))
    for index, subset in mappings(item.spec, "subsets"):
        policy = mapping(subset, "trafficPolicy")
        place = _Policy(f"spec.subsets[{index}].trafficPolicy", policy, labels(subset, "labels"))
        yield from _judge(world, item, known.item, place)


class _Policy(NamedTuple):
    """A policy of a rule; `of` are the labels of the pods it is about."""

    path: str
    content: dict[str, Any]
    of: Mapping[str, str] = MappingProxyType({})


def _judge(world: World, item: Item, service: Item, place: _Policy) -> Iterator[Finding]:
    """What one policy gets wrong about the pods of a Service."""
    root, policy, of = place
    own = {number(settings, "port", "number"): index for index, settings in mappings(policy, "portLevelSettings")}
    ports = [number(port, "port") for _, port in mappings(service.spec, "ports")]
    places = [(root, policy, 0, [port for port in ports if port not in own])]
    for port, index in own.items():
        settings = mapping(policy["portLevelSettings"][index])
        places.append((f"{root}.portLevelSettings[{index}]", settings, port, [port]))
    for path, settings, port, concerned in places:
        mode = text(settings, "tls", "mode")
        if not mode:
            continue
        asked = demanded(world, service, concerned, of)
        wrong = "DISABLE" if mode == "ISTIO_MUTUAL" else "STRICT"
        against = next((each for each in asked if each.mode == wrong), None)
        if against is None:
            continue
        where = f"port {port} of " if port else ""
        by = against.origin.object if against.origin is not None else ""
        if wrong == "STRICT":
            detail = (
                f"mode {mode} sends no mutual TLS to {where}{service.full_name}, but its pods accept nothing else: "
                f"{by} says STRICT"
            )
            yield found(CONFLICTING_TLS, item, f"{path}.tls", fix="mode: ISTIO_MUTUAL", value=mode, detail=detail)
        else:
            detail = f"mode ISTIO_MUTUAL, but the pods of {where}{service.full_name} do not speak it: {by} says DISABLE"
            yield found(CONFLICTING_TLS, item, f"{path}.tls", fix="mode: DISABLE", value=mode, detail=detail)


def demanded(
    world: World, service: Item, ports: Iterable[int], of: Mapping[str, str] = MappingProxyType({})
) -> tuple[PeerMode, ...]:
    """What the pods of a Service that carry the labels `of` demand of their callers at `ports`, each once; nothing of
    pods without a sidecar.
    """
    selector = labels(service.spec, "selector")
    pods = [pod for pod in pods_selected(world, {**selector, **of}, service.namespace) if pod_in_mesh(world, pod)]
    if not selector or not pods:
        return ()
    policies = peer_policies(world.reader, service.namespace, world.root_namespace)
    wanted = set(ports)
    declared = [port for _, port in mappings(service.spec, "ports") if number(port, "port") in wanted]
    return tuple(
        dict.fromkeys(
            policies.of(sorted_labels(pod.labels)).at(_target(port, pod)) for pod in pods for port in declared
        )
    )


def _target(port: dict[str, object], pod: Item) -> int:
    """Where a pod listens for a Service's port; 0 where that is a name which it does not have."""
    name = text(port, "targetPort")
    if name and not name.isdigit():
        found = (each for each in containers(pod.spec) for _, each in mappings(each, "ports"))
        return next((number(each, "containerPort") for each in found if text(each, "name") == name), 0)
    return int(name or 0) or number(port, "targetPort") or number(port, "port")


ANALYZERS: Final = (
    Analyzer(name="plait.MutualTLS", messages=(CONFLICTING_TLS,), subjects=(DESTINATION_RULE,), check=_check),
)
