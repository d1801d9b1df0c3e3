"""Rules that another object silently replaces, and what that takes away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.destinations import SUBSETS, destinations_of, failing, served_to
from plait.analyze.fields import at, labels, mappings, number, sequence, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import DESTINATION_RULE, GATEWAY, VIRTUAL_SERVICE
from plait.analyze.known_hosts import find_host
from plait.analyze.messages import (
    DEAD_ROUTE,
    GATEWAY_PORT_CONFLICT,
    HOST_NOT_SERVED,
    MERGED_HOSTS,
    RULE_REPLACED,
    SUBSET_IN_USE,
    SUBSET_WITHOUT_ENDPOINTS,
)
from plait.analyze.pods import pods_selected
from plait.analyze.selectors import selector_text
from plait.analyze.world import Index, Item, World
from plait.api.destinationrule import DestinationRule
from plait.api.meta import ObjectKey
from plait.api.names import gateway_place
from plait.mesh.destination_rules import subset_labels
from plait.mesh.endpoints import endpoints
from plait.mesh.gateway_servers import claimed_hosts, port_use
from plait.snapshot.hosts import complete_host, host_matches, is_wildcard, narrower
from plait.snapshot.indexes import MESH, gateway_name
from plait.snapshot.visibility import EVERYBODY, scopes, visible_in

# DestinationRules


def _check_destination_rule(world: World, item: Item) -> Iterator[Finding]:
    host = complete_host(text(item.spec, "host"), item.namespace, world.domain)
    reader = world.reader
    rule, service = reader.destination_rule(item.key), reader.host(host)
    if rule is None or service is None or is_wildcard(host):
        return
    yield from _without_endpoints(world, item, rule, host)
    rules = world.rules_of(item.namespace)(host, service.namespace)
    if item.key in rules:
        yield from _beside(world, item, rule, rules)
        yield from _subsets_in_use(world, item, host, service.namespace)
    elif rules:
        detail = f"is not used by callers in namespace {item.namespace}: for {host} they see {_keys(rules)} first"
        if reader.local_destination_rules(item.namespace):
            yield found(RULE_REPLACED, item, "spec.host", fix="one DestinationRule for each host", detail=detail)


def _keys(rules: tuple[ObjectKey, ...]) -> str:
    return ", ".join(map(str, rules))


def _without_endpoints(world: World, item: Item, rule: DestinationRule, host: str) -> Iterator[Finding]:
    """Of a host that has no endpoint at all nothing is said: its pods may be on their way."""
    reader = world.reader
    service = reader.host(host)
    numbers = [where for where, _, _ in service.ports] if service is not None else []
    if not rule.spec.subsets or not any(endpoints(reader, host, where) for where in numbers):
        return
    for index, subset in enumerate(rule.spec.subsets):
        wanted = tuple(sorted(subset.labels.items()))
        if not any(endpoints(reader, host, where, wanted) for where in numbers):
            path, shown = f"spec.subsets[{index}].labels", selector_text(subset.labels)
            yield found(
                SUBSET_WITHOUT_ENDPOINTS,
                item,
                path,
                fix="labels that its pods carry",
                value=dict(wanted),
                host=host,
                labels=shown,
                subset=subset.name,
            )


def _beside(world: World, item: Item, rule: DestinationRule, rules: tuple[ObjectKey, ...]) -> Iterator[Finding]:
    """Rules of one host are merged, and of what two of them say the oldest one's holds."""
    taken: dict[str, ObjectKey] = {}
    policy: ObjectKey | None = None
    for other in rules[: rules.index(item.key)]:
        older = world.reader.destination_rule(other)
        if older is None or not _wherever(world, other, item):
            continue
        if older.spec.traffic_policy is not None:
            policy = policy or other
        for subset in older.spec.subsets:
            taken.setdefault(subset.name, other)
    if rule.spec.traffic_policy is not None and policy is not None:
        detail = f"is not used: {policy} is older and has a policy for the same host"
        yield found(RULE_REPLACED, item, "spec.trafficPolicy", fix="one DestinationRule for each host", detail=detail)
    for index, subset in enumerate(rule.spec.subsets):
        if subset.name in taken:
            detail = f"is not used: {taken[subset.name]} is older and has a subset {subset.name!r} of the same host"
            path, fix = f"spec.subsets[{index}]", "another name, or one DestinationRule"
            yield found(RULE_REPLACED, item, path, fix=fix, value=subset.name, detail=detail)


