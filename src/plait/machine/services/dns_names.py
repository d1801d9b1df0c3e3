"""The names of the cluster: what Services and EndpointSlices mean as DNS (Kubernetes' DNS specification 1.1).

A name that exists but has nothing of the type asked for is NODATA, never NXDOMAIN: musl gives up a name whose AAAA
is NXDOMAIN although its A exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any, Final

from plait.machine.host_sockets import HOST_NAME
from plait.machine.services.dns_message import Answer, Authority, Code, Question, Record, Service, Type

#: Seconds. A VIP never changes; endpoints of a headless Service do.
VIP_TTL: Final = 30
HEADLESS_TTL: Final = 5
NEGATIVE_TTL: Final = 5

_CHAIN: Final = 8
_TOLERATE: Final = "service.alpha.kubernetes.io/tolerate-unready-endpoints"


@dataclass(frozen=True, slots=True)
class Port:
    """A named port, as SRV has it."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """An endpoint: its name below the Service, its address and its ports (a slice's, not the Service's)."""

    name: str
    address: IPv4Address
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One Service. `vip` is None for a headless one, which then answers with `hosts`."""

    namespace: str
    name: str
    vip: IPv4Address | None = None
    external: str | None = None
    ports: tuple[Port, ...] = ()
    hosts: tuple[Host, ...] = ()


class Names:
    """The Services of a cluster by name and by address. An update costs what changed.

    `host` is the address of the machine's own loopback, where pods may reach it.
    """

    def __init__(
        self, *, domain: str = "cluster.local", network: IPv4Network | None = None, host: IPv4Address | None = None
    ) -> None:
        self.domain = domain
        self.host = host
        self.network = network
        self._namespaces: dict[str, dict[str, Entry]] = {}
        self._addresses: dict[IPv4Address, dict[tuple[str, str], str]] = {}

    def update(self, service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]] = ()) -> None:
        """Put in a Service with all of its EndpointSlices, in place of what was known of it."""
        entry = _entry(service, slices)
        self.remove(entry.namespace, entry.name)
        self._namespaces.setdefault(entry.namespace, {})[entry.name] = entry
        for address, name in self._pointers(entry):
            self._addresses.setdefault(address, {})[entry.namespace, entry.name] = name

    def remove(self, namespace: str, name: str) -> None:
        """Forget a Service; one that is not known is no error."""
        entry = self._namespaces.get(namespace, {}).pop(name, None)
        if entry is None:
            return
        if not self._namespaces[namespace]:
            del self._namespaces[namespace]
        for address, _ in self._pointers(entry):
            known = self._addresses.get(address, {})
            known.pop((namespace, name), None)
            if not known:
                self._addresses.pop(address, None)

    def find(self, namespace: str, name: str) -> Entry | None:
        """A Service by its name."""
        return self._namespaces.get(namespace, {}).get(name)

    def has_namespace(self, namespace: str) -> bool:
        """Whether the namespace has any Service."""
        return namespace in self._namespaces

    def pointers(self, address: IPv4Address) -> tuple[str, ...]:
        """The names of an address."""
        return tuple(sorted(self._addresses.get(address, {}).values()))

    def host_name(self, entry: Entry, host: Host | None = None) -> str:
        """The full name of a Service, or of one of its endpoints."""
        service = f"{entry.name}.{entry.namespace}.svc.{self.domain}"
        return service if host is None else f"{host.name}.{service}"

    def _pointers(self, entry: Entry) -> list[tuple[IPv4Address, str]]:
        if entry.vip is not None:
            return [(entry.vip, self.host_name(entry))]
        return [(host.address, self.host_name(entry, host)) for host in entry.hosts]


