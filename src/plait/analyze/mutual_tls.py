"""Clients and servers that disagree about mutual TLS: what a DestinationRule sends, a PeerAuthentication refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import labels, mapping, mappings, number, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import DESTINATION_RULE, PEER_AUTHENTICATION, SERVICE
from plait.analyze.known_hosts import find_host
from plait.analyze.messages import CONFLICTING_TLS
from plait.analyze.pods import pod_in_mesh, pods_selected
from plait.analyze.selectors import selects
from plait.analyze.world import Index, Item, World

_POLICIES: Final = Index((PEER_AUTHENTICATION,), lambda item, _: (item.namespace,))


def _check(world: World, item: Item) -> Iterator[Finding]:
    known = find_host(world, text(item.spec, "host"), item.namespace)
    if known is None or known.item.kind != SERVICE:
        return
    policy = mapping(item.spec, "trafficPolicy")
    places = [("spec.trafficPolicy.tls", mapping(policy, "tls"), 0)]
    for index, settings in mappings(policy, "portLevelSettings"):
        path = f"spec.trafficPolicy.portLevelSettings[{index}].tls"
        places.append((path, mapping(settings, "tls"), number(settings, "port", "number")))
    for path, tls, port in places:
        mode = text(tls, "mode")
        if not mode:
            continue
        asked, by = mode_wanted(world, known.item)
        if mode != "ISTIO_MUTUAL" and asked == "STRICT":
            where = f"port {port} of " if port else ""
            detail = (
                f"mode {mode} sends no mutual TLS to {where}{known.item.full_name}, but its pods accept nothing else: "
                f"{by} says STRICT"
            )
            yield found(CONFLICTING_TLS, item, path, fix="mode: ISTIO_MUTUAL", value=mode, detail=detail)
        elif mode == "ISTIO_MUTUAL" and asked == "DISABLE":
            detail = f"mode ISTIO_MUTUAL, but the pods of {known.item.full_name} do not speak it: {by} says DISABLE"
            yield found(CONFLICTING_TLS, item, path, fix="mode: DISABLE", value=mode, detail=detail)


def mode_wanted(world: World, service: Item) -> tuple[str, str]:
    """(mode, policy) that holds for the pods of a Service: a workload's own, its namespace's, the mesh's; or empty."""
    selector = labels(service.spec, "selector")
    pods = [pod for pod in pods_selected(world, selector, service.namespace) if pod_in_mesh(world, pod)]
    own = sorted(world.find(_POLICIES, service.namespace), key=lambda policy: policy.age)
    mesh = sorted(world.find(_POLICIES, world.root_namespace), key=lambda policy: policy.age)
    if not selector or not pods:
        return "", ""
    narrow = [
        policy for policy in own if (wants := _selector(policy)) and all(selects(wants, pod.labels) for pod in pods)
    ]
    wide = [policy for policy in (*own, *mesh) if not _selector(policy)]
    for policy in (*narrow, *wide):
        mode = text(policy.spec, "mtls", "mode")
        if mode and mode != "UNSET":
            return mode, str(policy.key)
    return "", ""


def _selector(policy: Item) -> dict[str, str]:
    return labels(policy.spec, "selector", "matchLabels")


ANALYZERS: Final = (
    Analyzer(name="plait.MutualTLS", messages=(CONFLICTING_TLS,), subjects=(DESTINATION_RULE,), check=_check),
)