def _wherever(world: World, other: ObjectKey, item: Item) -> bool:
    """Whether an older rule holds for every caller that a younger one of its namespace holds for."""
    older = world.get(DESTINATION_RULE, other.namespace, other.name)
    if older is None:
        return False
    theirs, mine = (labels(rule.spec, "workloadSelector", "matchLabels") for rule in (older, item))
    if not theirs.items() <= mine.items() or (mine and not theirs):
        # What selects its callers goes before what is for all of them.
        return False
    default = texts(world.mesh_config, "defaultDestinationRuleExportTo")
    seen, wanted = (scopes(texts(rule.spec, "exportTo") or default, rule.namespace) for rule in (older, item))
    return EVERYBODY in seen or wanted <= seen


def _routed_subsets(item: Item, domain: str) -> set[str]:
    sent = destinations_of(item)
    return {complete_host(one.host, item.namespace, domain) for one in sent if one.subset}


_BY_DESTINATION: Final = Index((VIRTUAL_SERVICE,), _routed_subsets)


def _subsets_in_use(world: World, item: Item, host: str, owner: str) -> Iterator[Finding]:
    """Subsets that routes need and no rule has: what happens when one rule takes the place of another."""
    users: dict[str, list[str]] = {}
    for rule in world.find(_BY_DESTINATION, host):
        seen = world.rules_of(rule.namespace)(host, owner)
        if item.key not in seen:
            # They go by rules of their own.
            continue
        names = {subset.name for subset in subset_labels(world.reader, seen)}
        for sent in destinations_of(rule):
            same = complete_host(sent.host, rule.namespace, world.domain) == host
            if same and sent.subset and sent.subset not in names:
                users.setdefault(sent.subset, []).append(f"{rule.key} {sent.path}")
    for name, places in sorted(users.items()):
        fix = f"keep the subset: {{name: {name}, labels: …}}"
        yield found(SUBSET_IN_USE, item, "spec.subsets", fix=fix, value=name, detail=_in_use(name, sorted(places)))


def _in_use(subset: str, places: list[str]) -> str:
    return f"subset {subset!r} is not defined, but in use by {', '.join(places)}: requests to it get 503"


def _check_subsets_seen(world: World, item: Item) -> Iterator[Finding]:
    """Subsets that a rule somewhere defines, but none that callers in the namespace of the route use."""
    for sent in destinations_of(item):
        host = complete_host(sent.host, item.namespace, world.domain)
        service = world.reader.host(host)
        if not sent.subset or service is None or not world.find(SUBSETS, (host, sent.subset)):
            continue
        rules = world.rules_of(item.namespace)(host, service.namespace)
        if sent.subset not in {subset.name for subset in subset_labels(world.reader, rules)}:
            others = ", ".join(sorted(str(rule.key) for rule in world.find(SUBSETS, (host, sent.subset))))
            holding = f"{_keys(rules)} holds" if rules else "no rule holds"
            detail = f"{host} has subset {sent.subset!r} in {others} only, and here {holding}{failing(sent)}"
            path, fix = f"{sent.path}.subset", "the subset in the rule that holds, or one DestinationRule"
            yield found(SUBSET_IN_USE, item, path, fix=fix, value=sent.subset, detail=detail)


# VirtualServices at a gateway


def _bound(item: Item, domain: str) -> set[tuple[str, str]]:
    gateways = [gateway_name(name, item.namespace) for name in texts(item.spec, "gateways") if name != MESH]
    hosts = {complete_host(host, item.namespace, domain) for host in texts(item.spec, "hosts")}
    return {(gateway, host) for gateway in gateways for host in hosts}


_BOUND: Final = Index((VIRTUAL_SERVICE,), _bound)


def _check_at_gateways(world: World, item: Item) -> Iterator[Finding]:
    for name in texts(item.spec, "gateways"):
        namespace, short = gateway_place(name, item.namespace)
        gateway = world.get(GATEWAY, namespace, short) if name != MESH else None
        if gateway is not None:
            yield from _unserved(world, item, gateway)
            yield from _taken_by_older(world, item, gateway)


