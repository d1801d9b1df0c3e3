"""Listeners as people ask for them: one line for each filter chain, with what it matches and where it leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HCM = "envoy.filters.network.http_connection_manager"
_TCP = "envoy.filters.network.tcp_proxy"
#: What Istio's layout calls the listeners that take every captured connection.
_VIRTUAL = {"virtualOutbound", "virtualInbound"}

Kind = Literal["HTTP", "TCP", "HTTP+TCP", "UNKNOWN"]


class ListenerRow(NamedTuple):
    """One line of `proxy-config listener`."""

    address: str
    port: str
    match: str
    destination: str


def listener_kind(listener: Mapping[str, Any]) -> Kind:
    """By the filters of its chains."""
    names = {f.get("name") for chain in _chains(listener) for f in chain.get("filters") or ()}
    http, tcp = _HCM in names, _TCP in names
    if http and tcp:
        return "HTTP+TCP"
    return "HTTP" if http else "TCP" if tcp else "UNKNOWN"


def listener_matches(
    listener: Mapping[str, Any], *, port: int | None = None, address: str | None = None, kind: str | None = None
) -> bool:
    """Whether a listener passes the filters given."""
    where, number = listener_address(listener)
    return (
        (port is None or number == port)
        and (address is None or where.lower() == address.lower())
        and (kind is None or listener_kind(listener) == kind.upper())
    )


def listener_address(listener: Mapping[str, Any]) -> tuple[str, int | None]:
    """Address and port; a pipe has no port."""
    address = listener.get("address") or {}
    if "pipe" in address:
        return str(address["pipe"].get("path", "")), None
    socket = address.get("socket_address") or {}
    return str(socket.get("address", "")), int(socket.get("port_value") or 0)


def listener_rows(listeners: Iterable[Mapping[str, Any]]) -> list[ListenerRow]:
    """Sorted by port and address; chains in their order."""
    ordered = sorted(listeners, key=lambda each: (listener_address(each)[1] or 0, listener_address(each)[0]))
    rows: dict[ListenerRow, None] = {}
    for listener in ordered:
        where, number = listener_address(listener)
        for chain in _chains(listener):
            rows[ListenerRow(where, str(number or "-"), chain_match(chain), destination(chain, listener))] = None
    return list(rows)


def _chains(listener: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    default = listener.get("default_filter_chain")
    return [*(listener.get("filter_chains") or ()), *([default] if default else ())]


def chain_match(chain: Mapping[str, Any]) -> str:
    """`SNI: …; Trans: …; App: …; Addr: …`, or ALL."""
    rule = chain.get("filter_chain_match") or {}
    parts = []
    if names := rule.get("server_names"):
        parts.append(f"SNI: {','.join(names)}")
    if transport := rule.get("transport_protocol"):
        parts.append(f"Trans: {transport}")
    if protocols := rule.get("application_protocols"):
        parts.append(f"App: {','.join(protocols)}")
    port = rule.get("destination_port")
    if ranges := [_range(each) for each in rule.get("prefix_ranges") or ()]:
        parts.append(f"Addr: {','.join(ranges)}" + (f":{port}" if port else ""))
    elif port:
        parts.append(f"Addr: *:{port}")
    return "; ".join(parts) or "ALL"


def _range(each: Mapping[str, Any]) -> str:
    prefix, length = str(each.get("address_prefix", "")), each.get("prefix_len") or 0
    return prefix if length == (128 if ":" in prefix else 32) else f"{prefix}/{length}"


def destination(chain: Mapping[str, Any], listener: Mapping[str, Any]) -> str:
    """Where the chain leads: a cluster, a route configuration, or what an inline one does."""
    for network in chain.get("filters") or ():
        config = network.get("typed_config") or {}
        if network.get("name") == _HCM:
            if name := (config.get("rds") or {}).get("route_config_name"):
                return f"Route: {name}"
            return _inline(config.get("route_config") or {})
        if network.get("name") == _TCP:
            return _tcp(config, chain, listener)
    return "Non-HTTP/Non-TCP"


def _inline(configuration: Mapping[str, Any]) -> str:
    routes = [route for host in configuration.get("virtual_hosts") or () for route in host.get("routes") or ()]
    clusters = dict.fromkeys(
        cluster for route in routes if (cluster := (route.get("route") or {}).get("cluster")) is not None
    )
    if len(clusters) == 1 and len(routes) == 1:
        (cluster,) = clusters
        rule = routes[0].get("match") or {}
        if rule.get("prefix") == "/" or not cluster or "|" in cluster:
            return cluster if "|" not in cluster else f"Cluster: {cluster}"
    paths = [str(r.get("path") or f"{r.get('prefix', '')}*") for route in routes if (r := route.get("match") or {})]
    return f"Inline Route: {', '.join(paths)}"


def _tcp(config: Mapping[str, Any], chain: Mapping[str, Any], listener: Mapping[str, Any]) -> str:
    if "weighted_clusters" in config:
        return ", ".join(
            f"Cluster: {each.get('name', '')} ({each.get('weight', 0)})"
            for each in config["weighted_clusters"].get("clusters") or ()
        )
    cluster = str(config.get("cluster") or "")
    if cluster == "BlackHoleCluster" and listener.get("name") in _VIRTUAL and chain.get("filter_chain_match"):
        # The chain that refuses connections to the listener's own port.
        return "Non-HTTP/Non-TCP"
    return f"Cluster: {cluster}" if "|" in cluster else cluster
