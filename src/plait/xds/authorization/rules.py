"""A rule of an AuthorizationPolicy -> a policy of Envoy's RBAC.

`from`, `to` and `when` must all hold; of several sources one, of several operations one. A connection that carries
bytes has nothing of a request: a rule of an ALLOW policy that asks for some of it is left out there, so that it allows
nothing by half; one of another action keeps its other conditions, so that it denies more rather than less (Istio).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from envoy.config.rbac.v3.rbac_pb2 import Permission, Policy, Principal

from plait.api.security import AuthorizationPolicySpec, Condition, Operation, Rule, Source, Texts
from plait.xds.authorization import conditions
from plait.xds.authorization.conditions import ByValue, ByValues, Match
from plait.xds.authorization.trust_domains import principals, trust_domains

Action: TypeAlias = Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How rules are read: for requests or for connections (`tcp`), of a policy with this action and namespace, in a
    mesh with these trust domains, its own first.
    """

    tcp: bool
    action: Action
    namespace: str
    domains: tuple[str, ...]

    @property
    def narrows(self) -> bool:
        """Whether a rule with a condition that cannot be asked is left out, rather than the condition."""
        return self.action == "ALLOW"


class _Line(NamedTuple):
    """One condition: some value must hold, none of the others may. `whole`: Envoy has all values in one matcher."""

    values: tuple[str, ...]
    not_values: tuple[str, ...]
    one: ByValue | None = None
    whole: ByValues | None = None
    http: bool = False


class _CannotAskError(Exception):
    """A rule is left out."""


def rbac_policy(rule: Rule, reading: Reading) -> Policy | None:
    """None: nothing of the rule can hold, so it is left out."""
    lines, callers = _when(rule.when or (), reading)
    operations = [each.operation or Operation() for each in rule.to or ()] or [Operation()]
    sources = [each.source or Source() for each in rule.from_ or ()] or [Source()]
    result = Policy()
    try:
        for operation in operations:
            result.permissions.append(_permission([*_operation(operation), *lines], reading))
        for source in sources:
            result.principals.append(_principal([*_source(source, reading), *callers], reading))
    except _CannotAskError:
        return None
    return result


def never() -> Policy:
    """What holds for nobody: a policy without rules."""
    nothing, nobody = Permission(not_rule=Permission(any=True)), Principal(not_id=Principal(any=True))
    return Policy(permissions=[nothing], principals=[nobody])


def has_no_rules(spec: AuthorizationPolicySpec) -> bool:
    """Whether a policy says nothing of whom it means."""
    return not spec.rules


def _operation(operation: Operation) -> Iterator[_Line]:
    yield _by_value(operation.hosts, operation.not_hosts, conditions.host, http=True)
    yield _by_value(operation.methods, operation.not_methods, conditions.method, http=True)
    yield _by_value(operation.paths, operation.not_paths, conditions.path, http=True)
    yield _by_value(operation.ports, operation.not_ports, conditions.destination_port)


def _source(source: Source, reading: Reading) -> Iterator[_Line]:
    yield _known(_by_value(source.principals, source.not_principals, conditions.principal), reading)
    yield _by_values(source.request_principals, source.not_request_principals, conditions.request_principals)
    account = conditions.service_account(reading.namespace)
    yield _by_value(source.service_accounts, source.not_service_accounts, account)
    yield _of_domains(_by_value(source.trust_domains, source.not_trust_domains, conditions.trust_domain), reading)
    yield _by_value(source.namespaces, source.not_namespaces, conditions.namespace)
    yield _by_value(source.remote_ip_blocks, source.not_remote_ip_blocks, conditions.remote_ip)
    yield _by_value(source.ip_blocks, source.not_ip_blocks, conditions.source_ip)


