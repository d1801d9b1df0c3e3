"""Where VirtualServices send traffic: hosts, ports, subsets, gateways and what tokens must say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import labels, mapping, mappings, number, sequence, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import (
    DESTINATION_RULE,
    GATEWAY,
    KUBERNETES_GATEWAY,
    REQUEST_AUTHENTICATION,
    SERVICE,
    VIRTUAL_SERVICE,
)
from plait.analyze.known_hosts import find_host
from plait.analyze.messages import (
    HOST_NOT_IN_GATEWAY,
    INGRESS_RULES,
    INTERNAL_GATEWAY,
    JWT_WITHOUT_AUTHENTICATION,
    PORT_REQUIRED,
    REFERENCE_NOT_FOUND,
)
from plait.analyze.pods import pods_selected
from plait.analyze.selectors import selects
from plait.analyze.world import Index, Item, World
from plait.api.names import gateway_place
from plait.snapshot.hosts import complete_host, narrower
from plait.snapshot.indexes import MESH


@dataclass(frozen=True, slots=True)
class Sent:
    """One destination of a rule. `path` leads to it; `protocol` is the list of rules it is in."""

    path: str
    protocol: str
    destination: dict[str, Any]
    mirror: bool = False

    @property
    def host(self) -> str:
        """As it is written."""
        return text(self.destination, "host")

    @property
    def subset(self) -> str:
        """Empty: all pods of the host."""
        return text(self.destination, "subset")


def destinations_of(item: Item) -> tuple[Sent, ...]:
    """Everything that a VirtualService sends traffic to, and then what it sends copies to."""
    return item.kept("destinations", lambda: tuple(_destinations(item.spec)))


def _destinations(spec: dict[str, Any]) -> Iterator[Sent]:
    for protocol in ("tcp", "tls", "http"):
        for rule, content in mappings(spec, protocol):
            for index, route in mappings(content, "route"):
                path = f"spec.{protocol}[{rule}].route[{index}].destination"
                yield Sent(path, protocol, mapping(route, "destination"))
    for rule, content in mappings(spec, "http"):
        if isinstance(content.get("mirror"), dict):
            yield Sent(f"spec.http[{rule}].mirror", "http", content["mirror"], mirror=True)
        for index, mirror in mappings(content, "mirrors"):
            path = f"spec.http[{rule}].mirrors[{index}].destination"
            yield Sent(path, "http", mapping(mirror, "destination"), mirror=True)


def failing(sent: Sent) -> str:
    """What callers feel when a destination leads nowhere."""
    if sent.mirror:
        return ": copies are lost"
    return ": requests get 503" if sent.protocol == "http" else ": connections are closed"


def near_by(world: World, host: str, namespace: str) -> tuple[str, str]:
    """(a remark, a suggestion) about a host that is not there: one of its name elsewhere is probably meant."""
    own = f"a Service of namespace {namespace}" if namespace else "a Service"
    if "." in host or host.startswith("*"):
        return "", f"{own}, its full name, or a ServiceEntry"
    others = sorted(item.namespace for item in world.find(_SERVICES_BY_NAME, host) if item.namespace != namespace)
    if not others:
        return "", f"{own}, or its full name"
    remark = f" (a Service {host!r} is in namespace {', '.join(others)})"
    return remark, f"apply it with -n {others[0]}, or write {host}.{others[0]}.svc.{world.domain}"


_SERVICES_BY_NAME: Final = Index((SERVICE,), lambda item, _: (item.name,))


def _check_hosts(world: World, item: Item) -> Iterator[Finding]:
    export_to = texts(item.spec, "exportTo")
    for sent in destinations_of(item):
        known = find_host(world, sent.host, item.namespace, export_to)
        if known is None:
            full = complete_host(sent.host, item.namespace, world.domain)
            remark, fix = near_by(world, sent.host, item.namespace)
            yield found(
                REFERENCE_NOT_FOUND,
                item,
                f"{sent.path}.host",
                value=sent.host,
                fix=fix,
                detail=f"there is no host {full}{failing(sent)}{remark}",
            )
        elif not isinstance(sent.destination.get("port"), dict):
            if len(known.ports) > 1:
                ports = ", ".join(map(str, known.ports))
                fix = f"port: {{number: {' or '.join(map(str, known.ports))}}}"
                yield found(PORT_REQUIRED, item, sent.path, fix=fix, host=sent.host, ports=ports)
        elif (port := number(sent.destination, "port", "number")) not in known.ports:
            fix = f"one of: {', '.join(map(str, known.ports)) or 'none'}"
            host = complete_host(sent.host, item.namespace, world.domain)
            yield found(
                REFERENCE_NOT_FOUND,
                item,
                f"{sent.path}.port",
                value=port,
                fix=fix,
                detail=f"{host} has no port {port}{failing(sent)}",
            )
    yield from _subsets_at_ingress(world, item)


def _own_subset_hosts(item: Item, _domain: str) -> set[str]:
    """Hosts that a rule is for and chooses a subset of; compared as they are written, as Istio does."""
    hosts = set(texts(item.spec, "hosts"))
    return {
        sent.host
        for sent in destinations_of(item)
        if sent.protocol == "http" and not sent.mirror and sent.subset and sent.host in hosts
    }


_SUBSETS_IN_MESH: Final = Index((VIRTUAL_SERVICE,), _own_subset_hosts)


def _subsets_at_ingress(world: World, item: Item) -> Iterator[Finding]:
    """Istio: a gateway does not ask sidecars' rules, so subsets chosen by those do not hold for its requests."""
    if not sequence(item.spec, "gateways"):
        return
    for sent in destinations_of(item):
        if sent.protocol != "http" or sent.mirror or sent.subset:
            continue
        for other in world.find(_SUBSETS_IN_MESH, sent.host):
            path = f"{sent.path}.host"
            fix = "the subset, in this rule too"
            yield found(
                INGRESS_RULES, item, path, fix=fix, value=sent.host, rule=other.full_name, gateway_rule=item.full_name
            )


