"""What each object contributes to the snapshot: its facts, and its memberships in sets.

Pure functions of one object. `Contribution.facts` are entries of their own; `members` are (key of a set, member).
Members of one set have one shape and are ordered by their fields, which is how precedence comes about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plait.api.decode import MeshObject
from plait.api.destinationrule import (
    DestinationRule,
    DestinationRuleSpec,
    LocalitySetting,
    PortPolicy,
    TrafficPolicy,
    ZoneAwareSetting,
)
from plait.api.envoyfilter import EnvoyFilter
from plait.api.gateway import Gateway
from plait.api.ingress import Ingress, IngressClass
from plait.api.kubernetes import EndpointSlice, Namespace, Node, Pod, Secret, Service
from plait.api.mesh_settings import KEY as MESH_SETTINGS
from plait.api.mesh_settings import ConfigMap, read_settings
from plait.api.meta import ObjectKey
from plait.api.names import gateway_place
from plait.api.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from plait.api.serviceentry import ServiceEntry
from plait.api.sidecar import Sidecar
from plait.api.virtualservice import Destination, VirtualService
from plait.api.workloadentry import WorkloadEntry
from plait.snapshot import keys
from plait.snapshot.authorization import authorization_policy
from plait.snapshot.contribution import Contribution, provide, sorted_labels
from plait.snapshot.entries import service_entry, sidecar, workload_entry
from plait.snapshot.envoy_filters import envoy_filter
from plait.snapshot.hosts import complete_host, is_wildcard, service_host
from plait.snapshot.ingresses import gateway_of, virtual_services_of
from plait.snapshot.nearness import DISTRIBUTIONS, NODE, said
from plait.snapshot.peers import peer_authentication
from plait.snapshot.protocols import Protocol, protocol_of
from plait.snapshot.rules import IndexRules
from plait.snapshot.tokens import request_authentication
from plait.snapshot.visibility import EVERYBODY, scopes, service_scopes

MESH = "mesh"
"""The name of all sidecars together among the gateways of a VirtualService."""


def contribution(key: ObjectKey, value: MeshObject, rules: IndexRules) -> Contribution:
    """Everything `value` puts into the snapshot; of one in a namespace outside the mesh only itself."""
    result = Contribution({keys.object_key(key): value}, set())
    if not rules.belongs(key.namespace):
        return result
    match value:
        case Service():
            _service(value, rules, result)
        case EndpointSlice():
            _endpoint_slice(value, result)
        case Pod():
            _pod(value, result)
        case VirtualService():
            _virtual_service(key, value, rules, result)
        case DestinationRule():
            _destination_rule(key, value, rules, result)
        case Gateway():
            _gateway(value, result)
        case ServiceEntry():
            service_entry(value, rules, result)
        case WorkloadEntry():
            workload_entry(value, result)
        case EnvoyFilter():
            envoy_filter(value, result)
        case PeerAuthentication():
            peer_authentication(value, result)
        case AuthorizationPolicy():
            authorization_policy(value, result)
        case RequestAuthentication():
            request_authentication(value, result)
        case Sidecar():
            sidecar(value, result)
        case ConfigMap():
            _mesh_settings(value, result)
        case Namespace():
            result.members.add((keys.namespaces(), key.name))
        case Ingress():
            _ingress(value, rules, result)
        case Node() | Secret() | IngressClass():
            pass
    return result


def _near(service: Service, rules: IndexRules) -> str:
    """Where its callers' traffic stays. Istio: the field, else the annotation, else that of its namespace."""
    if service.spec.traffic_distribution in DISTRIBUTIONS:
        return service.spec.traffic_distribution
    return said(service.metadata.annotations) or rules.near_of(service.metadata.namespace)


def _service(service: Service, rules: IndexRules, result: Contribution) -> None:
    meta, spec = service.metadata, service.spec
    name = service_host(meta.name, meta.namespace, rules.domain)
    if spec.type == "ExternalName":
        # It has no address and no endpoints of its own. Callers reach what DNS answers them: a host of the mesh by
        # another name, or what is outside of it.
        target = spec.external_name.lower().removesuffix(".")
        result.facts[keys.alias(name)] = target
        entry = keys.Alias(target, name, meta.namespace, meta.name)
        result.members.update((keys.aliases(s), entry) for s in service_scopes(service, rules.service_export))
        return
    headless = spec.cluster_ip == "None"
    addresses = () if headless else tuple(dict.fromkeys(a for a in (spec.cluster_ip, *spec.cluster_ips) if a))
    known = [(port, protocol_of(port)) for port in spec.ports]
    known = [(port, protocol) for port, protocol in known if protocol is not Protocol.UDP and port.protocol == "TCP"]
    near = _near(service, rules)
    facts = keys.ServiceHost(
        meta.namespace,
        meta.name,
        tuple((port.port, protocol, port.name) for port, protocol in known),
        headless,
        near=near,
        sticky=spec.session_affinity == "ClientIP",
        same_node=spec.internal_traffic_policy == "Local",
    )
    visible = service_scopes(service, rules.service_export)
    place = (0, meta.creation_timestamp, meta.namespace, meta.name, tuple(sorted(visible)))
    provide(name, keys.HostProvider(*place, facts, addresses), result)
    if facts.same_node or near == NODE:
        result.members.add((keys.node_bound(), (meta.namespace, meta.name)))
    if spec.selector:
        label, value = min(spec.selector.items())
        result.members.add((keys.selected_by(meta.namespace, label, value), meta.name))


