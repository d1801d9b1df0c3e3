"""Gateways: pods, ports, certificates, and other Gateways that want the same."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.credentials import credential_fault, key_fault
from plait.analyze.fields import labels, mapping, mappings, number, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import GATEWAY, SECRET, SERVICE
from plait.analyze.messages import (
    CONFLICTING_GATEWAYS,
    DUPLICATE_CERTIFICATE,
    GATEWAY_PORT,
    INVALID_CREDENTIAL,
    REFERENCE_NOT_FOUND,
    WRONG_KEY,
)
from plait.analyze.pods import pods_selected
from plait.analyze.selectors import selector_text, selects
from plait.analyze.world import Index, Item, World

_SERVICES: Final = Index((SERVICE,), lambda item, _: (item.namespace,))
_ANY_POD: Final = "any pod"


def _no_pods(item: Item) -> Finding:
    selector = labels(item.spec, "selector")
    shown = selector_text(selector)
    return found(
        REFERENCE_NOT_FOUND,
        item,
        "spec.selector",
        value=selector,
        fix="the labels of a gateway's pods, such as istio: ingressgateway",
        detail=f"no pod carries {shown or 'any label'}, so nothing is served",
    )


def _check_ports(world: World, item: Item) -> Iterator[Finding]:
    """A server's port is a Service's own number, which is translated to its target port, or that target port itself."""
    selector = labels(item.spec, "selector")
    pods = list(pods_selected(world, selector))
    if not pods:
        yield _no_pods(item)
        return
    open_ports: set[int] = set()
    for pod in pods:
        open_ports |= world.derived(("pod-ports", pod), (SERVICE,), partial(_led_to, world, pod))
    for index, server in mappings(item.spec, "servers"):
        if isinstance(server.get("port"), dict) and (port := number(server, "port", "number")) not in open_ports:
            known = ", ".join(map(str, sorted(open_ports))) or "none"
            path = f"spec.servers[{index}].port.number"
            shown = selector_text(selector) or _ANY_POD
            yield found(GATEWAY_PORT, item, path, value=port, fix=f"one of: {known}", port=port, selector=shown)


def _led_to(world: World, pod: Item) -> frozenset[int]:
    """The numbers under which Services lead to a pod: their own and those of their targets."""
    result: set[int] = set()
    for service in world.find(_SERVICES, pod.namespace):
        if selects(labels(service.spec, "selector"), pod.labels):
            for _, port in mappings(service.spec, "ports"):
                if (text(port, "protocol") or "TCP") == "TCP":
                    result |= {number(port, "port"), number(port, "targetPort")}
    return frozenset(result - {0})


_CERTIFICATES: Final = Index(
    (GATEWAY,),
    lambda item, _: {
        _certificate(mapping(server, "tls")) for _, server in mappings(item.spec, "servers") if server.get("tls")
    },
)


def _certificate(tls: dict[str, Any]) -> tuple[str, ...]:
    """What servers with one certificate have in common: a Secret, beside which files do not count, or both files."""
    secret, files = text(tls, "credentialName"), (text(tls, "serverCertificate"), text(tls, "privateKey"))
    if secret:
        return (secret,)
    return files if all(files) else ()


def _check_certificates(world: World, item: Item) -> Iterator[Finding]:
    selector = labels(item.spec, "selector")
    for index, server in mappings(item.spec, "servers"):
        if not isinstance(server.get("tls"), dict):
            continue
        certificate = _certificate(mapping(server, "tls"))
        if not certificate:
            continue
        for other in world.find(_CERTIFICATES, certificate):
            # Istio: the other one must serve on at least the pods of this one.
            if other is not item and selector.items() <= labels(other.spec, "selector").items():
                names = f"{item.full_name} and {other.full_name}"
                path = f"spec.servers[{index}].tls"
                yield found(DUPLICATE_CERTIFICATE, item, path, fix="one Gateway with both hosts", gateways=names)


def _check_credentials(world: World, item: Item) -> Iterator[Finding]:
    pods = pods_selected(world, labels(item.spec, "selector"))
    # Istio asks any one of them; always the same gives equal findings for equal worlds.
    pod = min(pods, key=lambda one: one.key, default=None)
    if pod is None:
        yield _no_pods(item)
        return
    for index, server in mappings(item.spec, "servers"):
        for field, name in _credentials_of(mapping(server, "tls")):
            path = f"spec.servers[{index}].tls.{field}"
            owner, _, short = name.rpartition("/")
            secret = world.get(SECRET, owner or pod.namespace, short)
            if secret is None:
                where = owner or pod.namespace
                fix = f"a Secret of namespace {where}" + ("" if owner else ", where the gateway's pods are")
                effect = f" in namespace {where}" if where else ""
                detail = f"there is no Secret {short!r}{effect}"
                yield found(REFERENCE_NOT_FOUND, item, path, value=name, fix=fix, detail=detail)
            elif field == _AUTHORITIES:
                continue
            elif fault := credential_fault(secret.obj, world.surroundings.now):
                yield found(INVALID_CREDENTIAL, item, path, value=name, secret=secret.full_name, detail=fault)
            elif key_fault(secret.obj):
                yield found(WRONG_KEY, item, path, value=name, secret=secret.full_name)


_AUTHORITIES: Final = "caCertCredentialName"


def _credentials_of(tls: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(field, Secret) of what a server asks for; a list takes the place of one name."""
    names = tls.get("credentialNames")
    several = [(f"credentialNames[{n}]", name) for n, name in enumerate(names if isinstance(names, list) else ())]
    single = [(name, text(tls, name)) for name in ("credentialName",) if not several]
    for field, name in (*several, *single, (_AUTHORITIES, text(tls, _AUTHORITIES))):
        if isinstance(name, str) and name:
            yield field, name