def _subsets(item: Item, domain: str) -> set[tuple[str, str]]:
    host = complete_host(text(item.spec, "host"), item.namespace, domain)
    return {(host, text(subset, "name")) for _, subset in mappings(item.spec, "subsets")}


SUBSETS: Final = Index((DESTINATION_RULE,), _subsets)


def _check_subsets(world: World, item: Item) -> Iterator[Finding]:
    for sent in destinations_of(item):
        if not sent.subset:
            continue
        full = complete_host(sent.host, item.namespace, world.domain)
        if not world.find(SUBSETS, (full, sent.subset)):
            rules = world.find(RULES, full)
            known = sorted({text(one, "name") for rule in rules for _, one in mappings(rule.spec, "subsets")})
            fix = f"one of {', '.join(known)}" if known else "a DestinationRule for this host with the subset"
            owners = ", ".join(sorted(str(rule.key) for rule in rules))
            defining = "defines" if len(rules) == 1 else "define"
            about = f"{owners} {defining} {', '.join(known) or 'none'}" if rules else "no DestinationRule is for it"
            yield found(
                REFERENCE_NOT_FOUND,
                item,
                f"{sent.path}.subset",
                value=sent.subset,
                fix=fix,
                detail=f"{full} has no subset {sent.subset!r}{failing(sent)}, as {about}",
            )


RULES: Final = Index(
    (DESTINATION_RULE,), lambda item, domain: (complete_host(text(item.spec, "host"), item.namespace, domain),)
)


def is_internal(gateway: str) -> bool:
    """Whether a Gateway's name is one that the control plane makes of a Kubernetes Gateway."""
    return "~istio-autogenerated-k8s-gateway~" in gateway.partition("/")[2] or (
        "/" not in gateway and "~istio-autogenerated-k8s-gateway~" in gateway
    )


