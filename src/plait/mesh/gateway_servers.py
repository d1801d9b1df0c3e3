"""The servers of the Gateways that select a proxy, merged into listeners by Istio's rules.

Plain HTTP servers of one address share one route configuration. Servers that look at TLS share a listener and are told
apart by the name that clients ask for (SNI). Nothing else shares an address: the oldest Gateway decides what it is, and
of servers of plain TCP only the first is served. A server with TLS settings that names a host which one before it has
is not served at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import attrgetter
from typing import Final, NamedTuple

from plait.api.gateway import Server, ServerTLS
from plait.api.ingress import CONTROLLER
from plait.api.meta import ObjectKey
from plait.api.validate.gateway import HTTP_PROTOCOLS, PROXY_PORTS, TLS_PROTOCOLS
from plait.mesh.inbound import entry_ports, target_port
from plait.mesh.origin import Origin
from plait.snapshot.hosts import service_host
from plait.snapshot.ingresses import written_server
from plait.snapshot.keys import GatewayEntry, Labels
from plait.snapshot.reader import Reader

_TCP: Final = frozenset({"TCP", "MONGO", "MYSQL", "REDIS"})
UNIX: Final = "unix://"
#: On a Service: Gateways that choose by labels do not mean its ports, only those that its pods listen on.
_NO_TRANSLATION: Final = "experimental.istio.io/disable-gateway-port-translation"


class Serving(StrEnum):
    """What a server does with a connection.

    HTTP: plain requests. HTTPS: requests, TLS ends here. TCP: bytes. TLS: bytes, TLS ends here. PASSTHROUGH: TLS goes
    on untouched, to where its SNI says. AUTO_PASSTHROUGH: mutual TLS of the mesh goes on to what its SNI names.
    """

    HTTP = "http"
    HTTPS = "https"
    TCP = "tcp"
    TLS = "tls"
    PASSTHROUGH = "passthrough"
    AUTO_PASSTHROUGH = "auto-passthrough"

    @property
    def secure(self) -> bool:
        """Whether clients speak TLS."""
        return self in {Serving.HTTPS, Serving.TLS, Serving.PASSTHROUGH, Serving.AUTO_PASSTHROUGH}

    @property
    def requests(self) -> bool:
        """Whether it is about requests rather than connections."""
        return self in {Serving.HTTP, Serving.HTTPS}


def serving(protocol: str, tls: ServerTLS | None) -> Serving | None:
    """What a server with this protocol and these settings does; None: it is not served."""
    protocol = protocol.upper()
    if protocol in HTTP_PROTOCOLS:
        return Serving.HTTP
    if protocol in _TCP:
        return Serving.TCP
    if protocol not in TLS_PROTOCOLS or tls is None:
        return None
    if tls.mode == "AUTO_PASSTHROUGH":
        return Serving.AUTO_PASSTHROUGH
    if tls.mode in {"", "PASSTHROUGH"}:
        return Serving.PASSTHROUGH
    return Serving.HTTPS if protocol == "HTTPS" else Serving.TLS


def port_use(protocol: str) -> str | None:
    """What servers must agree in to share a port: requests, connections or TLS; None: a protocol of no server."""
    protocol = protocol.upper()
    for use, protocols in (("http", HTTP_PROTOCOLS), ("tcp", _TCP), ("tls", TLS_PROTOCOLS)):
        if protocol in protocols:
            return use
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayServer:
    """One server of one Gateway. `number` is the port as callers of the gateway's Service see it, `name` the port's.

    `joined` are Gateways, named as in `gateway_name`, whose rules are served here beside this one's own. `grpc_web`:
    calls of gRPC may come as browsers make them.
    """

    gateway: ObjectKey
    path: str
    number: int
    name: str
    hosts: tuple[str, ...]
    serving: Serving
    tls: ServerTLS | None = None
    joined: tuple[str, ...] = ()
    grpc_web: bool = False

    @property
    def gateway_name(self) -> str:
        """As VirtualServices refer to it, in full."""
        return f"{self.gateway.namespace}/{self.gateway.name}"

    @property
    def origin(self) -> Origin:
        """Where it is written."""
        return Origin(*(written_server(self.gateway, self.name) or (self.gateway, self.path)))

    @property
    def https_redirect(self) -> bool:
        """Whether requests are answered 301 to https."""
        return self.serving is Serving.HTTP and self.tls is not None and self.tls.https_redirect

    @property
    def shows_own(self) -> bool:
        """Whether it shows the workload's own certificate, and takes only those of the mesh."""
        return self.tls is not None and self.tls.mode == "ISTIO_MUTUAL"

    @property
    def names(self) -> tuple[str, ...]:
        """The names that clients may ask for, each once; none: any, and no name at all."""
        bare = tuple(dict.fromkeys(host.rpartition("/")[2].lower() for host in self.hosts))
        return () if "*" in bare else bare


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayListener:
    """All servers of one address, the oldest Gateway's first; they are all plain HTTP, all TCP or all with TLS."""

    port: int
    bind: str = ""
    servers: tuple[GatewayServer, ...]

    @property
    def serving(self) -> Serving:
        """What the first server does; with TLS the others may do other things."""
        return self.servers[0].serving