def _unserved(world: World, item: Item, gateway: Item) -> Iterator[Finding]:
    """Istio speaks only when none of the hosts is served; each that is not, is dead, but for what sidecars call."""
    hosts, served = texts(item.spec, "hosts"), served_to(gateway, item.namespace)
    inside = MESH in texts(item.spec, "gateways")
    missing = [
        (index, host)
        for index, host in enumerate(hosts)
        if not any(narrower(one, complete_host(host, item.namespace, world.domain)) is not None for one in served)
    ]
    # With several gateways each may serve some of the hosts.
    several = sum(name != MESH for name in texts(item.spec, "gateways")) > 1
    if len(missing) == len(hosts) or several:
        return
    for index, host in missing:
        if inside and find_host(world, host, item.namespace) is not None:
            continue
        fix = f"one of {', '.join(served)}"
        yield found(
            HOST_NOT_SERVED,
            item,
            f"spec.hosts[{index}]",
            fix=fix,
            value=host,
            gateway=gateway.full_name,
            host=host,
            namespace=item.namespace,
        )


def _taken_by_older(world: World, item: Item, gateway: Item) -> Iterator[Finding]:
    """Rules of one host are merged there, the oldest first; only one can have the route for everything else."""
    last = next((index for index, rule in mappings(item.spec, "http") if _takes_rest(rule)), None)
    if last is None:
        return
    pods = pods_selected(world, labels(gateway.spec, "selector"))
    places = {pod.namespace for pod in pods} or {gateway.namespace}
    place = gateway_name(gateway.full_name, item.namespace)
    older: dict[Item, list[str]] = {}
    for host in texts(item.spec, "hosts"):
        for other in world.find(_BOUND, (place, complete_host(host, item.namespace, world.domain))):
            if other is item or other.age >= item.age or not any(map(_takes_rest, _rules(other))):
                continue
            if _serves(world, gateway, other, host) and all(_sees(world, other, one) for one in places):
                older.setdefault(other, []).append(host)
    if older:
        first = min(older, key=lambda rule: rule.age)
        earlier = f"at Gateway {gateway.full_name}, {first.key}, which is older and has a rule without match,"
        yield found(
            DEAD_ROUTE,
            item,
            f"spec.http[{last}]",
            fix="a match, or another host",
            value=", ".join(older[first]),
            what=f"rule #{last}",
            earlier=earlier,
        )


def _rules(item: Item) -> Iterator[dict[str, Any]]:
    return (rule for _, rule in mappings(item.spec, "http"))


def _takes_rest(rule: dict[str, Any]) -> bool:
    """Whether it takes what is left; what it delegates may have matches of its own."""
    return not sequence(rule, "match") and not isinstance(rule.get("delegate"), dict)


def _serves(world: World, gateway: Item, rule: Item, host: str) -> bool:
    """Whether a Gateway admits the host for rules of a VirtualService's namespace."""
    full = complete_host(host, rule.namespace, world.domain)
    return any(narrower(one, full) is not None for one in served_to(gateway, rule.namespace))


def _sees(world: World, rule: Item, namespace: str) -> bool:
    exports = texts(rule.spec, "exportTo") or texts(world.mesh_config, "defaultVirtualServiceExportTo")
    return visible_in(tuple(scopes(exports, rule.namespace)), namespace)


# Gateways


_BY_PORT: Final = Index(
    (GATEWAY,), lambda item, _: {number(server, "port", "number") for _, server in mappings(item.spec, "servers")}
)