def _endpoint_slice(piece: EndpointSlice, result: Contribution) -> None:
    if piece.service and piece.address_type != "FQDN":
        result.members.add((keys.slices(piece.metadata.namespace, piece.service), piece.metadata.name))


def _pod(pod: Pod, result: Contribution) -> None:
    meta = pod.metadata
    labels = sorted_labels(meta.labels)
    result.facts[keys.pod_facts(meta.namespace, meta.name)] = keys.PodFacts(
        labels, pod.spec.service_account_name, _workload(pod), pod.spec.node_name
    )
    named: dict[str, int] = {}
    for port in (port for container in pod.spec.containers for port in container.ports):
        if port.name and port.protocol == "TCP":
            # Of a name that several containers have Kubernetes takes the first.
            named.setdefault(port.name, port.container_port)
    if named:
        result.facts[keys.pod_ports(meta.namespace, meta.name)] = tuple(named.items())
    result.members.add((keys.pods_labelled(meta.namespace, labels), meta.name))
    result.members.update((keys.workloads_with("Pod", meta.namespace, *pair), meta.name) for pair in labels)
    if pod.status.pod_ip and pod.status.phase not in {"Succeeded", "Failed"}:
        result.members.add((keys.pods_on(pod.status.pod_ip), (meta.namespace, meta.name)))


def _workload(pod: Pod) -> str:
    """The name users know the pod's workload by: the Deployment, not its ReplicaSet."""
    owner = next((owner for owner in pod.metadata.owner_references if owner.controller), None)
    if owner is None:
        return pod.metadata.name
    revision = pod.metadata.labels.get("pod-template-hash")
    if owner.kind == "ReplicaSet" and revision:
        return owner.name.removesuffix(f"-{revision}")
    return owner.name


def _virtual_service(key: ObjectKey, rule: VirtualService, rules: IndexRules, result: Contribution) -> None:
    meta, spec, domain = rule.metadata, rule.spec, rules.domain
    visible = scopes(spec.export_to or rules.virtual_service_export, meta.namespace)
    matches = [match for routes in (spec.http, spec.tls, spec.tcp) for route in routes for match in route.match]
    labels = {label for match in matches for label in match.source_labels}
    # What a delegate asks of the caller is known when it is looked up.
    delegates = any(http.delegate is not None for http in spec.http)
    looks = delegates or bool(labels) or any(match.source_namespace for match in matches)
    hosts = tuple(dict.fromkeys(complete_host(name, meta.namespace, domain) for name in spec.hosts))
    entry = keys.RuleEntry(
        meta.creation_timestamp, meta.name, meta.namespace, hosts, looks, bool(spec.http), bool(spec.tcp or spec.tls)
    )
    if not hosts:
        result.facts[keys.delegate_scopes(key)] = tuple(sorted(visible))
    for gateway in spec.gateways or (MESH,):
        full = gateway_name(gateway, meta.namespace)
        for scope in visible:
            private = scope == meta.namespace
            result.members.add((keys.virtual_services(full, scope, private=private), entry))
            if full == MESH:
                result.members.add((keys.virtual_services_in(meta.namespace, scope, private=private), entry))
    for scope in visible:
        result.members.update((keys.source_labels(scope), (label, meta.namespace, meta.name)) for label in labels)
    result.members.update((keys.virtual_services_for(name), entry) for name in hosts)
    targets = {
        (complete_host(item.host, meta.namespace, domain), item.port.number if item.port is not None else 0)
        for _, item in destinations_in(rule)
    }
    result.facts[keys.targets(key)] = tuple(sorted(targets))


def destinations_in(rule: VirtualService) -> Iterator[tuple[str, Destination]]:
    """(path, destination) of everything that `rule` sends traffic to."""
    for index, http in enumerate(rule.spec.http):
        for place, item in enumerate(http.route):
            yield f"spec.http[{index}].route[{place}].destination", item.destination
        for place, mirror in enumerate(http.mirrors):
            yield f"spec.http[{index}].mirrors[{place}].destination", mirror.destination
        if http.mirror is not None:
            yield f"spec.http[{index}].mirror", http.mirror
    for kind, ways in (
        ("tls", [each.route for each in rule.spec.tls]),
        ("tcp", [each.route for each in rule.spec.tcp]),
    ):
        for index, way in enumerate(ways):
            for place, item in enumerate(way):
                yield f"spec.{kind}[{index}].route[{place}].destination", item.destination


def gateway_name(name: str, namespace: str) -> str:
    """A gateway as a VirtualService of `namespace` names it, in full: `mesh` or NAMESPACE/NAME."""
    if name == MESH:
        return MESH
    return "/".join(gateway_place(name, namespace))


