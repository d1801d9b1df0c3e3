"""Cells of services, their endpoints in both forms, and ingresses."""

from __future__ import annotations

from typing import Any

from plait.machine.api.objects import at_path, metadata
from plait.machine.api.times import age

Json = dict[str, Any]
Cells = list[Any]

_NONE = "<none>"
_SHOWN = 3


def service(obj: Json, now: float) -> Cells:
    """Name, type, addresses, ports, age; wide: selector."""
    spec = obj.get("spec", {})
    selector = spec.get("selector") or {}
    return [
        metadata(obj)["name"],
        spec.get("type", "ClusterIP"),
        (_NONE if spec.get("type") == "ExternalName" else spec.get("clusterIP")) or _NONE,
        _external(obj),
        ",".join(_port(port) for port in spec.get("ports") or []) or _NONE,
        age(metadata(obj).get("creationTimestamp"), now),
        ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or _NONE,
    ]


def _port(port: Json) -> str:
    number = f"{port.get('port')}:{port['nodePort']}" if port.get("nodePort") else f"{port.get('port')}"
    return f"{number}/{port.get('protocol', 'TCP')}"


def _external(obj: Json) -> str:
    spec = obj.get("spec", {})
    addresses = list(spec.get("externalIPs") or [])
    match spec.get("type", "ClusterIP"):
        case "ExternalName":
            return spec.get("externalName") or _NONE
        case "LoadBalancer":
            given = at_path(obj, "status", "loadBalancer", "ingress", default=None) or []
            text = ",".join(item.get("ip") or item.get("hostname") or "" for item in given)
            if addresses:
                return ",".join([*filter(None, [text]), *addresses])
            return text or "<pending>"
        case _:
            return ",".join(addresses) or _NONE


def endpoint_slice(obj: Json, now: float) -> Cells:
    """Name, address type, ports, endpoints, age; three of each are shown, and how many more there are."""
    ports = [str(port["port"]) if port.get("port") else "*" for port in obj.get("ports") or []]
    addresses = [address for item in obj.get("endpoints") or [] for address in item.get("addresses") or []]
    return [
        metadata(obj)["name"],
        obj.get("addressType", ""),
        _first(ports) if ports else "<unset>",
        _first(addresses) if addresses else "<unset>",
        age(metadata(obj).get("creationTimestamp"), now),
    ]


def endpoints(obj: Json, now: float) -> Cells:
    """Name, addresses with ports, age; only those that are ready, as kubectl users know it."""
    found = [
        f"{address['ip']}:{port['port']}" if port else address["ip"]
        for subset in obj.get("subsets") or []
        for port in subset.get("ports") or [None]
        for address in subset.get("addresses") or []
    ]
    return [
        metadata(obj)["name"],
        _first(found) if found else _NONE,
        age(metadata(obj).get("creationTimestamp"), now),
    ]


def ingress(obj: Json, now: float) -> Cells:
    """Name, class, hosts, address, ports, age."""
    spec = obj.get("spec", {})
    hosts = [rule["host"] for rule in spec.get("rules") or [] if rule.get("host")]
    given = at_path(obj, "status", "loadBalancer", "ingress", default=None) or []
    return [
        metadata(obj)["name"],
        spec.get("ingressClassName") or _NONE,
        _first(hosts) if hosts else "*",
        ",".join(item.get("ip") or item.get("hostname") or "" for item in given),
        "80, 443" if spec.get("tls") else "80",
        age(metadata(obj).get("creationTimestamp"), now),
    ]


def ingress_class(obj: Json, now: float) -> Cells:
    """Name, controller, parameters, age."""
    spec = obj.get("spec", {})
    given = spec.get("parameters") or {}
    kind = ".".join(part for part in (given.get("kind"), given.get("apiGroup")) if part)
    return [
        metadata(obj)["name"],
        spec.get("controller", ""),
        f"{kind}/{given.get('name')}" if given else _NONE,
        age(metadata(obj).get("creationTimestamp"), now),
    ]


def _first(items: list[str]) -> str:
    more = len(items) - _SHOWN
    return ",".join(items[:_SHOWN]) + (f" + {more} more..." if more > 0 else "")
