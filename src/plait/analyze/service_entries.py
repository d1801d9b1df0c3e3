"""ServiceEntries and WorkloadEntries: addresses that TCP needs or that nobody reaches, protocols that disagree."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import labels, mappings, number, sequence, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import SERVICE, SERVICE_ENTRY, WORKLOAD_ENTRY
from plait.analyze.messages import ADDRESSES_REQUIRED, CONFLICTING_ENTRIES, NAME_OF_SERVICE, NO_IPV6
from plait.analyze.world import Index, Item, World
from plait.api.names import is_ip
from plait.snapshot import keys
from plait.snapshot.hosts import service_host
from plait.snapshot.visibility import EVERYBODY, scopes, visible_in

_LABEL: Final = "networking.istio.io/enable-autoallocate-ip"
_CAPTURE: Final = "ISTIO_META_DNS_CAPTURE"
_ALLOCATE: Final = "ISTIO_META_DNS_AUTO_ALLOCATE"
_ALLOCATE_IN_PILOT: Final = "PILOT_ENABLE_IP_AUTOALLOCATE"


def _check_addresses(world: World, item: Item) -> Iterator[Finding]:
    """Istio: unless addresses are allocated, connections of TCP are told apart by the entry's addresses alone."""
    if sequence(item.spec, "addresses") or sequence(item.obj, "status", "addresses") or _allocated(world, item):
        return
    for index, port in mappings(item.spec, "ports"):
        if text(port, "protocol").upper() in {"", "TCP"}:
            path = f"spec.ports[{index}]"
            fix = "spec.addresses: [240.240.0.1], or a protocol such as TLS that names its host"
            yield found(ADDRESSES_REQUIRED, item, path, fix=fix, port=number(port, "number"))


def _allocated(world: World, item: Item) -> bool:
    """Whether the entry will get an address."""
    if world.surroundings.allocates:
        wildcard = any(host.startswith("*") for host in texts(item.spec, "hosts"))
        return not wildcard and item.labels.get(_LABEL) != "false" and text(item.spec, "resolution") not in {"", "NONE"}
    said = labels(world.mesh_config, "defaultConfig", "proxyMetadata")
    if said.get(_CAPTURE) != "true":
        return False
    return "true" in {said.get(_ALLOCATE), said.get(_ALLOCATE_IN_PILOT)}


_BY_HOST: Final = Index((SERVICE_ENTRY,), lambda item, _: texts(item.spec, "hosts"))


def _check_protocols(world: World, item: Item) -> Iterator[Finding]:
    mine = scopes(texts(item.spec, "exportTo"), item.namespace)
    for host in texts(item.spec, "hosts"):
        beside = [other for other in world.find(_BY_HOST, host) if other is not item]
        for index, port in mappings(item.spec, "ports"):
            where = number(port, "number")
            entries = {item.full_name: {text(port, "protocol").upper()} | _protocols(item, where)}
            for other in beside:
                theirs = scopes(texts(other.spec, "exportTo"), other.namespace)
                if (mine & theirs or EVERYBODY in mine | theirs) and (spoken := _protocols(other, where)):
                    entries[other.full_name] = spoken
            protocols = set().union(*entries.values())
            if len(protocols) > 1:
                path = f"spec.ports[{index}].protocol"
                names = ", ".join(sorted(entries))
                yield found(
                    CONFLICTING_ENTRIES,
                    item,
                    path,
                    value=text(port, "protocol"),
                    entries=names,
                    port=where,
                    host=host,
                    protocols=", ".join(sorted(protocols)),
                )
                # Istio: once for each entry.
                return


def _protocols(item: Item, where: int) -> set[str]:
    return {
        text(port, "protocol").upper() for _, port in mappings(item.spec, "ports") if number(port, "number") == where
    }