def resolve(question: Question, names: Names, *, turn: int = 0) -> Answer | None:
    """The answer to a question, or None where the name is not of this cluster.

    `turn` rotates the endpoints of a headless Service, so that callers who take the first do not all take the same.
    """
    name = question.name
    zone = tuple(names.domain.split("."))
    if name[-len(zone) :] == zone:
        return _in_zone(name[: -len(zone)], question.type, names, turn)
    if name[-2:] == ("in-addr", "arpa"):
        return _reverse(name[:-2], question.type, names)
    if names.host is not None and name == tuple(HOST_NAME.split(".")):
        return _addresses([names.host], question.type, names, turn, ttl=VIP_TTL)
    return None


def _in_zone(path: tuple[str, ...], type_: int, names: Names, turn: int) -> Answer:
    match path:
        case ():
            return _apex(type_, names)
        case ("svc",) | ("pod",):
            return _no_data(names)
        case (namespace, "svc"):
            return _no_data(names) if names.has_namespace(namespace) else _unknown(names)
        case (*rest, service, namespace, "svc"):
            entry = names.find(namespace, service)
            return _unknown(names) if entry is None else _service(tuple(rest), entry, type_, names, turn)
        case (dashed, namespace, "pod"):
            return _pod(dashed, type_, names)
        case _:
            return _unknown(names)


def _service(rest: tuple[str, ...], entry: Entry, type_: int, names: Names, turn: int) -> Answer:
    if entry.external is not None:
        return _unknown(names) if rest else _alias(entry.external, type_, names, turn)
    match rest:
        case ():
            if type_ == Type.SRV:
                return _srv(entry, None, None, names)
            return _addresses(_everyone(entry), type_, names, turn, ttl=_ttl(entry))
        case (protocol,) if protocol in {"_tcp", "_udp", "_sctp"}:
            return _no_data(names)
        case (port, protocol) if port[:1] == "_" and protocol[:1] == "_":
            return _srv(entry, port[1:], protocol[1:], names, type_=type_)
        case (host,):
            found = [known.address for known in entry.hosts if known.name == host]
            return _addresses(found, type_, names, turn, ttl=HEADLESS_TTL) if found else _unknown(names)
        case _:
            return _unknown(names)


def _everyone(entry: Entry) -> list[IPv4Address]:
    return [entry.vip] if entry.vip is not None else [host.address for host in entry.hosts]


def _ttl(entry: Entry) -> int:
    return VIP_TTL if entry.vip is not None else HEADLESS_TTL


def _addresses(addresses: list[IPv4Address], type_: int, names: Names, turn: int, *, ttl: int) -> Answer:
    if type_ not in {Type.A, Type.ANY} or not addresses:
        return _no_data(names)
    unique = list(dict.fromkeys(addresses))
    first = turn % len(unique)
    return Answer(records=tuple(Record(None, Type.A, ttl, a) for a in (*unique[first:], *unique[:first])))


def _srv(entry: Entry, port: str | None, protocol: str | None, names: Names, *, type_: int = Type.SRV) -> Answer:
    """SRV of one named port, or of all: to the VIP, or to every endpoint of a headless Service."""
    places: list[tuple[Host | None, tuple[Port, ...]]]
    places = [(None, entry.ports)] if entry.vip is not None else [(host, host.ports) for host in entry.hosts]
    records, additional = [], []
    for host, ports in places:
        target = names.host_name(entry, host)
        wanted = [p for p in ports if port is None or (p.name == port and p.protocol == protocol)]
        records += [Record(None, Type.SRV, _ttl(entry), Service(p.number, target)) for p in wanted]
        address = entry.vip if host is None else host.address
        if wanted and address is not None:
            additional.append(Record(target, Type.A, _ttl(entry), address))
    if not records:
        known = port is None or any(p.name == port and p.protocol == protocol for p in entry.ports)
        return _no_data(names) if known else _unknown(names)
    if type_ not in {Type.SRV, Type.ANY}:
        return _no_data(names)
    return Answer(records=tuple(records), additional=tuple(additional))


