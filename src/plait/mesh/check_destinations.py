"""DestinationRules against the rest: their host, their subsets, and rules for the same host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from plait.api.destinationrule import DestinationRule
from plait.api.meta import ObjectKey
from plait.api.problem import Level, Problem
from plait.mesh.destination_rules import subset_labels
from plait.mesh.endpoints import endpoints
from plait.snapshot.hosts import complete_host, host_matches, is_wildcard
from plait.snapshot.indexes import destinations_in
from plait.snapshot.keys import ServiceHost
from plait.snapshot.reader import Reader

RulesOf: TypeAlias = Callable[[str, str], tuple[ObjectKey, ...]]
"""(host, namespace of its Service) -> the DestinationRules that hold for it."""


def warning(key: ObjectKey, path: str, message: str, fix: str, value: object) -> Problem:
    """The object is used, but not as its author expects."""
    return Problem(object=key, path=path, message=message, level=Level.WARNING, fix=fix, value=value)


def no_such_host(reader: Reader, key: ObjectKey, path: str, written: str, consequence: str) -> Problem:
    """A host that is no Service; one of the same name elsewhere is probably what was meant."""
    host = complete_host(written, key.namespace, reader.domain)
    short = written.partition(".")[0]
    others = [namespace for namespace in reader.namespaces_of(short) if namespace != key.namespace]
    message = f"there is no host {host}{consequence}"
    if others and "." not in written:
        message += f" (a Service {short!r} is in namespace {', '.join(others)})"
        fix = f"apply it with -n {others[0]}, or write {short}.{others[0]}.svc.{reader.domain}"
    else:
        fix = f"a Service of namespace {key.namespace}, or its full name"
    return warning(key, path, message, fix, written)


def check_destination_rule(
    reader: Reader, key: ObjectKey, rule: DestinationRule, rules_of: RulesOf
) -> Iterator[Problem]:
    """The problems of one rule."""
    host = complete_host(rule.spec.host, key.namespace, reader.domain)
    if is_wildcard(host):
        if not any(host_matches(host, port.host) for port in reader.ports(key.namespace)):
            yield warning(key, "spec.host", f"no host is covered by {host}", "a Service's name", rule.spec.host)
        return
    service = reader.host(host)
    if service is None:
        yield no_such_host(reader, key, "spec.host", rule.spec.host, ", so the rule has no effect")
        return
    yield from _subsets_without_pods(reader, key, rule, host, service)
    rules = rules_of(host, service.namespace)
    if key in rules:
        yield from _beside(reader, key, rule, rules)
        yield from _missing_subsets(reader, key, host, rules)


def _subsets_without_pods(
    reader: Reader, key: ObjectKey, rule: DestinationRule, host: str, service: ServiceHost
) -> Iterator[Problem]:
    """Of a host that has no endpoint at all nothing is said: its pods may be on their way."""
    numbers = [number for number, _, _ in service.ports]
    if not any(endpoints(reader, host, number) for number in numbers):
        return
    for index, subset in enumerate(rule.spec.subsets):
        labels = tuple(sorted(subset.labels.items()))
        if not any(endpoints(reader, host, number, labels) for number in numbers):
            wanted = ", ".join(f"{name}={value}" for name, value in labels)
            yield warning(
                key,
                f"spec.subsets[{index}].labels",
                f"no ready pod of {host} carries {wanted}: requests to subset {subset.name!r} get 503",
                "labels that its pods carry",
                dict(labels),
            )


def _beside(reader: Reader, key: ObjectKey, rule: DestinationRule, rules: tuple[ObjectKey, ...]) -> Iterator[Problem]:
    """Rules of one host are merged, and of what two of them say the oldest one's holds."""
    taken: dict[str, ObjectKey] = {}
    policy: ObjectKey | None = None
    for other in rules[: rules.index(key)]:
        found = reader.destination_rule(other)
        if found is None:
            continue
        if found.spec.traffic_policy is not None:
            policy = policy or other
        for subset in found.spec.subsets:
            taken.setdefault(subset.name, other)
    if rule.spec.traffic_policy is not None and policy is not None:
        message = f"is not used: {policy} is older and has a policy for the same host"
        yield warning(key, "spec.trafficPolicy", message, "one DestinationRule for each host", None)
    for index, subset in enumerate(rule.spec.subsets):
        if subset.name in taken:
            message = f"is not used: {taken[subset.name]} is older and has a subset {subset.name!r} of the same host"
            yield warning(key, f"spec.subsets[{index}]", message, "another name, or one DestinationRule", subset.name)


def _missing_subsets(reader: Reader, key: ObjectKey, host: str, rules: tuple[ObjectKey, ...]) -> Iterator[Problem]:
    """Subsets that routes need and no rule has: what happens when one rule takes the place of another."""
    names = {subset.name for subset in subset_labels(reader, rules)}
    users: dict[str, list[str]] = {}
    for other in reader.virtual_services_to(host):
        found = reader.virtual_service(other)
        for path, destination in destinations_in(found) if found is not None else ():
            same = complete_host(destination.host, other.namespace, reader.domain) == host
            if same and destination.subset and destination.subset not in names:
                users.setdefault(destination.subset, []).append(f"{other} {path}")
    for name in sorted(users):
        message = f"subset {name!r} is not defined, but in use by {', '.join(users[name])}: requests to it get 503"
        yield warning(key, "spec.subsets", message, f"keep the subset: {{name: {name}, labels: …}}", sorted(names))
