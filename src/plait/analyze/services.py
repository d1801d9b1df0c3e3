"""Services: ports that do not say what they speak."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import mappings, number, text
from plait.analyze.finding import Finding
from plait.analyze.kinds import SERVICE
from plait.analyze.messages import EXTERNAL_NAME_PORT, PORT_NAME
from plait.analyze.pods import SYSTEM_NAMESPACES, is_control_plane
from plait.analyze.world import Item, World
from plait.api.kubernetes import ServicePort
from plait.snapshot.protocols import Protocol, protocol_of


def _check(_world: World, item: Item) -> Iterator[Finding]:
    if item.namespace in SYSTEM_NAMESPACES or is_control_plane(item):
        return
    external = text(item.spec, "type") == "ExternalName"
    for index, port in mappings(item.spec, "ports"):
        name = text(port, "name")
        if not (_unclear(port) or (external and name == "tcp")):
            continue
        path, where = f"spec.ports[{index}].name", number(port, "port")
        if external:
            fix = f"http-{name or where}, or no port at all"
            yield found(EXTERNAL_NAME_PORT, item, path, fix=fix, value=name, name=name)
        else:
            fix = f"http-{name or where} or tcp-{name or where}, or set appProtocol"
            yield found(PORT_NAME, item, path, fix=fix, value=name, name=name, port=where)


def _unclear(port: dict[str, Any]) -> bool:
    said = text(port, "appProtocol") or None
    protocol = text(port, "protocol") or "TCP"
    read = ServicePort(port=number(port, "port"), name=text(port, "name"), protocol=protocol, app_protocol=said)
    return protocol_of(read) is Protocol.AUTO


ANALYZERS: Final = (
    Analyzer(
        name="service.PortNameAnalyzer", messages=(PORT_NAME, EXTERNAL_NAME_PORT), subjects=(SERVICE,), check=_check
    ),
)