def _alias(target: str, type_: int, names: Names, turn: int) -> Answer:
    """A CNAME and, where its target is in the cluster too, what that resolves to."""
    chain: list[Record] = []
    owner: str | None = None
    for _ in range(_CHAIN):
        chain.append(Record(owner, Type.CNAME, VIP_TTL, target))
        labels = tuple(target.lower().rstrip(".").split("."))
        zone = tuple(names.domain.split("."))
        entry = None
        if labels[-len(zone) - 1 :] == ("svc", *zone) and len(labels) == len(zone) + 3:
            entry = names.find(labels[1], labels[0])
        if entry is None or type_ == Type.CNAME:
            break
        owner = target
        if entry.external is None:
            found = _addresses(_everyone(entry), type_, names, turn, ttl=_ttl(entry)).records
            return Answer(records=(*chain, *(Record(owner, r.type, r.ttl, r.data) for r in found)))
        target = entry.external
    return Answer(records=tuple(chain))


def _pod(dashed: str, type_: int, names: Names) -> Answer:
    """`10-42-0-7.NAMESPACE.pod`: the address is in the name."""
    address = _address(dashed.replace("-", "."))
    return _unknown(names) if address is None else _addresses([address], type_, names, 0, ttl=HEADLESS_TTL)


def _reverse(path: tuple[str, ...], type_: int, names: Names) -> Answer | None:
    address = _address(".".join(reversed(path)))
    if address is None or (names.network is not None and address not in names.network):
        return None
    found = names.pointers(address)
    if not found:
        return _unknown(names) if names.network is not None else None
    if type_ not in {Type.PTR, Type.ANY}:
        return _no_data(names)
    return Answer(records=tuple(Record(None, Type.PTR, HEADLESS_TTL, name) for name in found))


def _apex(type_: int, names: Names) -> Answer:
    if type_ in {Type.SOA, Type.ANY}:
        return Answer(records=(_soa(names),))
    if type_ == Type.NS:
        return Answer(records=(Record(None, Type.NS, VIP_TTL, f"ns.dns.{names.domain}"),))
    return _no_data(names)


def _soa(names: Names) -> Record:
    return Record(names.domain, Type.SOA, NEGATIVE_TTL, Authority(f"ns.dns.{names.domain}", NEGATIVE_TTL))


def _no_data(names: Names) -> Answer:
    return Answer(authority=(_soa(names),))


def _unknown(names: Names) -> Answer:
    return Answer(code=Code.NXDOMAIN, authority=(_soa(names),))


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def _entry(service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]]) -> Entry:
    metadata, spec = service.get("metadata") or {}, service.get("spec") or {}
    namespace, name = metadata.get("namespace") or "default", metadata["name"]
    if spec.get("type") == "ExternalName":
        return Entry(namespace=namespace, name=name, external=spec.get("externalName") or "")
    unready = bool(spec.get("publishNotReadyAddresses"))
    unready = unready or (metadata.get("annotations") or {}).get(_TOLERATE) == "true"
    return Entry(
        namespace=namespace,
        name=name,
        vip=_address(str(spec.get("clusterIP"))),
        ports=tuple(_ports(spec.get("ports"), "port")),
        hosts=tuple(sorted(_hosts(slices, unready=unready), key=lambda host: (host.address, host.name))),
    )


def _hosts(slices: Iterable[Mapping[str, Any]], *, unready: bool) -> Iterable[Host]:
    for piece in slices:
        if piece.get("addressType", "IPv4") != "IPv4":
            continue
        ports = tuple(_ports(piece.get("ports"), "port"))
        for endpoint in piece.get("endpoints") or ():
            # No condition means ready.
            if not unready and (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            for text in endpoint.get("addresses") or ():
                if (address := _address(str(text))) is not None:
                    host = endpoint.get("hostname") or str(address).replace(".", "-")
                    yield Host(name=host.lower(), address=address, ports=ports)


def _ports(ports: Iterable[Mapping[str, Any]] | None, field: str) -> Iterable[Port]:
    for port in ports or ():
        if isinstance(number := port.get(field), int):
            yield Port(port.get("name") or "", (port.get("protocol") or "TCP").lower(), number)