def _check_family(world: World, item: Item) -> Iterator[Finding]:
    """Addresses that Istio takes and that lead nowhere where pods have no IPv6."""
    if not world.surroundings.ipv4_only:
        return
    called = [("spec.address", text(item.spec, "address"))]
    called += [
        (f"spec.endpoints[{index}].address", text(endpoint, "address"))
        for index, endpoint in mappings(item.spec, "endpoints")
    ]
    for path, address in called:
        if _is_ipv6(address):
            effect = "calls of it fail"
            yield found(NO_IPV6, item, path, fix="an IPv4 address", value=address, address=address, effect=effect)
    known = texts(item.spec, "addresses")
    if known and all(_is_ipv6(address.partition("/")[0]) for address in known):
        effect = "nobody calls it there"
        yield found(
            NO_IPV6, item, "spec.addresses", fix="an IPv4 address, or none: one is allocated then", value=known[0],
            address=known[0], effect=effect,
        )  # fmt: skip


def _is_ipv6(address: str) -> bool:
    return ":" in address and is_ip(address) and not ip_address(address).is_loopback


def _check_names(world: World, item: Item) -> Iterator[Finding]:
    """Whom callers mean by a name that is a Service's too: see `plait.snapshot.owners`."""
    for index, written in enumerate(texts(item.spec, "hosts")):
        providers = world.reader.providers(written.lower())
        service = next((one for one in providers if one.facts.kind == keys.SERVICE), None)
        entry = next((one for one in providers if _is(one, item)), None)
        if service is None or entry is None or not service.scopes or not entry.scopes:
            continue
        home, owner = item.namespace, f"Service {service.namespace}/{service.name}"
        path = f"spec.hosts[{index}]"
        if home != service.namespace and visible_in(entry.scopes, home):
            if not visible_in(service.scopes, home):
                # Nobody there could call the Service by this name.
                continue
            detail = (
                f"takes the calls of namespace {home} from {owner}, whose name it is: for others that see the Service "
                "it comes first"
            )
            fix = "a host of its own, to which a VirtualService may send calls of the Service"
        elif EVERYBODY in service.scopes or set(entry.scopes) <= set(service.scopes):
            detail = f"is not used: {owner} has this name and comes first"
            fix = "a host of its own"
        else:
            detail = f"is not used by those who see {owner}, which has this name and comes first"
            fix = "a host of its own"
        yield found(NAME_OF_SERVICE, item, path, fix=fix, value=written, detail=detail)


def _check_service(world: World, item: Item) -> Iterator[Finding]:
    """The same for whoever writes the Service."""
    host = service_host(item.name, item.namespace, world.domain)
    for provider in world.reader.providers(host):
        entry = world.get(SERVICE_ENTRY, provider.namespace, provider.name)
        if entry is None or not _is(provider, entry):
            continue
        for told in _check_names(world, entry):
            if str(told.value).lower() == host:
                detail = f"ServiceEntry {entry.full_name} has the name of this Service and {told.text}"
                yield found(NAME_OF_SERVICE, item, "metadata.name", value=item.name, detail=detail)


def _is(provider: keys.HostProvider, item: Item) -> bool:
    facts = provider.facts
    return facts.kind != keys.SERVICE and (provider.namespace, provider.name) == (item.namespace, item.name)


#: For the door alone: elsewhere the entry is told it.
TAKEN: Final = Analyzer(name="plait.TakenNames", messages=(NAME_OF_SERVICE,), subjects=(SERVICE,), check=_check_service)
ANALYZERS: Final = (
    Analyzer(
        name="serviceentry.Analyzer", messages=(ADDRESSES_REQUIRED,), subjects=(SERVICE_ENTRY,), check=_check_addresses
    ),
    Analyzer(
        name="serviceentry.ConflictingServiceEntryProtocolAnalyzer",
        messages=(CONFLICTING_ENTRIES,),
        subjects=(SERVICE_ENTRY,),
        check=_check_protocols,
    ),
    Analyzer(name="plait.NamesOfServices", messages=(NAME_OF_SERVICE,), subjects=(SERVICE_ENTRY,), check=_check_names),
    Analyzer(
        name="plait.AddressFamilies",
        messages=(NO_IPV6,),
        subjects=(SERVICE_ENTRY, WORKLOAD_ENTRY),
        check=_check_family,
    ),
)