def _check_gateways(world: World, item: Item) -> Iterator[Finding]:
    hosts = texts(item.spec, "hosts")
    for index, name in enumerate(texts(item.spec, "gateways")):
        path = f"spec.gateways[{index}]"
        if name == MESH:
            continue
        if is_internal(name):
            yield found(
                INTERNAL_GATEWAY, item, path, fix="a Gateway or HTTPRoute of your own", value=name, gateway=name
            )
            continue
        namespace, short = gateway_place(name, item.namespace)
        gateway = world.get(GATEWAY, namespace, short)
        kubernetes = world.get(KUBERNETES_GATEWAY, namespace, short) if gateway is None else None
        full = f"{namespace}/{short}" if namespace else short
        if gateway is None and kubernetes is None:
            fix = "its name, or NAMESPACE/NAME"
            yield found(REFERENCE_NOT_FOUND, item, path, value=name, fix=fix, detail=f"there is no Gateway {full}")
            # Istio: what is not there serves no host either.
            served: tuple[str, ...] = ()
        else:
            served = _of_kubernetes(kubernetes) if kubernetes is not None else served_to(gateway, item.namespace)
        # Of a host that is wider than the Gateway's, what both have in common is served.
        if not any(narrower(one, host.lower()) is not None for one in served for host in hosts):
            if gateway is None and kubernetes is None:
                fix = ""
            else:
                fix = f"one of {', '.join(served)}" if served else "a host in the Gateway's servers"
            yield found(
                HOST_NOT_IN_GATEWAY,
                item,
                path,
                fix=fix,
                value=list(hosts),
                gateway=full,
                hosts=", ".join(hosts),
                namespace=item.namespace or "default",
            )


def served_to(gateway: Item | None, namespace: str) -> tuple[str, ...]:
    """The hosts that a Gateway serves for rules of `namespace`, in lower case."""
    result: list[str] = []
    for _, server in mappings(gateway.spec, "servers") if gateway is not None else ():
        for written in texts(server, "hosts"):
            owner, slash, host = written.partition("/")
            if not slash:
                result.append(written.lower())
            elif owner in {"*", namespace} or (owner == "." and gateway is not None and gateway.namespace == namespace):
                result.append(host.lower())
    return tuple(dict.fromkeys(result))


def _of_kubernetes(gateway: Item) -> tuple[str, ...]:
    return tuple(text(listener, "hostname") or "*" for _, listener in mappings(gateway.spec, "listeners"))


_CLAIMS: Final = ("@request.auth.claims.", "@request.auth.claims[")
_AUTHENTICATIONS: Final = Index((REQUEST_AUTHENTICATION,), lambda item, _: (item.namespace,))


def _check_claims(world: World, item: Item) -> Iterator[Finding]:
    claim = _claim(item.spec)
    if claim is None:
        return
    path, name = claim
    for written in texts(item.spec, "gateways"):
        gateway = world.get(GATEWAY, *gateway_place(written, item.namespace)) if written != MESH else None
        if gateway is None:
            continue
        for pod in pods_selected(world, labels(gateway.spec, "selector")):
            policies = [
                *world.find(_AUTHENTICATIONS, world.root_namespace),
                *world.find(_AUTHENTICATIONS, pod.namespace),
            ]
            if not any(selects(labels(policy.spec, "selector", "matchLabels"), pod.labels) for policy in policies):
                fix = f"a RequestAuthentication in namespace {pod.namespace} that selects this pod"
                yield found(
                    JWT_WITHOUT_AUTHENTICATION,
                    item,
                    path,
                    fix=fix,
                    value=name,
                    claim=name,
                    pod=pod.name,
                    gateway=gateway.full_name,
                )


def _claim(spec: dict[str, Any]) -> tuple[str, str] | None:
    for rule, content in mappings(spec, "http"):
        for index, match in mappings(content, "match"):
            for field in ("headers", "withoutHeaders"):
                for name in mapping(match, field):
                    if name.lower().startswith(_CLAIMS):
                        return f"spec.http[{rule}].match[{index}].{field}.{name}", name
    return None


ANALYZERS: Final = (
    Analyzer(
        name="virtualservice.DestinationHostAnalyzer",
        messages=(REFERENCE_NOT_FOUND, PORT_REQUIRED, INGRESS_RULES),
        subjects=(VIRTUAL_SERVICE,),
        check=_check_hosts,
    ),
    Analyzer(
        name="virtualservice.DestinationRuleAnalyzer",
        messages=(REFERENCE_NOT_FOUND,),
        subjects=(VIRTUAL_SERVICE,),
        check=_check_subsets,
    ),
    Analyzer(
        name="virtualservice.GatewayAnalyzer",
        messages=(REFERENCE_NOT_FOUND, HOST_NOT_IN_GATEWAY, INTERNAL_GATEWAY),
        subjects=(VIRTUAL_SERVICE,),
        check=_check_gateways,
    ),
    Analyzer(
        name="virtualservice.JWTClaimRouteAnalyzer",
        messages=(JWT_WITHOUT_AUTHENTICATION,),
        subjects=(VIRTUAL_SERVICE,),
        check=_check_claims,
    ),
)
