"""Rules for a protocol that their host does not speak, or perhaps not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.destinations import RULES, Sent, destinations_of
from plait.analyze.fields import mapping, mappings, number, sequence, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import VIRTUAL_SERVICE
from plait.analyze.mesh_hosts import is_for_sidecars
from plait.analyze.messages import PROTOCOL_GUESSED, PROTOCOL_MISMATCH
from plait.analyze.world import Item, World
from plait.snapshot.hosts import complete_host
from plait.snapshot.keys import ServiceHost
from plait.snapshot.protocols import Protocol


def _check(world: World, item: Item) -> Iterator[Finding]:
    if is_for_sidecars(item):
        idle = [finding for finding in _hosts(world, item) if finding is not None]
        yield from idle
        unused = sum(finding.message is PROTOCOL_MISMATCH for finding in idle)
        if unused == len(texts(item.spec, "hosts")) and len(texts(item.spec, "gateways")) < 2:
            # What its routes would do does not matter when none is ever used.
            return
    for sent in destinations_of(item):
        if sent.protocol == "http":
            yield from _spoken(world, item, sent)


def _hosts(world: World, item: Item) -> Iterator[Finding]:
    """Rules of a kind that a Service has no port for are never looked at."""
    http, tcp = bool(sequence(item.spec, "http")), bool(sequence(item.spec, "tcp"))
    for index, name in enumerate(texts(item.spec, "hosts")):
        service = world.reader.host(complete_host(name, item.namespace, world.domain))
        if service is None:
            continue
        path, ports = f"spec.hosts[{index}]", ", ".join(_port(number, name) for number, _, name in service.ports)
        spoken = [protocol for _, protocol, _ in service.ports]
        if http and not tcp and not any(protocol.may_be_http for protocol in spoken):
            detail = f"{name!r} has no HTTP port ({ports}), so its http rules are not used and connections go on as is"
            fix = "a tcp rule, or a port named http-…"
            yield found(PROTOCOL_MISMATCH, item, path, fix=fix, value=name, detail=detail)
        elif http and not tcp and not any(protocol.is_http for protocol in spoken):
            detail = f"no port of {name!r} is declared as HTTP ({ports}): http rules hold only where HTTP is spoken"
            fix = "a port named http-… or tcp-…"
            yield found(PROTOCOL_GUESSED, item, path, fix=fix, value=name, detail=detail)
        elif tcp and not http and spoken and all(protocol.is_http for protocol in spoken):
            detail = f"{name!r} has only HTTP ports ({ports}), so its tcp rules are not used"
            fix = "an http rule, or a port named tcp-…"
            yield found(PROTOCOL_MISMATCH, item, path, fix=fix, value=name, detail=detail)


def _port(where: int, name: str) -> str:
    return f"{where} {name}" if name else str(where)


def _spoken(world: World, item: Item, sent: Sent) -> Iterator[Finding]:
    """HTTP sent to a port that is not HTTP fails, or gets through by accident, which nobody wants: it says ERROR."""
    service = world.reader.host(complete_host(sent.host, item.namespace, world.domain))
    port = _chosen(service, number(sent.destination, "port", "number")) if service is not None else 0
    protocol = service.protocol(port) if service is not None and port else None
    if service is None or protocol is None or protocol.may_be_http:
        return
    if protocol is Protocol.TLS and _originates_tls(world, item, sent, port):
        return
    hosts = texts(item.spec, "hosts")
    name = next((name for where, _, name in service.ports if where == port), "")
    called, there = ", ".join(hosts), f"{sent.host}, whose port {_port(port, name)} speaks {protocol.value.upper()}"
    if sent.mirror:
        detail = f"copies are lost, since HTTP is sent to {there}"
    elif service.headless and is_for_sidecars(item):
        # Istio: a sidecar opens connections for a headless Service to where its own caller was going.
        detail = (
            f"ERROR: HTTP for {called} is sent to {there}; requests reach {called} all the same, by accident: "
            f"{sent.host} is headless, and for such a host a sidecar connects to the address that was called"
        )
    else:
        detail = f"ERROR: every request for {called} will fail, since HTTP is sent to {there}"
    wanted = next((host for host in hosts if host != sent.host and not host.startswith("*")), "")
    fix = f"host: {wanted}" if wanted else "a host with HTTP"
    yield found(PROTOCOL_MISMATCH, item, f"{sent.path}.host", fix=fix, value=sent.host, detail=detail)


def _originates_tls(world: World, item: Item, sent: Sent, port: int) -> bool:
    """Whether a DestinationRule makes TLS of what is sent to a port, so that HTTP is what belongs there."""
    for rule in world.find(RULES, complete_host(sent.host, item.namespace, world.domain)):
        policies = [mapping(rule.spec, "trafficPolicy")]
        for _, subset in mappings(rule.spec, "subsets"):
            if sent.subset and text(subset, "name") == sent.subset:
                policies.append(mapping(subset, "trafficPolicy"))
        places: list[dict[str, Any]] = []
        for policy in policies:
            places.append(mapping(policy, "tls"))
            for _, settings in mappings(policy, "portLevelSettings"):
                if number(settings, "port", "number") in {0, port}:
                    places.append(mapping(settings, "tls"))
        if any(text(tls, "mode") in {"SIMPLE", "MUTUAL"} for tls in places):
            return True
    return False


def _chosen(service: ServiceHost, port: int) -> int:
    """The port that requests go to; 0 where the one that was called decides, or it is not there."""
    numbers = [where for where, _, _ in service.ports]
    if port:
        return port if port in numbers else 0
    return numbers[0] if len(numbers) == 1 else 0


ANALYZERS: Final = (
    Analyzer(
        name="plait.Protocols",
        messages=(PROTOCOL_MISMATCH, PROTOCOL_GUESSED),
        subjects=(VIRTUAL_SERVICE,),
        check=_check,
    ),
)