def gateway_listeners(
    reader: Reader, namespace: str, labels: Labels, address: str = "", *, certificates: bool = True
) -> tuple[GatewayListener, ...]:
    """The listeners of the gateway workload with `labels`, by port.

    `address` is the workload's own, where ServiceEntries name it. Without `certificates` of the mesh, servers that need
    one are left out.
    """
    found: dict[tuple[int, str], list[GatewayServer]] = {}
    taken: dict[tuple[int, str], set[str]] = {}
    targets = sorted(_targets(reader, namespace, labels, address), key=_MADE)
    for entry in reader.gateways():
        own = _is_for(reader, entry, labels, targets)
        gateway = reader.gateway(entry.key) if own is not None else None
        for index, given in enumerate(gateway.spec.servers if gateway is not None else ()):
            server = gateway_server(entry.key, index, given)
            if server is None or (server.shows_own and not certificates):
                continue
            unix = given.bind.startswith(UNIX)
            for port in (0,) if unix else _bound_ports(own or [], server.number, chosen=not entry.service):
                place = (port, given.bind)
                if _claims(server, taken.setdefault(place, set())):
                    _merge(found.setdefault(place, []), server)
    return tuple(
        GatewayListener(port=port, bind=bind, servers=tuple(servers))
        for (port, bind), servers in sorted(found.items())
        if servers
    )


class _Target(NamedTuple):
    """A port under which callers know the workload (`number`), and where it listens for them.

    `translates`: Gateways that choose by labels mean `number` too. `made` is when the Service was.
    """

    host: str
    namespace: str
    number: int
    port: int
    translates: bool
    made: str


#: Of several Services of a workload the oldest comes first, of two made at once by host (Istio's rule).
_MADE: Final = attrgetter("made", "host")


def _targets(reader: Reader, namespace: str, labels: Labels, address: str) -> Iterator[_Target]:
    """What Services and ServiceEntries send to a workload (Istio's rule)."""
    for service in reader.services_selecting(namespace, labels):
        host = service_host(service.metadata.name, namespace, reader.domain)
        translates = _NO_TRANSLATION not in service.metadata.labels
        for port in service.spec.ports:
            if port.protocol == "TCP":
                named = reader.named_ports(namespace, labels) if isinstance(port.target_port, str) else {}
                number = target_port(port, named)
                made = service.metadata.creation_timestamp
                yield _Target(host, namespace, port.port, number or port.port, translates, made)
    for key, entry_port, number in entry_ports(reader, namespace, labels, address):
        entry = reader.service_entry(key.namespace, key.name)
        if entry is not None:
            translates = _NO_TRANSLATION not in entry.metadata.labels
            for host in entry.spec.hosts:
                made = entry.metadata.creation_timestamp
                yield _Target(host.lower(), key.namespace, entry_port.number, number, translates, made)


def _is_for(reader: Reader, entry: GatewayEntry, labels: Labels, targets: list[_Target]) -> list[_Target] | None:
    """Of the targets of a workload those that a Gateway may mean; None where it is not for the workload."""
    if entry.ingress_class:
        found = reader.ingress_class(entry.ingress_class)
        if found is None or found.spec.controller != CONTROLLER:
            return None
    if not entry.service:
        return targets if set(labels).issuperset(entry.selector) else None
    hosts = {host.strip() for host in entry.service.split(",")}
    return [each for each in targets if each.host in hosts and each.namespace == entry.namespace] or None