_PORTS: Final = Index(
    (GATEWAY,), lambda item, _: {number(server, "port", "number") for _, server in mappings(item.spec, "servers")}
)


def _check_conflicts(world: World, item: Item) -> Iterator[Finding]:
    """Istio: the same host at the same port and bind address, on pods that both Gateways select."""
    selector = labels(item.spec, "selector")
    for index, server in mappings(item.spec, "servers"):
        port, bind, hosts = number(server, "port", "number"), text(server, "bind"), set(texts(server, "hosts"))
        rivals = [
            other.full_name
            for other in world.find(_PORTS, port)
            if other is not item
            and _share_pods(world, selector, labels(other.spec, "selector"))
            and hosts & _last_hosts(other, port, bind)
        ]
        if rivals:
            path = f"spec.servers[{index}].hosts"
            names, listed = ", ".join(sorted(rivals)), ", ".join(texts(server, "hosts"))
            shown = selector_text(selector) or _ANY_POD
            yield found(
                CONFLICTING_GATEWAYS,
                item,
                path,
                fix="hosts of its own, or one Gateway",
                gateways=names,
                hosts=listed,
                port=port,
                selector=shown,
            )


def _last_hosts(item: Item, port: int, bind: str) -> set[str]:
    """The hosts of the last server at a port, by the bind address each has."""
    servers = [server for _, server in mappings(item.spec, "servers") if number(server, "port", "number") == port]
    return set(texts(servers[-1], "hosts")) if servers and text(servers[-1], "bind") == bind else set()


def _share_pods(world: World, one: dict[str, str], other: dict[str, str]) -> bool:
    if one == other:
        return True
    # Istio compares the selectors as texts before it looks at pods.
    first, second = selector_text(one), selector_text(other)
    if first not in second and second not in first:
        return False
    return any(selects(other, pod.labels) for pod in pods_selected(world, one))


ANALYZERS: Final = (
    Analyzer(
        name="gateway.IngressGatewayPortAnalyzer",
        messages=(GATEWAY_PORT, REFERENCE_NOT_FOUND),
        subjects=(GATEWAY,),
        check=_check_ports,
    ),
    Analyzer(
        name="gateway.CertificateAnalyzer",
        messages=(DUPLICATE_CERTIFICATE,),
        subjects=(GATEWAY,),
        check=_check_certificates,
    ),
    Analyzer(
        name="gateway.SecretAnalyzer",
        messages=(REFERENCE_NOT_FOUND, INVALID_CREDENTIAL, WRONG_KEY),
        subjects=(GATEWAY,),
        check=_check_credentials,
    ),
    Analyzer(
        name="gateway.ConflictingGatewayAnalyzer",
        messages=(CONFLICTING_GATEWAYS,),
        subjects=(GATEWAY,),
        check=_check_conflicts,
    ),
)