def _check_gateway(world: World, item: Item) -> Iterator[Finding]:
    """Of two that want one port for different things, or one host with TLS, the older gets it, or the first of one
    Gateway.
    """
    selector = at(item.spec, "selector") or {}
    own: dict[tuple[int, str], tuple[int, dict[str, Any]]] = {}
    claimed: dict[tuple[int, str], dict[str, str]] = {}
    for index, server in mappings(item.spec, "servers"):
        port, protocol = number(server, "port", "number"), text(server, "port", "protocol")
        place = (port, text(server, "bind"))
        before, first = own.setdefault(place, (index, server))
        if place not in claimed:
            claimed[place] = _given_away(world, item, selector, *place)
        taken = claimed[place]
        theirs = _older_server(world, item, selector, *place)
        other, first = theirs if theirs is not None else (None, first)
        spoken = text(first, "port", "protocol")
        mine, decided = port_use(protocol), port_use(spoken)
        # Connections are never shared: one server has them all.
        second = mine == "tcp" and (other is not None or before != index)
        if mine is not None and decided is not None and (decided != mine or second):
            who = (
                f"{other.key} is older and serves" if other is not None else f"spec.servers[{before}] comes first with"
            )
            detail = f"port {port} is not served as {protocol}: {who} {spoken} there"
            path = f"spec.servers[{index}].port"
            yield found(GATEWAY_PORT_CONFLICT, item, path, fix="another port", value=port, detail=detail)
        elif (host := _claim(taken, server, item.namespace, f"spec.servers[{index}]")) is not None:
            detail = (
                f"no host of this server is served on port {port}: {taken[host]} has {host} there, with TLS settings"
            )
            path = f"spec.servers[{index}].hosts"
            yield found(GATEWAY_PORT_CONFLICT, item, path, fix=f"a server without {host}", value=host, detail=detail)
        elif other is None:
            continue
        elif common := _covered_hosts(texts(server, "hosts"), texts(first, "hosts")):
            detail = f"{other.key} serves {', '.join(common)} on port {port} too: what is bound to either is merged"
            path = f"spec.servers[{index}].hosts"
            yield found(MERGED_HOSTS, item, path, fix="one Gateway, or hosts of its own", detail=detail)


def _given_away(world: World, item: Item, selector: object, port: int, bind: str) -> dict[str, str]:
    """The hosts that older Gateways on the same pods have with TLS settings at a place, and who has each."""
    result: dict[str, str] = {}
    for other in sorted(world.find(_BY_PORT, port), key=lambda one: one.age):
        if other is item or other.age >= item.age or (at(other.spec, "selector") or {}) != selector:
            continue
        for _, server in mappings(other.spec, "servers"):
            if (number(server, "port", "number"), text(server, "bind")) == (port, bind):
                _claim(result, server, other.namespace, str(other.key))
    return result


def _claim(taken: dict[str, str], server: dict[str, Any], namespace: str, holder: str) -> str | None:
    """Give a server with TLS settings its hosts, or answer one of them that is taken."""
    if not isinstance(server.get("tls"), dict):
        return None
    wanted = claimed_hosts(texts(server, "hosts"), namespace)
    if common := wanted & taken.keys():
        return min(common)
    taken.update(dict.fromkeys(wanted, holder))
    return None


def _older_server(
    world: World, item: Item, selector: object, port: int, bind: str
) -> tuple[Item, dict[str, Any]] | None:
    """The server of the oldest Gateway on the same pods that has the port: it decides what the port is for."""
    for other in sorted(world.find(_BY_PORT, port), key=lambda one: one.age):
        if other is item or other.age >= item.age or (at(other.spec, "selector") or {}) != selector:
            continue
        for _, server in mappings(other.spec, "servers"):
            if (number(server, "port", "number"), text(server, "bind")) == (port, bind):
                return other, server
    return None


def _covered_hosts(mine: tuple[str, ...], theirs: tuple[str, ...]) -> list[str]:
    """Hosts of one that another covers by a wildcard; equal ones have a message of Istio's."""
    return sorted({host for host in mine for other in theirs if host != other and host_matches(other, host)})


ANALYZERS: Final = (
    Analyzer(
        name="plait.ReplacedDestinationRules",
        messages=(SUBSET_WITHOUT_ENDPOINTS, RULE_REPLACED, SUBSET_IN_USE),
        subjects=(DESTINATION_RULE,),
        check=_check_destination_rule,
    ),
    Analyzer(
        name="plait.ReplacedRoutes",
        messages=(HOST_NOT_SERVED, DEAD_ROUTE),
        subjects=(VIRTUAL_SERVICE,),
        check=_check_at_gateways,
    ),
    Analyzer(
        name="plait.SubsetsSeen", messages=(SUBSET_IN_USE,), subjects=(VIRTUAL_SERVICE,), check=_check_subsets_seen
    ),
    Analyzer(
        name="plait.GatewayPorts",
        messages=(GATEWAY_PORT_CONFLICT, MERGED_HOSTS),
        subjects=(GATEWAY,),
        check=_check_gateway,
    ),
)
