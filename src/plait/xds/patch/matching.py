"""What an EnvoyFilter's patch matches, with Istio's rules. A part that is not named matches everything."""

from __future__ import annotations

from typing import Any, Final

from plait.api.envoyfilter import ClusterMatch, FilterChainMatch, ListenerMatch, RouteConfigurationMatch, RouteMatch
from plait.xds import names
from plait.xds.origin import NAMESPACE

_VIRTUAL: Final = frozenset({names.VIRTUAL_INBOUND, names.VIRTUAL_OUTBOUND})
_ACTIONS: Final = {"ROUTE": "route", "REDIRECT": "redirect", "DIRECT_RESPONSE": "direct_response"}
_PARTS: Final = 4


def matches_listener(match: ListenerMatch | None, listener: Any, *, whole: bool) -> bool:
    """Whether a patch is for `listener`; `whole`: the listener itself is what the patch changes.

    The two virtual listeners stand for all ports: inside them the port is asked of each chain.
    """
    if match is None:
        return True
    if match.name and match.name != listener.name:
        return False
    if not whole and listener.name in _VIRTUAL:
        return True
    return not match.port_number or listener.address.socket_address.port_value == match.port_number


def matches_chain(match: ListenerMatch | None, listener: Any, chain: Any) -> bool:
    """Whether a patch is for `chain` of a listener that matches."""
    if match is None:
        return True
    asked = chain.filter_chain_match
    port = asked.destination_port.value
    if listener.name in _VIRTUAL and match.port_number and port != match.port_number:
        return False
    wanted = match.filter_chain
    return wanted is None or _matches_conditions(wanted, chain, port)


def _matches_conditions(wanted: FilterChainMatch, chain: Any, port: int) -> bool:
    asked = chain.filter_chain_match
    if wanted.name and wanted.name != chain.name:
        return False
    if wanted.sni and wanted.sni not in asked.server_names:
        return False
    if wanted.transport_protocol and wanted.transport_protocol != asked.transport_protocol:
        return False
    if wanted.transport_socket and wanted.transport_socket != chain.transport_socket.name:
        return False
    protocols = {text.strip() for text in wanted.application_protocols.split(",") if text.strip()}
    if not protocols.issubset(asked.application_protocols):
        return False
    return not wanted.destination_port or wanted.destination_port == port


def network_filter(match: ListenerMatch | None) -> str:
    """The network filter that is named; empty: any."""
    chain = match.filter_chain if match is not None else None
    return chain.filter.name if chain is not None and chain.filter is not None else ""


def http_filter(match: ListenerMatch | None) -> str:
    """The HTTP filter that is named; empty: any."""
    chain = match.filter_chain if match is not None else None
    inside = chain.filter.sub_filter if chain is not None and chain.filter is not None else None
    return inside.name if inside is not None else ""


def matches_routes(
    match: RouteConfigurationMatch | None, name: str, *, gateway: bool, declared: frozenset[int] = frozenset()
) -> bool:
    """Whether a patch is for the route configuration `name`.

    Istio: ports of gateways are those that servers declare (`declared`), on whichever the gateway listens for them.
    """
    if match is None:
        return True
    if match.name and match.name != name:
        return False
    if not gateway:
        return not match.port_number or match.port_number == _sidecar_port(name)
    port, port_name, owner = _gateway_parts(name)
    return (
        (not match.port_number or match.port_number in (declared or {port}))
        and (not match.port_name or match.port_name == port_name)
        and (not match.gateway or match.gateway == owner)
    )


def _sidecar_port(name: str) -> int:
    """The port of `80`, `HOST:80` and `inbound|8080||`."""
    text = name.split("|")[1] if name.startswith("inbound|") else name.rpartition(":")[2]
    return int(text) if text.isdecimal() else 0


def _gateway_parts(name: str) -> tuple[int, str, str]:
    """Port, name of the server's port and NAMESPACE/GATEWAY of `http.PORT` and `https.PORT.PORTNAME.GATEWAY.NS`."""
    kind, _, rest = name.partition(".")
    parts = rest.split(".")
    port = int(parts[0]) if parts[0].isdecimal() else 0
    if kind == "https" and len(parts) >= _PARTS:
        return port, parts[1], f"{parts[3]}/{parts[2]}"
    return port, "", ""


def matches_host(match: RouteConfigurationMatch | None, host: Any) -> bool:
    """Whether a patch is for a virtual host."""
    wanted = match.vhost if match is not None else None
    if wanted is None:
        return True
    if wanted.name and wanted.name != host.name:
        return False
    return not wanted.domain_name or wanted.domain_name in host.domains


def matches_route(match: RouteConfigurationMatch | None, route: Any) -> bool:
    """Whether a patch is for a route."""
    wanted = wanted_route(match)
    if wanted is None:
        return True
    if wanted.name and wanted.name != route.name:
        return False
    return wanted.action in {"", "ANY"} or bool(route.WhichOneof("action") == _ACTIONS.get(wanted.action))


def wanted_route(match: RouteConfigurationMatch | None) -> RouteMatch | None:
    """What is said about routes, if anything."""
    return match.vhost.route if match is not None and match.vhost is not None else None


def matches_cluster(match: ClusterMatch | None, cluster: Any) -> bool:
    """Whether a patch is for a cluster. An inbound one goes by the services it serves."""
    if match is None:
        return True
    if match.name:
        return bool(match.name == cluster.name)
    direction, port, subset, host = (*cluster.name.split("|"), "", "", "", "")[:_PARTS]
    hosts = {host}
    if direction == "inbound" and NAMESPACE in cluster.metadata.filter_metadata:
        fields = cluster.metadata.filter_metadata[NAMESPACE].fields
        served = fields["svc"].string_value.partition("|")[0] if "svc" in fields else host
        hosts = {served, *(fields["also"].string_value.split(",") if "also" in fields else ())}
    if match.subset and match.subset != subset:
        return False
    if match.service and match.service not in hosts:
        return False
    return not match.port_number or str(match.port_number) == port
