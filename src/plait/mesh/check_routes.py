"""VirtualServices against the rest: gateways, hosts that others claim, and where their routes lead."""

from __future__ import annotations

from collections.abc import Iterator

from plait.api.meta import ObjectKey
from plait.api.problem import Level, Problem
from plait.api.virtualservice import Destination, VirtualService
from plait.mesh.check_destinations import RulesOf, no_such_host, warning
from plait.mesh.destination_rules import subset_labels
from plait.mesh.gateways import served_hosts
from plait.snapshot.hosts import complete_host, narrower
from plait.snapshot.indexes import MESH, destinations_in, gateway_name
from plait.snapshot.keys import ServiceHost
from plait.snapshot.reader import Reader


def check_virtual_service(reader: Reader, key: ObjectKey, rule: VirtualService, rules_of: RulesOf) -> Iterator[Problem]:
    """The problems of one rule."""
    yield from _gateways(reader, key, rule)
    if not rule.spec.gateways or MESH in rule.spec.gateways:
        yield from _rivals(reader, key, rule)
        idle = list(_idle_hosts(reader, key, rule))
        yield from idle
        unused = sum(problem.level is Level.WARNING for problem in idle)
        if unused == len(rule.spec.hosts) and len(rule.spec.gateways) < 2:
            # Where its routes would lead does not matter when none is ever used.
            return
    for path, destination in destinations_in(rule):
        yield from _destination(reader, key, path, destination, rule=rule, rules_of=rules_of)


def _gateways(reader: Reader, key: ObjectKey, rule: VirtualService) -> Iterator[Problem]:
    for index, name in enumerate(rule.spec.gateways):
        if name == MESH:
            continue
        path = f"spec.gateways[{index}]"
        namespace, _, short = gateway_name(name, key.namespace).partition("/")
        gateway = reader.gateway(ObjectKey("Gateway", namespace, short))
        if gateway is None:
            yield warning(key, path, f"there is no Gateway {namespace}/{short}", "its name, or NAMESPACE/NAME", name)
            continue
        served = served_hosts(gateway, key.namespace)
        for place, host in enumerate(rule.spec.hosts):
            full = complete_host(host, key.namespace, reader.domain)
            if not any(narrower(one, full) is not None for one in served):
                message = f"Gateway {namespace}/{short} does not serve {host!r} for namespace {key.namespace}"
                fix = f"one of {', '.join(served)}" if served else "a host in the Gateway's servers"
                yield warning(key, f"spec.hosts[{place}]", message, fix, host)
        yield from _rivals_at_gateway(reader, key, rule, f"{namespace}/{short}")


def _rivals_at_gateway(reader: Reader, key: ObjectKey, rule: VirtualService, gateway: str) -> Iterator[Problem]:
    """Rules of one host are merged there, the oldest first; only one can have the route for everything else."""
    last = next((index for index, http in enumerate(rule.spec.http) if not http.match), None)
    if last is None:
        return
    mine = {complete_host(host, key.namespace, reader.domain) for host in rule.spec.hosts}
    for entry in reader.virtual_services(gateway, key.namespace):
        if entry.key == key:
            return
        other = reader.virtual_service(entry.key)
        if other is not None and mine & set(entry.hosts) and any(not http.match for http in other.spec.http):
            hosts = ", ".join(sorted(mine & set(entry.hosts)))
            message = f"is never reached at Gateway {gateway}: {entry.key} is older and takes every request for {hosts}"
            yield warning(key, f"spec.http[{last}]", message, "a match, or another host", hosts)
            return


def _rivals(reader: Reader, key: ObjectKey, rule: VirtualService) -> Iterator[Problem]:
    """Sidecars use one rule for each host."""
    entries = reader.virtual_services(MESH, key.namespace)
    place = next((index for index, entry in enumerate(entries) if entry.key == key), len(entries))
    for index, name in enumerate(rule.spec.hosts):
        host = complete_host(name, key.namespace, reader.domain)
        path = f"spec.hosts[{index}]"
        older = next((entry.key for entry in entries[:place] if host in entry.hosts), None)
        if older is not None:
            message = f"{older} is older and holds for {name!r} too: this rule is not used there"
            yield warning(key, path, message, "one VirtualService for each host", name)
            continue
        younger = next((entry.key for entry in entries[place + 1 :] if host in entry.hosts), None)
        if younger is not None:
            message = f"{younger} is for {name!r} too, and is not used since this rule comes first"
            yield warning(key, path, message, "one VirtualService for each host", name)


