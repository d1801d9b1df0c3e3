"""Names that resolve to nothing: namespaces, hosts and workloads that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.destinations import destinations_of
from plait.analyze.fields import labels, mapping, mappings, number, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import (
    DESTINATION_RULE,
    ENVOY_FILTER,
    GATEWAY,
    NAMESPACE,
    PEER_AUTHENTICATION,
    PROXY_CONFIG,
    REQUEST_AUTHENTICATION,
    SERVICE,
    SERVICE_ENTRY,
    SIDECAR,
    VIRTUAL_SERVICE,
    WASM_PLUGIN,
    WORKLOAD_ENTRY,
    Kind,
)
from plait.analyze.known_hosts import find_host, known_hosts_under, ports_of
from plait.analyze.mesh_hosts import is_for_sidecars
from plait.analyze.messages import NAMES_NOTHING
from plait.analyze.pods import ENTRIES_BY_NAMESPACE, pods_selected
from plait.analyze.selectors import selector_text, selects
from plait.analyze.world import Index, Item, World
from plait.api.names import is_ip
from plait.snapshot.hosts import complete_host, is_wildcard
from plait.snapshot.visibility import EXPORT_ANNOTATION


def _nothing(item: Item, path: str, detail: str, *, fix: str = "", value: object = None) -> Finding:
    return found(NAMES_NOTHING, item, path, fix=fix, value=value, detail=detail)


# Namespaces


def _check_exports(world: World, item: Item) -> Iterator[Finding]:
    """An export to a namespace that is not there reaches nobody. Said only where Namespaces are known at all."""
    if not world.has(NAMESPACE):
        return
    for path, name in _exports(item):
        if name not in {".", "*", "~"} and world.get(NAMESPACE, "", name) is None:
            near = get_close_matches(name, [each.name for each in world.all(NAMESPACE)], n=1)
            detail = f"exported to namespace {name!r}, which is not there"
            yield _nothing(item, path, detail, fix=f"{near[0] if near else 'a namespace'}, . or *", value=name)
    if item.kind == GATEWAY:
        yield from _gateway_namespaces(world, item)


def _exports(item: Item) -> Iterator[tuple[str, str]]:
    """(path, namespace) of everybody it is exported to; a Service says so in an annotation."""
    if item.kind == SERVICE:
        listed = item.annotations.get(EXPORT_ANNOTATION, "")
        for name in filter(None, map(str.strip, listed.split(","))):
            yield f"metadata.annotations.{EXPORT_ANNOTATION}", name
        return
    for index, name in enumerate(texts(item.spec, "exportTo")):
        yield f"spec.exportTo[{index}]", name


def _gateway_namespaces(world: World, item: Item) -> Iterator[Finding]:
    for index, server in mappings(item.spec, "servers"):
        for place, host in enumerate(texts(server, "hosts")):
            name, slash, _ = host.partition("/")
            if slash and name not in {".", "*", "~"} and world.get(NAMESPACE, "", name) is None:
                detail = f"{host!r} admits rules of namespace {name!r}, which is not there"
                yield _nothing(item, f"spec.servers[{index}].hosts[{place}]", detail, value=host)


# Hosts


def _check_rule(world: World, item: Item) -> Iterator[Finding]:
    """A rule that only sidecars use, for a host that nobody can call by its address."""
    if is_for_sidecars(item) and not texts(item.spec, "gateways"):
        for index, name in enumerate(texts(item.spec, "hosts")):
            # A host of the outside may be called through an HTTP port, without a ServiceEntry.
            if "." in name or is_wildcard(name) or find_host(world, name, item.namespace) is not None:
                continue
            if any(sent.host == name for sent in destinations_of(item)):
                # That it is not there is said of the destination.
                continue
            full = complete_host(name, item.namespace, world.domain)
            yield _nothing(item, f"spec.hosts[{index}]", f"there is no host {full}: nobody can call it", value=name)


def _check_wildcard(world: World, item: Item) -> Iterator[Finding]:
    host = complete_host(text(item.spec, "host"), item.namespace, world.domain)
    if is_wildcard(host) and not any(True for _ in known_hosts_under(world, host, item.namespace)):
        yield _nothing(item, "spec.host", f"no host is covered by {host}", fix="a Service's name", value=host)


def _check_ports(world: World, item: Item) -> Iterator[Finding]:
    """Policies for ports that the host does not have."""
    host = complete_host(text(item.spec, "host"), item.namespace, world.domain)
    if is_wildcard(host):
        return
    ports = {port for known in known_hosts_under(world, host, item.namespace) for port in ports_of(known)}
    policies = [("spec.trafficPolicy", mapping(item.spec, "trafficPolicy"))]
    for index, subset in mappings(item.spec, "subsets"):
        policies.append((f"spec.subsets[{index}].trafficPolicy", mapping(subset, "trafficPolicy")))
    for path, policy in policies:
        for index, setting in mappings(policy, "portLevelSettings"):
            wanted = number(setting, "port", "number")
            if ports and wanted and wanted not in ports:
                yield _nothing(
                    item, f"{path}.portLevelSettings[{index}].port.number",
                    f"{host} has no port {wanted}: the policy has no effect",
                    fix=f"one of {', '.join(map(str, sorted(ports)))}", value=wanted,
                )  # fmt: skip


def _check_egress(world: World, item: Item) -> Iterator[Finding]:
    """Hosts that a Sidecar lets its workloads see, and those that it takes out again."""
    namespaces = world.has(NAMESPACE)
    for index, listener in mappings(item.spec, "egress"):
        for place, written in enumerate(texts(listener, "hosts")):
            named, _, host = written.partition("/")
            namespace = named.removeprefix("~") or "*"
            path = f"spec.egress[{index}].hosts[{place}]"
            if namespace not in {".", "*"} and namespaces and world.get(NAMESPACE, "", namespace) is None:
                yield _nothing(item, path, f"there is no namespace {namespace!r}", value=written)
            elif written != "~/*" and host and not _visible(world, item, namespace, host):
                meant, what = (
                    written.removeprefix("~"),
                    "takes nothing out" if named != namespace else "lets nothing in",
                )
                yield _nothing(item, path, f"no Service or ServiceEntry is {meant!r}: it {what}", value=written)


def _visible(world: World, item: Item, namespace: str, host: str) -> bool:
    owner = item.namespace if namespace == "." else namespace
    return any(owner in {"*", known.namespace} for known in known_hosts_under(world, host.lower(), item.namespace))


# Workloads


#: Where each kind selects its workloads. Those of Istio's own analyzers are not among them.
_SELECTORS: Final[dict[Kind, tuple[str, str]]] = {
    DESTINATION_RULE: ("workloadSelector", "matchLabels"),
    ENVOY_FILTER: ("workloadSelector", "labels"),
    PEER_AUTHENTICATION: ("selector", "matchLabels"),
    REQUEST_AUTHENTICATION: ("selector", "matchLabels"),
    WASM_PLUGIN: ("selector", "matchLabels"),
    PROXY_CONFIG: ("selector", "matchLabels"),
    SERVICE_ENTRY: ("workloadSelector", "labels"),
}


def _check_selector(world: World, item: Item) -> Iterator[Finding]:
    place = _SELECTORS[item.kind]
    selector = labels(item.spec, *place)
    if not selector:
        return
    everywhere = item.namespace == world.root_namespace and item.kind != SERVICE_ENTRY
    if any(True for _ in pods_selected(world, selector, None if everywhere else item.namespace)):
        return
    entries = world.find(ENTRIES_BY_NAMESPACE, item.namespace) if item.kind == SERVICE_ENTRY else ()
    if any(selects(selector, {**labels(entry.spec, "labels"), **entry.labels}) for entry in entries):
        return
    what = "no pod or WorkloadEntry" if item.kind == SERVICE_ENTRY else "no pod"
    where = "" if everywhere or not item.namespace else f" of namespace {item.namespace}"
    path = f"spec.{'.'.join(place)}"
    yield _nothing(item, path, f"{what}{where} carries {selector_text(selector)}: it has no effect", value=selector)


#: What selects WorkloadEntries, by namespace.
_SELECTING: Final = Index((SERVICE, SERVICE_ENTRY), lambda item, _: (item.namespace,))


def _check_address(world: World, item: Item) -> Iterator[Finding]:
    """A name where those who select the entry take addresses alone: nobody resolves it."""
    address = text(item.spec, "address")
    if not address or is_ip(address) or address.startswith("unix://"):
        return
    carried = {**labels(item.spec, "labels"), **item.labels}
    for other in world.each(_SELECTING, item.namespace):
        service = other.kind == SERVICE
        selector = labels(other.spec, *(("selector",) if service else ("workloadSelector", "labels")))
        if selector and selects(selector, carried) and (service or text(other.spec, "resolution") == "STATIC"):
            detail = f"{address!r} is a name, and {other.kind[1]}/{other.namespace}/{other.name} takes addresses only"
            fix = "an IP address" if service else "an IP address, or resolution DNS there"
            yield _nothing(item, "spec.address", detail, fix=fix, value=address)
            return


EXPORTS: Final = Analyzer(
    name="plait.Exports",
    messages=(NAMES_NOTHING,),
    subjects=(VIRTUAL_SERVICE, DESTINATION_RULE, SERVICE_ENTRY, GATEWAY, SERVICE),
    check=_check_exports,
)
ANALYZERS: Final = (
    EXPORTS,
    Analyzer(name="plait.RuleHosts", messages=(NAMES_NOTHING,), subjects=(VIRTUAL_SERVICE,), check=_check_rule),
    Analyzer(name="plait.Wildcards", messages=(NAMES_NOTHING,), subjects=(DESTINATION_RULE,), check=_check_wildcard),
    Analyzer(name="plait.Ports", messages=(NAMES_NOTHING,), subjects=(DESTINATION_RULE,), check=_check_ports),
    Analyzer(name="plait.Addresses", messages=(NAMES_NOTHING,), subjects=(WORKLOAD_ENTRY,), check=_check_address),
    Analyzer(name="plait.Egress", messages=(NAMES_NOTHING,), subjects=(SIDECAR,), check=_check_egress),
    Analyzer(name="plait.Selectors", messages=(NAMES_NOTHING,), subjects=tuple(_SELECTORS), check=_check_selector),
)