def _destination_rule(key: ObjectKey, rule: DestinationRule, rules: IndexRules, result: Contribution) -> None:
    meta, spec = rule.metadata, rule.spec
    result.facts[keys.subsets(key)] = tuple(
        keys.SubsetFacts(subset.name, sorted_labels(subset.labels)) for subset in spec.subsets
    )
    policies = (spec.traffic_policy, *(subset.traffic_policy for subset in spec.subsets))
    labels = {label for policy in policies if policy is not None for label in _labels_of_callers(policy)}
    if any(policy is not None and any(_places(policy)) for policy in policies):
        result.members.add((keys.placing_rules(), (meta.namespace, meta.name)))
    settings = (setting for policy in policies if policy is not None for setting in _places(policy))
    if any(isinstance(setting, ZoneAwareSetting) and setting.enabled is not False for setting in settings):
        result.members.add((keys.zone_rules(), (meta.namespace, meta.name)))
    if spec.workload_selector is not None:
        labels.update(spec.workload_selector.match_labels)
    for scope in scopes(spec.export_to or rules.destination_rule_export, meta.namespace):
        owner = f"DestinationRule/{meta.name}"
        result.members.update((keys.source_labels(scope), (label, meta.namespace, owner)) for label in labels)
    host = complete_host(spec.host, meta.namespace, rules.domain)
    for subset in _sticky(spec):
        result.members.add((keys.sticky(host), (subset, meta.namespace, meta.name)))
        if is_wildcard(host):
            result.members.add((keys.sticky_patterns(), (host, meta.namespace, meta.name)))
    selector = sorted_labels(spec.workload_selector.match_labels) if spec.workload_selector is not None else ()
    entry = keys.DestinationEntry(meta.creation_timestamp, meta.name, meta.namespace, host, selector)
    visible = scopes(spec.export_to or rules.destination_rule_export, meta.namespace)
    if EVERYBODY in visible or meta.namespace in visible:
        result.members.add((keys.local_destination_rules(meta.namespace), entry))
    if visible == {meta.namespace}:
        result.members.add((keys.private_destination_rules(meta.namespace), entry))
    else:
        result.members.update((keys.destination_rules(meta.namespace, scope), entry) for scope in visible)


def _sticky(spec: DestinationRuleSpec) -> Iterator[str]:
    """The subsets of which requests find their endpoint again; empty: all."""
    for name, policy in (("", spec.traffic_policy), *((each.name, each.traffic_policy) for each in spec.subsets)):
        balancers = [] if policy is None else [policy.load_balancer]
        balancers += [level.load_balancer for level in policy.port_level_settings] if policy is not None else []
        if any(balancer is not None and balancer.consistent_hash is not None for balancer in balancers):
            yield name


def _places(policy: TrafficPolicy) -> Iterator[LocalitySetting | ZoneAwareSetting]:
    """What a policy says of which endpoints come first."""
    levels: list[TrafficPolicy | PortPolicy] = [policy, *policy.port_level_settings]
    for balancer in (level.load_balancer for level in levels):
        for setting in (balancer.locality_lb_setting, balancer.zone_aware_lb_setting) if balancer is not None else ():
            if setting is not None:
                yield setting


def _labels_of_callers(policy: TrafficPolicy) -> Iterator[str]:
    """Labels of callers by which endpoints are preferred."""
    for setting in _places(policy):
        yield from _priority_labels(setting)


def _priority_labels(setting: LocalitySetting | ZoneAwareSetting | None) -> Iterator[str]:
    for text in setting.failover_priority if setting is not None else ():
        label, given, _ = text.partition("=")
        if not given:
            yield label


def _mesh_settings(settings: ConfigMap, result: Contribution) -> None:
    found = read_settings(settings.data.get(MESH_SETTINGS, "")).settings
    owner = (settings.metadata.namespace, "ConfigMap/" + settings.metadata.name)
    places = (found.locality_lb_setting, found.zone_aware_lb_setting)
    for label in {label for setting in places for label in _priority_labels(setting)}:
        result.members.add((keys.source_labels(EVERYBODY), (label, *owner)))


#: Istio: of the Gateways that it makes itself, for whose workloads one is.
_GATEWAY_SERVICE: Final = "internal.istio.io/gateway-service"


def _gateway(gateway: Gateway, result: Contribution, ingress_class: str = "") -> None:
    meta = gateway.metadata
    entry = keys.GatewayEntry(
        meta.creation_timestamp,
        meta.name,
        meta.namespace,
        sorted_labels(gateway.spec.selector),
        meta.annotations.get(_GATEWAY_SERVICE, ""),
        ingress_class,
    )
    result.members.add((keys.gateways(), entry))


def _ingress(ingress: Ingress, rules: IndexRules, result: Contribution) -> None:
    wanted = rules.ingress.class_of(ingress.metadata.annotations, ingress.spec.ingress_class_name)
    if wanted is None:
        return
    key, gateway = gateway_of(ingress, rules.ingress.selector)
    result.facts[keys.object_key(key)] = gateway
    _gateway(gateway, result, wanted)
    for made, rule in virtual_services_of(ingress):
        result.facts[keys.object_key(made)] = rule
        _virtual_service(made, rule, rules, result)