def gateway_server(gateway: ObjectKey, index: int, server: Server) -> GatewayServer | None:
    """One server; None where it is not served."""
    kind = serving(server.port.protocol, server.tls) if server.port is not None else None
    if server.port is None or kind is None:
        return None
    hosts = tuple(
        f"{gateway.namespace}/{host.removeprefix('./')}" if host.startswith("./") else host for host in server.hosts
    )
    return GatewayServer(
        gateway=gateway,
        path=f"spec.servers[{index}]",
        number=server.port.number,
        name=server.port.name,
        hosts=hosts,
        serving=kind,
        tls=server.tls,
        grpc_web=server.port.protocol.upper() == "GRPC-WEB",
    )


def _claims(server: GatewayServer, taken: set[str]) -> bool:
    """Whether a server gets its hosts at an address where those in `taken` are given away.

    Istio: of servers with TLS settings, which a redirect to https is as well, one that shares a host with another
    before it is passed over, with all its hosts. Hosts are the same if they admit rules of the same namespace.
    Ingresses share their hosts.
    """
    if server.tls is None or _of_ingress(server):
        return True
    wanted = claimed_hosts(server.hosts, server.gateway.namespace)
    if not wanted.isdisjoint(taken):
        return False
    taken |= wanted
    return True


def claimed_hosts(hosts: Iterable[str], namespace: str) -> set[str]:
    """The hosts of a server of a Gateway in `namespace`, the same ones in the same words."""
    own = (f"{namespace}/{host.removeprefix('./')}" if host.startswith("./") else host for host in hosts)
    return {host.removeprefix("*/").lower() for host in own}


def _merge(there: list[GatewayServer], server: GatewayServer) -> None:
    """Add `server` to those of an address if it can share it with them.

    Of a name that several servers would end TLS for, for rules of different namespaces, the first keeps it: a proxy
    refuses two. The paths of Ingresses join there.
    """
    if not there:
        there.append(server)
    elif server.serving.secure:
        if not there[0].serving.secure:
            return
        if server.serving is Serving.AUTO_PASSTHROUGH:
            # Names of the mesh's own, which no other server has.
            there.append(server)
            return
        _join(there, server)
        # Servers that pass connections on are told apart by the names in rules: each namespace may have its own.
        scoped = server.serving is Serving.PASSTHROUGH
        there_too = [other for other in there if other.serving is not Serving.AUTO_PASSTHROUGH]
        rivals = [other for other in there_too if not (scoped and other.serving is Serving.PASSTHROUGH)]
        taken = {name for other in rivals for name in other.names or ("*",)}
        same = {host.lower() for other in there_too for host in other.hosts}
        left = tuple(
            host for host in server.hosts if host.rpartition("/")[2].lower() not in taken and host.lower() not in same
        )
        # Any name at all takes in the others of its own server.
        if left and (server.names or "*" not in taken):
            there.append(replace(server, hosts=left))
    elif there[0].serving is server.serving is Serving.HTTP:
        there.append(server)


def _join(there: list[GatewayServer], server: GatewayServer) -> None:
    if not _of_ingress(server):
        return
    wanted = set(server.names or ("*",))
    for index, other in enumerate(there):
        if _of_ingress(other) and not wanted.isdisjoint(other.names or ("*",)):
            there[index] = replace(other, joined=(*other.joined, server.gateway_name))


def _of_ingress(server: GatewayServer) -> bool:
    return written_server(server.gateway, server.name) is not None


def _bound_ports(targets: list[_Target], number: int, *, chosen: bool) -> tuple[int, ...]:
    """Where the proxy listens for a Gateway's port: where its Services' ports of that number lead.

    Istio: for a Gateway `chosen` by labels the first Service with such a port decides, and without one it listens on
    the number itself; one that is for Services has no other ports than theirs.
    """
    ports = [each.port for each in targets if each.number == number and (each.translates or not chosen)]
    if chosen:
        ports = ports[:1] or [number]
    return tuple(port for port in sorted(set(ports)) if port not in PROXY_PORTS)


def server_hosts(server: GatewayServer, namespace: str) -> list[str]:
    """The hosts of `server` that VirtualServices of `namespace` may claim."""
    return _claimable(server.hosts, namespace)


def _claimable(hosts: tuple[str, ...], namespace: str) -> list[str]:
    result = []
    for text in hosts:
        owner, slash, host = text.rpartition("/")
        if not slash or owner in {"*", namespace}:
            result.append(host.lower())
    return result
