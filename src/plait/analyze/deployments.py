"""Workloads: the user they run as, and Services that disagree about their ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import at, labels, mapping, mappings, number, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import DEPLOYMENT, POD, SERVICE
from plait.analyze.messages import APPLICATION_UID, CONFLICTING_PORTS, MULTIPLE_PROTOCOLS
from plait.analyze.pods import PROXY, containers, deployment_in_mesh, is_control_plane
from plait.analyze.selectors import selects
from plait.analyze.world import Index, Item, World

PROXY_UID: Final = 1337
_PROXIES: Final = frozenset({PROXY, "istio-operator"})
_MANAGED: Final = "gateway.networking.k8s.io/managed"


def _check_user(_world: World, item: Item) -> Iterator[Finding]:
    if is_control_plane(item):
        return
    path, spec = ("spec", item.spec)
    if item.kind == DEPLOYMENT:
        path, spec = "spec.template.spec", mapping(item.spec, "template", "spec")
    if at(spec, "securityContext", "runAsUser") == PROXY_UID:
        yield _as_proxy(item, f"{path}.securityContext.runAsUser", "the pod")
    for index, container in enumerate(containers(spec, init=False)):
        name = text(container, "name")
        if name not in _PROXIES and at(container, "securityContext", "runAsUser") == PROXY_UID:
            yield _as_proxy(item, f"{path}.containers[{index}].securityContext.runAsUser", f"container {name}")


def _as_proxy(item: Item, path: str, where: str) -> Finding:
    return found(APPLICATION_UID, item, path, fix="any other number", value=PROXY_UID, where=where)


_SERVICES: Final = Index((SERVICE,), lambda item, _: (item.namespace,) if labels(item.spec, "selector") else ())


def _check_ports(world: World, item: Item) -> Iterator[Finding]:
    if item.labels.get(_MANAGED) == "istio.io-mesh-controller" or not deployment_in_mesh(world, item):
        return
    carried = labels(item.spec, "template", "metadata", "labels")
    services = [
        service
        for service in world.find(_SERVICES, item.namespace)
        if selects(labels(service.spec, "selector"), carried)
    ]
    protocols: dict[int, dict[str, list[str]]] = {}
    targets: dict[str, dict[int, str]] = {}
    for service in services:
        for _, port in mappings(service.spec, "ports"):
            protocol = text(port, "protocol") or "TCP"
            names = protocols.setdefault(number(port, "port"), {}).setdefault(protocol, [])
            names.append(service.full_name)
            targets.setdefault(target_port(port), {})[number(port, "port")] = service.full_name
    for port_number, by_protocol in sorted(protocols.items()):
        if len(by_protocol) > 1:
            names = sorted(name for listed in by_protocol.values() for name in listed)
            yield found(
                MULTIPLE_PROTOCOLS,
                item,
                "metadata.name",
                services=", ".join(names),
                port=port_number,
                deployment=item.name,
            )
    for target, by_port in sorted(targets.items()):
        if len(by_port) > 1:
            yield found(
                CONFLICTING_PORTS,
                item,
                "metadata.name",
                services=", ".join(sorted(set(by_port.values()))),
                ports=", ".join(map(str, sorted(by_port))),
                target=target,
                deployment=item.name,
            )


def target_port(port: Mapping[str, Any]) -> str:
    """Where a Service's port leads, a number or a name: its own number unless it says otherwise."""
    target = port.get("targetPort")
    return str(target) if isinstance(target, str | int) and target else str(number(port, "port"))


USER: Final = Analyzer(
    name="applicationUID.Analyzer", messages=(APPLICATION_UID,), subjects=(POD, DEPLOYMENT), check=_check_user
)

ANALYZERS: Final = (
    USER,
    Analyzer(
        name="deployment.MultiServiceAnalyzer",
        messages=(MULTIPLE_PROTOCOLS, CONFLICTING_PORTS),
        subjects=(DEPLOYMENT,),
        check=_check_ports,
    ),
)