def _when(given: Iterable[Condition], reading: Reading) -> tuple[list[_Line], list[_Line]]:
    """The lines about operations and those about callers."""
    operations: list[_Line] = []
    callers: list[_Line] = []
    for each in given:
        (operations if each.key.startswith(_OF_OPERATIONS) else callers).append(_condition(each, reading))
    return operations, callers


#: Keys that are about what is asked.
_OF_OPERATIONS: Final = ("destination.", "connection.", "experimental.")


def _condition(given: Condition, reading: Reading) -> _Line:
    key, values, others = given.key, given.values, given.not_values
    match key.partition("[")[0]:
        case "destination.ip":
            return _by_value(values, others, conditions.destination_ip)
        case "destination.port":
            return _by_value(values, others, conditions.destination_port)
        case "connection.sni":
            return _by_value(values, others, conditions.sni)
        case "source.ip":
            return _by_value(values, others, conditions.source_ip)
        case "remote.ip":
            return _by_value(values, others, conditions.remote_ip)
        case "source.namespace":
            return _by_value(values, others, conditions.namespace)
        case "source.serviceAccount":
            return _by_value(values, others, conditions.service_account(reading.namespace))
        case "source.trustDomain":
            return _of_domains(_by_value(values, others, conditions.trust_domain), reading)
        case "source.principal":
            return _known(_by_value(values, others, conditions.principal), reading)
        case "request.auth.principal":
            return _by_values(values, others, conditions.request_principals)
        case "request.auth.audiences":
            return _by_values(values, others, conditions.audiences)
        case "request.auth.presenter":
            return _by_values(values, others, conditions.presenter)
        case "request.headers":
            return _by_value(values, others, conditions.header(key), http=True)
        case "request.experimental.inline.headers":
            return _by_value(values, others, conditions.listed_header(key), http=True)
        case "request.auth.claims":
            return _by_values(values, others, conditions.claim(key))
    # What is left is a filter's note, which connections have too.
    return _by_values(values, others, conditions.noted(key), http=False)


def _by_value(values: Texts, not_values: Texts, one: ByValue, *, http: bool = False) -> _Line:
    return _Line(values or (), not_values or (), one=one, http=http)


def _by_values(values: Texts, not_values: Texts, whole: ByValues, *, http: bool = True) -> _Line:
    return _Line(values or (), not_values or (), whole=whole, http=http)


def _known(line: _Line, reading: Reading) -> _Line:
    values, others = (tuple(principals(each, reading.domains)) for each in (line.values, line.not_values))
    return line._replace(values=values, not_values=others)


def _of_domains(line: _Line, reading: Reading) -> _Line:
    values, others = (trust_domains(each, reading.domains) for each in (line.values, line.not_values))
    return line._replace(values=values, not_values=others)


def _permission(lines: Iterable[_Line], reading: Reading) -> Permission:
    found: list[Permission] = []
    for line in lines:
        for each, inverted in _matches(line, reading, lambda some: Permission(or_rules=Permission.Set(rules=some))):
            found.append(Permission(not_rule=each) if inverted else each)
    return Permission(and_rules=Permission.Set(rules=found or [Permission(any=True)]))


def _principal(lines: Iterable[_Line], reading: Reading) -> Principal:
    found: list[Principal] = []
    for line in lines:
        for each, inverted in _matches(line, reading, lambda some: Principal(or_ids=Principal.Set(ids=some))):
            found.append(Principal(not_id=each) if inverted else each)
    return Principal(and_ids=Principal.Set(ids=found or [Principal(any=True)]))


def _matches(line: _Line, reading: Reading, either: Any) -> Iterator[tuple[Match, bool]]:
    """What a line asks, and whether it must not hold."""
    for values, inverted in ((line.values, False), (line.not_values, True)):
        if not values:
            continue
        if line.http and reading.tcp:
            if reading.narrows:
                raise _CannotAskError
            continue
        if line.whole is not None:
            yield line.whole(values), inverted
        elif line.one is not None:
            yield either([line.one(value) for value in values]), inverted
