"""What a gateway proxy serves: the Gateways that select its labels, the VirtualServices bound to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from plait.api.gateway import Gateway, Server
from plait.api.meta import ObjectKey
from plait.api.validate_gateway import PROXY_PORTS
from plait.mesh.inbound import target_port
from plait.mesh.origin import Origin
from plait.mesh.routes import Route
from plait.mesh.tcp_routes import TCPWay
from plait.snapshot.hosts import narrower
from plait.snapshot.keys import Labels, RuleEntry
from plait.snapshot.reader import Reader

_HTTP: Final = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY"})
_TCP: Final = frozenset({"TCP", "MONGO"})


def is_tcp(protocol: str) -> bool | None:
    """Whether a server's protocol is opaque connections rather than HTTP; None: it is not served yet."""
    protocol = protocol.upper()
    return protocol in _TCP if protocol in _HTTP | _TCP else None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayServer:
    """One server of one Gateway. `number` is the port as callers of the gateway's Service see it."""

    gateway: ObjectKey
    path: str
    number: int
    hosts: tuple[str, ...]
    https_redirect: bool

    @property
    def gateway_name(self) -> str:
        """As VirtualServices refer to it, in full."""
        return f"{self.gateway.namespace}/{self.gateway.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayListener:
    """All plain servers of one address. Those of HTTP share a listener and a route configuration.

    The oldest Gateway decides whether it is HTTP or, with `tcp`, opaque connections; servers of the other kind are
    not served.
    """

    port: int
    bind: str = ""
    servers: tuple[GatewayServer, ...]
    tcp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayHost:
    """One virtual host of a gateway; `redirect` answers 301 to https."""

    host: str
    routes: tuple[Route, ...]
    redirect: bool
    origin: Origin


def gateway_listeners(reader: Reader, namespace: str, labels: Labels) -> tuple[GatewayListener, ...]:
    """The listeners of the gateway workload with `labels`, by port."""
    carried = set(labels)
    found: dict[tuple[int, str], list[GatewayServer]] = {}
    tcp: dict[tuple[int, str], bool] = {}
    translated: dict[int, tuple[int, ...]] = {}
    for entry in reader.gateways():
        gateway = reader.gateway(entry.key) if carried.issuperset(entry.selector) else None
        for index, server in enumerate(gateway.spec.servers if gateway is not None else ()):
            kind = is_tcp(server.port.protocol) if server.port is not None else None
            if server.port is None or kind is None:
                continue
            number = server.port.number
            if number not in translated:
                translated[number] = _bound_ports(reader, namespace, labels, number)
            item = _server(entry.key, index, server, number)
            for port in translated[number]:
                place = (port, server.bind)
                if tcp.setdefault(place, kind) == kind:
                    found.setdefault(place, []).append(item)
    return tuple(
        GatewayListener(port=place[0], bind=place[1], servers=tuple(servers), tcp=tcp[place])
        for place, servers in sorted(found.items())
    )


def _server(gateway: ObjectKey, index: int, server: Server, number: int) -> GatewayServer:
    hosts = tuple(
        f"{gateway.namespace}/{host.removeprefix('./')}" if host.startswith("./") else host for host in server.hosts
    )
    redirect = server.tls is not None and server.tls.https_redirect
    return GatewayServer(
        gateway=gateway, path=f"spec.servers[{index}]", number=number, hosts=hosts, https_redirect=redirect
    )


def _bound_ports(reader: Reader, namespace: str, labels: Labels, number: int) -> tuple[int, ...]:
    """Where the proxy listens for a Gateway's port: the target ports of its own Services' ports of that number.

    Without such a port it listens on the number itself (Istio's rule for gateways chosen by labels).
    """
    ports: set[int] = set()
    for service in reader.services_selecting(namespace, labels):
        for port in service.spec.ports:
            if port.port == number and port.protocol == "TCP":
                named = reader.named_ports(namespace, labels) if isinstance(port.target_port, str) else {}
                ports.add(target_port(port, named) or number)
    return tuple(port for port in sorted(ports or {number}) if port not in PROXY_PORTS)


def server_hosts(server: GatewayServer, namespace: str) -> list[str]:
    """The hosts of `server` that VirtualServices of `namespace` may claim."""
    result = []
    for text in server.hosts:
        owner, slash, host = text.rpartition("/")
        if not slash or owner in {"*", namespace}:
            result.append(host.lower())
    return result


def served_hosts(gateway: Gateway, namespace: str) -> list[str]:
    """The hosts of `gateway` that VirtualServices of `namespace` may claim, each once."""
    key = ObjectKey("Gateway", gateway.metadata.namespace, gateway.metadata.name)
    servers = (_server(key, index, server, 0) for index, server in enumerate(gateway.spec.servers))
    return list(dict.fromkeys(host for server in servers for host in server_hosts(server, namespace)))


def gateway_hosts(
    listener: GatewayListener,
    *,
    rules: Callable[[str], Iterable[RuleEntry]],
    routes: Callable[[RuleEntry, GatewayServer], tuple[Route, ...]],
) -> tuple[GatewayHost, ...]:
    """The virtual hosts of `listener`, sorted by host.

    `rules` answers the VirtualServices bound to a gateway in order of precedence, `routes` what one of them says.
    VirtualServices of one host are merged in that order; routes that catch everything go last.
    """
    merged: dict[str, list[Route]] = {}
    origins: dict[str, Origin] = {}
    redirected: set[str] = set()
    for server in listener.servers:
        for entry in rules(server.gateway_name):
            allowed = server_hosts(server, entry.namespace)
            common = {both for one in allowed for other in entry.hosts if (both := narrower(one, other)) is not None}
            found = routes(entry, server) if common else ()
            for host in sorted(common) if found else ():
                merged.setdefault(host, []).extend(found)
                origins.setdefault(host, Origin(entry.key))
                if server.https_redirect:
                    redirected.add(host)
        if server.https_redirect:
            for text in server.hosts:
                host = text.rpartition("/")[2].lower()
                merged.setdefault(host, [])
                origins.setdefault(host, Origin(server.gateway, server.path))
                redirected.add(host)
    return tuple(
        GatewayHost(
            host=host,
            routes=tuple(sorted(merged[host], key=lambda route: route.catches_all)),
            redirect=host in redirected,
            origin=origins[host],
        )
        for host in sorted(merged)
    )


def gateway_ways(
    listener: GatewayListener,
    *,
    rules: Callable[[str], Iterable[RuleEntry]],
    ways: Callable[[RuleEntry, GatewayServer], tuple[TCPWay, ...]],
) -> tuple[TCPWay, ...]:
    """Where connections to `listener` go; `ways` answers what one VirtualService says for one server."""
    result: dict[tuple[tuple[str, ...], tuple[str, ...]], TCPWay] = {}
    for server in listener.servers:
        for entry in rules(server.gateway_name):
            allowed = server_hosts(server, entry.namespace)
            if not any(narrower(one, other) is not None for one in allowed for other in entry.hosts):
                continue
            for way in ways(entry, server):
                result.setdefault((way.subnets, way.sources), way)
    return tuple(result.values())
