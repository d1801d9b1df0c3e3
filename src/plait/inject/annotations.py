"""Annotations of a pod that steer its sidecar: read, checked, and refused by name and value.

Ports and ranges follow istio-iptables: comma separated, `*` means all, an empty value means none.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

TRAFFIC: Final = "traffic.sidecar.istio.io/"
INCLUDE_INBOUND_PORTS: Final = TRAFFIC + "includeInboundPorts"
EXCLUDE_INBOUND_PORTS: Final = TRAFFIC + "excludeInboundPorts"
INCLUDE_OUTBOUND_PORTS: Final = TRAFFIC + "includeOutboundPorts"
EXCLUDE_OUTBOUND_PORTS: Final = TRAFFIC + "excludeOutboundPorts"
INCLUDE_OUTBOUND_RANGES: Final = TRAFFIC + "includeOutboundIPRanges"
EXCLUDE_OUTBOUND_RANGES: Final = TRAFFIC + "excludeOutboundIPRanges"
EXCLUDE_INTERFACES: Final = TRAFFIC + "excludeInterfaces"
INTERCEPTION_MODE: Final = "sidecar.istio.io/interceptionMode"
STATUS: Final = "sidecar.istio.io/status"
INJECT: Final = "sidecar.istio.io/inject"
REVISION: Final = "istio.io/rev"
TEMPLATES: Final = "inject.istio.io/templates"

#: Interface names as the kernel takes them, without what nft would read as a wildcard or a quote.
_INTERFACE = re.compile(r"[A-Za-z0-9_.@:-]{1,15}")


class AnnotationError(ValueError):
    """An annotation of a pod has a value that cannot be followed; says which, and what to write."""

    def __init__(self, annotation: str, value: str, reason: str) -> None:
        super().__init__(f"annotation {annotation}: {value!r}: {reason}")
        self.annotation = annotation
        self.value = value
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Which connections of a pod go through its sidecar. None stands for "all" (`*`)."""

    redirect: bool = True
    inbound_ports: tuple[int, ...] | None = None
    excluded_inbound_ports: tuple[int, ...] = ()
    outbound_ranges: tuple[str, ...] | None = None
    excluded_outbound_ranges: tuple[str, ...] = ()
    outbound_ports: tuple[int, ...] | None = ()
    excluded_outbound_ports: tuple[int, ...] = ()
    excluded_interfaces: tuple[str, ...] = ()


def of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """The annotations of an object; an absent or null map is empty."""
    return (obj.get("metadata") or {}).get("annotations") or {}


def read_capture(annotations: Mapping[str, str]) -> Capture:
    """What to capture; raises AnnotationError at the first value that cannot be followed."""
    mode = annotations.get(INTERCEPTION_MODE, "REDIRECT")
    if mode not in {"REDIRECT", "NONE"}:
        reason = "TPROXY is not supported" if mode == "TPROXY" else "there is no such mode"
        raise AnnotationError(INTERCEPTION_MODE, mode, f"{reason}; write REDIRECT or NONE")
    return Capture(
        redirect=mode == "REDIRECT",
        inbound_ports=_ports_or_all(annotations, INCLUDE_INBOUND_PORTS, absent=None),
        excluded_inbound_ports=_ports(annotations, EXCLUDE_INBOUND_PORTS),
        outbound_ranges=_ranges_or_all(annotations, INCLUDE_OUTBOUND_RANGES),
        excluded_outbound_ranges=_ranges(annotations, EXCLUDE_OUTBOUND_RANGES),
        outbound_ports=_ports_or_all(annotations, INCLUDE_OUTBOUND_PORTS, absent=()),
        excluded_outbound_ports=_ports(annotations, EXCLUDE_OUTBOUND_PORTS),
        excluded_interfaces=_interfaces(annotations),
    )


def _items(value: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in value.split(",") if item.strip())


def _ports_or_all(
    annotations: Mapping[str, str], name: str, *, absent: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    if name not in annotations:
        return absent
    return None if annotations[name].strip() == "*" else _ports(annotations, name)


def _ports(annotations: Mapping[str, str], name: str) -> tuple[int, ...]:
    value = annotations.get(name, "")
    ports = set()
    for item in _items(value):
        if not (item.isascii() and item.isdigit() and 0 < int(item) < 65536):
            star = " or *" if "include" in name else ""
            raise AnnotationError(
                name, value, f"{item!r} is not a port; write port numbers from 1 to 65535 separated by commas{star}"
            )
        ports.add(int(item))
    return tuple(sorted(ports))


def _ranges_or_all(annotations: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    if name not in annotations or annotations[name].strip() == "*":
        return None
    return _ranges(annotations, name)


def _ranges(annotations: Mapping[str, str], name: str) -> tuple[str, ...]:
    """IPv4 ranges, merged where they overlap (nft refuses overlapping intervals); IPv6 is shut, so it is left out."""
    value = annotations.get(name, "")
    networks = []
    for item in _items(value):
        try:
            network = ipaddress.ip_network(item, strict=False)
        except ValueError:
            star = ", or * for all" if "include" in name else ""
            raise AnnotationError(
                name, value, f"{item!r} is not an address range; write ranges like 10.0.0.0/8 separated by commas{star}"
            ) from None
        if isinstance(network, ipaddress.IPv4Network):
            networks.append(network)
    return tuple(str(network) for network in ipaddress.collapse_addresses(networks))


def _interfaces(annotations: Mapping[str, str]) -> tuple[str, ...]:
    value = annotations.get(EXCLUDE_INTERFACES, "")
    for item in _items(value):
        if not _INTERFACE.fullmatch(item):
            raise AnnotationError(
                EXCLUDE_INTERFACES,
                value,
                f"{item!r} is not an interface name; write names like eth1 separated by commas",
            )
    return _items(value)
