"""What the servers of a gateway proxy lead to: the VirtualServices bound to their Gateways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from plait.mesh.gateway_servers import GatewayListener, GatewayServer, Serving, server_hosts
from plait.mesh.origin import Origin
from plait.mesh.routes import Route
from plait.mesh.tcp_routes import TCPWay
from plait.snapshot.hosts import Hosts
from plait.snapshot.keys import RuleEntry

_INGRESS: Final = "Ingress"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayHost:
    """One virtual host of a gateway; `redirect` answers 301 to https. `number` is the port of its first server."""

    host: str
    number: int
    routes: tuple[Route, ...]
    redirect: bool
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerWays:
    """Where connections to one server go, for its listener's filter chains."""

    server: GatewayServer
    ways: tuple[TCPWay, ...]


def gateway_hosts(
    servers: Iterable[GatewayServer],
    *,
    rules: Callable[[str], Iterable[RuleEntry]],
    routes: Callable[[RuleEntry, GatewayServer], tuple[Route, ...]],
) -> tuple[GatewayHost, ...]:
    """The virtual hosts of `servers`, which share a route configuration; sorted by host.

    `rules` answers the VirtualServices bound to a gateway in order of precedence, `routes` what one of them says.
    VirtualServices of one host are merged in that order; routes that catch everything go last.
    """
    merged: dict[str, list[Route]] = {}
    origins: dict[str, Origin] = {}
    redirected: set[str] = set()
    numbers: dict[str, int] = {}
    for server in servers:
        allowed = _allowed(server)
        for entry in (entry for name in (server.gateway_name, *server.joined) for entry in rules(name)):
            common = allowed(entry.namespace).common(entry.hosts)
            found = routes(entry, server) if common else ()
            for host in sorted(common) if found else ():
                merged.setdefault(host, []).extend(found)
                numbers.setdefault(host, server.number)
                written = found[0].origin.object
                origins.setdefault(host, Origin(written if written.kind == _INGRESS else entry.key))
                if server.https_redirect:
                    redirected.add(host)
        if server.https_redirect:
            for text in server.hosts:
                host = text.rpartition("/")[2].lower()
                merged.setdefault(host, [])
                numbers.setdefault(host, server.number)
                origins.setdefault(host, server.origin)
                redirected.add(host)
    return tuple(
        GatewayHost(
            host=host,
            number=numbers[host],
            routes=_in_order(merged[host]),
            redirect=host in redirected,
            origin=origins[host],
        )
        for host in sorted(merged)
    )


def _in_order(routes: list[Route]) -> tuple[Route, ...]:
    """Routes that catch everything last. Paths of Ingresses have no order of their own: the longest holds."""
    if routes and all(route.origin.object.kind == _INGRESS for route in routes):
        routes = sorted(routes, key=_path_rank)
    return tuple(sorted(routes, key=lambda route: route.catches_all))


def _path_rank(route: Route) -> tuple[bool, int]:
    uri = route.match.uri if route.match is not None else None
    if uri is None:
        return True, 0
    return uri.exact is None, -len(uri.exact or uri.prefix or "")


def _allowed(server: GatewayServer) -> Callable[[str], Hosts]:
    """Answers which hosts of a server VirtualServices of a namespace may claim."""
    found: dict[str, Hosts] = {}

    def allowed(namespace: str) -> Hosts:
        if namespace not in found:
            found[namespace] = Hosts(server_hosts(server, namespace))
        return found[namespace]

    return allowed


def gateway_ways(
    listener: GatewayListener,
    *,
    rules: Callable[[str], Iterable[RuleEntry]],
    ways: Callable[[RuleEntry, GatewayServer, tuple[str, ...]], tuple[TCPWay, ...]],
) -> tuple[ServerWays, ...]:
    """Where connections to the servers of `listener` go; `ways` answers what one VirtualService says for one server.

    Its last argument are the hosts that both are about. Of two ways for the same connections the first holds. Istio: a
    way by names of which another before it has one is passed over, with all its names.
    """
    taken = {name for server in listener.servers if server.serving is Serving.HTTPS for name in _asked(server.names)}
    result: list[ServerWays] = []
    for server in listener.servers:
        if server.serving.requests or server.serving is Serving.AUTO_PASSTHROUGH:
            continue
        found: list[TCPWay] = []
        allowed = _allowed(server)
        for entry in rules(server.gateway_name):
            common = tuple(sorted(allowed(entry.namespace).common(entry.hosts)))
            for way in ways(entry, server, common) if common else ():
                # Where TLS ends the rules are about what is inside; the server's hosts are about the outside.
                full = replace(way, names=server.names) if server.serving is Serving.TLS else way
                if taken.isdisjoint(_asked(full.names)):
                    taken.update(_asked(full.names))
                    found.append(full)
        result.append(ServerWays(server=server, ways=tuple(found)))
    return tuple(result)


def _asked(names: tuple[str, ...]) -> tuple[str, ...]:
    return names or ("*",)
