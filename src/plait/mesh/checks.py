"""What is wrong between objects: references that lead nowhere, and rules that cannot act. All of it is accepted.

Seen as a caller in the object's own namespace sees it. Nothing here changes what is generated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from plait.api.destinationrule import DestinationRule
from plait.api.meta import ObjectKey
from plait.api.problem import Level, Problem
from plait.api.virtualservice import Destination, VirtualService
from plait.mesh.destination_rules import subset_labels
from plait.mesh.endpoints import endpoints
from plait.snapshot.hosts import complete_host, host_matches, is_wildcard
from plait.snapshot.indexes import MESH, gateway_name
from plait.snapshot.reader import Reader

RulesOf: TypeAlias = Callable[[str, str], tuple[ObjectKey, ...]]
"""(host, namespace of its Service) -> the DestinationRules that hold for it."""


def check(reader: Reader, key: ObjectKey, rules_of: RulesOf) -> tuple[Problem, ...]:
    """The problems of one object with the others."""
    match reader.object(key):
        case VirtualService() as rule:
            return tuple(_virtual_service(reader, key, rule, rules_of))
        case DestinationRule() as rule:
            return tuple(_destination_rule(reader, key, rule))
    return ()


def _virtual_service(reader: Reader, key: ObjectKey, rule: VirtualService, rules_of: RulesOf) -> Iterator[Problem]:
    for index, name in enumerate(rule.spec.gateways):
        namespace, _, short = gateway_name(name, key.namespace).partition("/")
        if name != MESH and reader.gateway(ObjectKey("Gateway", namespace, short)) is None:
            path = f"spec.gateways[{index}]"
            yield _warning(key, path, f"there is no Gateway {namespace}/{short}", "its name, or NAMESPACE/NAME", name)
    if rule.spec.http and (not rule.spec.gateways or MESH in rule.spec.gateways):
        idle = list(_http_hosts(reader, key, rule))
        yield from idle
        if len(idle) == len(rule.spec.hosts) and len(rule.spec.gateways) < 2:
            # Where its routes would lead does not matter when none is ever used.
            return
    for index, route in enumerate(rule.spec.http):
        for place, item in enumerate(route.route):
            path = f"spec.http[{index}].route[{place}].destination"
            yield from _destination(reader, key, path, item.destination, rules_of)
        for place, mirror in enumerate(route.mirrors):
            path = f"spec.http[{index}].mirrors[{place}].destination"
            yield from _destination(reader, key, path, mirror.destination, rules_of)
        if route.mirror is not None:
            yield from _destination(reader, key, f"spec.http[{index}].mirror", route.mirror, rules_of)


def _http_hosts(reader: Reader, key: ObjectKey, rule: VirtualService) -> Iterator[Problem]:
    """HTTP rules for a Service that has no HTTP port are never looked at."""
    for index, name in enumerate(rule.spec.hosts):
        service = reader.host(complete_host(name, key.namespace, reader.domain))
        if service is not None and not any(protocol.may_be_http for _, protocol, _ in service.ports):
            yield _warning(
                key,
                f"spec.hosts[{index}]",
                f"{name!r} has no HTTP port, so its http rules are not used: connections go to the service as they are",
                "a tcp rule, or a port named http-…",
                name,
            )


def _destination(
    reader: Reader, key: ObjectKey, path: str, destination: Destination, rules_of: RulesOf
) -> Iterator[Problem]:
    host = complete_host(destination.host, key.namespace, reader.domain)
    service = reader.host(host)
    if service is None:
        fix = f"a Service of namespace {key.namespace}, or its full name"
        yield _warning(key, f"{path}.host", f"there is no host {host}: requests get 503", fix, destination.host)
        return
    port = destination.port.number if destination.port is not None else 0
    numbers = [number for number, _, _ in service.ports]
    if port and port not in numbers:
        known = ", ".join(map(str, numbers)) or "none"
        yield _warning(key, f"{path}.port", f"{host} has no port {port}: requests get 503", f"one of: {known}", port)
    elif not port and len(numbers) > 1:
        message = f"{host} has several ports and none is chosen: the port that was called is used"
        yield Problem(object=key, path=path, message=message, level=Level.INFO, fix="port: {number: N}")
    elif not port and len(numbers) == 1 and not service.ports[0][1].may_be_http:
        yield _warning(
            key, path, f"HTTP would be sent to {host}:{numbers[0]}, which does not speak it", "another host", numbers[0]
        )
    if destination.subset:
        rules = rules_of(host, service.namespace)
        names = [subset.name for subset in subset_labels(reader, rules)]
        if destination.subset not in names:
            owners = ", ".join(str(rule) for rule in rules)
            about = (
                f"{owners} defines {', '.join(names) or 'none'}" if rules else "no DestinationRule holds for it here"
            )
            message = f"{host} has no subset {destination.subset!r}, so requests get 503: {about}"
            yield _warning(key, f"{path}.subset", message, "a DestinationRule with this subset", destination.subset)


def _destination_rule(reader: Reader, key: ObjectKey, rule: DestinationRule) -> Iterator[Problem]:
    host = complete_host(rule.spec.host, key.namespace, reader.domain)
    if is_wildcard(host):
        if not any(host_matches(host, port.host) for port in reader.ports(key.namespace)):
            yield _warning(key, "spec.host", f"no host is covered by {host}", "a Service's name", rule.spec.host)
        return
    service = reader.host(host)
    if service is None:
        fix = f"a Service of namespace {key.namespace}, or its full name"
        yield _warning(key, "spec.host", f"there is no host {host}, so the rule has no effect", fix, rule.spec.host)
        return
    for index, subset in enumerate(rule.spec.subsets):
        labels = tuple(sorted(subset.labels.items()))
        if not any(endpoints(reader, host, number, labels) for number, _, _ in service.ports):
            yield _warning(
                key,
                f"spec.subsets[{index}]",
                f"no ready endpoint of {host} carries the labels of subset {subset.name!r}: requests get 503",
                "labels that the pods carry",
                dict(labels),
            )


def _warning(key: ObjectKey, path: str, message: str, fix: str, value: object) -> Problem:
    return Problem(object=key, path=path, message=message, level=Level.WARNING, fix=fix, value=value)