def _idle_hosts(reader: Reader, key: ObjectKey, rule: VirtualService) -> Iterator[Problem]:
    """Rules of a kind that a Service has no port for are never looked at."""
    for index, name in enumerate(rule.spec.hosts):
        service = reader.host(complete_host(name, key.namespace, reader.domain))
        if service is None:
            continue
        path = f"spec.hosts[{index}]"
        ports = ", ".join(_port_text(number, port_name) for number, _, port_name in service.ports)
        protocols = [protocol for _, protocol, _ in service.ports]
        if rule.spec.http and not rule.spec.tcp and not any(protocol.may_be_http for protocol in protocols):
            message = f"{name!r} has no HTTP port ({ports}), so its http rules are not used and connections go on as is"
            yield warning(key, path, message, "a tcp rule, or a port named http-…", name)
        elif rule.spec.http and not rule.spec.tcp and not any(protocol.is_http for protocol in protocols):
            message = f"no port of {name!r} is declared as HTTP ({ports}): http rules hold only where HTTP is spoken"
            yield Problem(
                object=key, path=path, message=message, level=Level.INFO, fix="a port named http-… or tcp-…", value=name
            )
        elif rule.spec.tcp and not rule.spec.http and protocols and all(protocol.is_http for protocol in protocols):
            message = f"{name!r} has only HTTP ports ({ports}), so its tcp rules are not used"
            yield warning(key, path, message, "an http rule, or a port named tcp-…", name)


def _port_text(number: int, name: str) -> str:
    return f"{number} {name}" if name else str(number)


def _destination(
    reader: Reader, key: ObjectKey, path: str, destination: Destination, *, rule: VirtualService, rules_of: RulesOf
) -> Iterator[Problem]:
    host = complete_host(destination.host, key.namespace, reader.domain)
    service = reader.host(host)
    http = path.startswith("spec.http")
    failing = ": requests get 503" if http else ": connections are closed"
    if service is None:
        yield no_such_host(reader, key, f"{path}.host", destination.host, failing)
        return
    port = destination.port.number if destination.port is not None else 0
    numbers = [number for number, _, _ in service.ports]
    if port and port not in numbers:
        known = ", ".join(map(str, numbers)) or "none"
        yield warning(key, f"{path}.port", f"{host} has no port {port}{failing}", f"one of: {known}", port)
    elif not port and len(numbers) > 1:
        known = " or ".join(map(str, numbers))
        message = f"{host} has several ports and none is chosen: the port that was called is used"
        yield Problem(object=key, path=path, message=message, level=Level.INFO, fix=f"port: {{number: {known}}}")
    elif http:
        port = port or (numbers[0] if numbers else 0)
        yield from _spoken(key, path, destination, service=service, port=port, rule=rule)
    if destination.subset:
        rules = rules_of(host, service.namespace)
        names = [subset.name for subset in subset_labels(reader, rules)]
        if destination.subset not in names:
            owners = ", ".join(str(owner) for owner in rules)
            about = (
                f"{owners} defines {', '.join(names) or 'none'}" if rules else "no DestinationRule holds for it here"
            )
            message = f"{host} has no subset {destination.subset!r}{failing}, as {about}"
            yield warning(key, f"{path}.subset", message, "a DestinationRule with this subset", destination.subset)


def _spoken(
    key: ObjectKey, path: str, destination: Destination, *, service: ServiceHost, port: int, rule: VirtualService
) -> Iterator[Problem]:
    """HTTP sent to a port that is not HTTP fails each time, which nobody wants: the message says so plainly."""
    protocol = service.protocol(port)
    if protocol is None or protocol.may_be_http:
        return
    name = next((name for number, _, name in service.ports if number == port), "")
    hosts = ", ".join(rule.spec.hosts)
    message = (
        f"ERROR: every request for {hosts} will fail, since HTTP is sent to {destination.host}, "
        f"whose port {_port_text(port, name)} speaks {protocol.value.upper()}"
    )
    wanted = next((host for host in rule.spec.hosts if host != destination.host and not host.startswith("*")), "")
    yield warning(key, f"{path}.host", message, f"host: {wanted}" if wanted else "a host with HTTP", destination.host)
