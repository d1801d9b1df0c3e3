"""Whom ALLOW policies may let through to a port, as far as certificates say it.

A connection that carries bytes is judged by its first bytes, and a server that speaks first has spoken by then. So what
identity alone decides is decided before: mutual TLS takes only callers that some rule may let through, and who has no
certificate at all reaches nobody before it has said something. The rules themselves stay: this list leaves nobody out
whom they would let in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from plait.api.security import AuthorizationPolicy, Condition, Operation, Rule, Source
from plait.api.spiffe import SCHEME
from plait.xds.authorization.filters import is_tried
from plait.xds.authorization.rules import Reading, rbac_policy
from plait.xds.authorization.trust_domains import principals
from plait.xds.callers import Admission, Identity


def admissions(policies: Sequence[AuthorizationPolicy], domains: tuple[str, ...]) -> tuple[Admission, ...] | None:
    """Of all rules that allow something over connections; None: everybody is let through who is not denied."""
    allowing = [policy for policy in policies if policy.spec.action == "ALLOW" and not is_tried(policy)]
    if not allowing:
        return None
    found: dict[Admission, None] = {}
    for policy in allowing:
        reading = Reading(tcp=True, action="ALLOW", namespace=policy.metadata.namespace, domains=domains)
        for rule in policy.spec.rules or ():
            if rbac_policy(rule, reading) is not None:
                found.update(dict.fromkeys(_admissions(rule, reading)))
    return tuple(found)


def _admissions(rule: Rule, reading: Reading) -> Iterator[Admission]:
    when = rule.when or ()
    identities = _identities(rule, reading)
    for operation in [each.operation or Operation() for each in rule.to or ()] or [Operation()]:
        ports, but = _ports(operation, when)
        yield Admission(identities, ports, but)


def _ports(operation: Operation, when: Iterable[Condition]) -> tuple[frozenset[int] | None, frozenset[int]]:
    given = [(operation.ports, operation.not_ports)]
    given += [(each.values, each.not_values) for each in when if each.key == "destination.port"]
    ports: frozenset[int] | None = None
    but: frozenset[int] = frozenset()
    for values, others in given:
        if values:
            wanted = frozenset(map(int, values))
            ports = wanted if ports is None else ports & wanted
        but |= frozenset(map(int, others or ()))
    return ports, but


def _identities(rule: Rule, reading: Reading) -> tuple[Identity, ...] | None:
    """Of all sources together; None: of some it cannot be said."""
    said = [_of_condition(each, reading) for each in rule.when or ()]
    common = next((each for each in said if each is not None), None)
    found: dict[Identity, None] = {}
    for source in [each.source or Source() for each in rule.from_ or ()] or [Source()]:
        own = _of_source(source, reading)
        own = common if own is None else own
        if own is None:
            return None
        found.update(dict.fromkeys(own))
    return tuple(found)


def _of_source(source: Source, reading: Reading) -> tuple[Identity, ...] | None:
    for values, read in (
        (source.principals, _of_principals),
        (source.service_accounts, _of_accounts),
        (source.namespaces, _of_namespaces),
    ):
        found = read(values, reading) if values else None
        if found is not None:
            return found
    return None


def _of_condition(given: Condition, reading: Reading) -> tuple[Identity, ...] | None:
    read = {
        "source.principal": _of_principals,
        "source.serviceAccount": _of_accounts,
        "source.namespace": _of_namespaces,
    }.get(given.key)
    return read(given.values, reading) if read is not None and given.values else None


def _of_principals(values: tuple[str, ...], reading: Reading) -> tuple[Identity, ...] | None:
    found = []
    for value in principals(values, reading.domains):
        domain, slash, _ = value.partition("/")
        if not slash or "*" in domain:
            return None
        if domain not in reading.domains:
            # Mutual TLS takes nobody from there.
            continue
        prefix = value.endswith("*")
        found.append(Identity(f"{SCHEME}{value.removesuffix('*')}", prefix))
    return tuple(found)


def _of_accounts(values: tuple[str, ...], reading: Reading) -> tuple[Identity, ...] | None:
    pairs = [value.rpartition("/") for value in values]
    places = [(namespace or reading.namespace, name) for namespace, _, name in pairs]
    return tuple(Identity(f"{SCHEME}{each}/ns/{place}/sa/{name}") for each in reading.domains for place, name in places)


def _of_namespaces(values: tuple[str, ...], reading: Reading) -> tuple[Identity, ...] | None:
    if any("*" in value for value in values):
        return None
    return tuple(Identity(f"{SCHEME}{each}/ns/{value}/", True) for each in reading.domains for value in values)
