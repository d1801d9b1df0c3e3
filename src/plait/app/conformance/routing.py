"""Conformance set `routing`: where calls end up, by the configuration that the mesh would send to the proxy."""

from __future__ import annotations

import json
from typing import Any, Final

from plait.api.meta import ObjectKey
from plait.api.yaml import objects, read_yaml
from plait.mesh.config import MeshConfig
from plait.mesh.node import ProxyNode
from plait.simulate.call import NOBODY, Call, Outcome
from plait.simulate.configuration import Configuration
from plait.simulate.simulate import simulate
from plait.xds import names
from plait.xds.engine import Engine, Upsert
from plait.xds.fragments import VIEW_TYPES

_ALPN: Final = {
    ("tls", "http"): ("http/1.1",),
    ("tls", "http2"): ("h2",),
    ("mtls", "http"): ("istio-http/1.1",),
    ("mtls", "http2"): ("istio-h2",),
    ("mtls", "tcp"): ("istio",),
}
_CLUSTER_SCOPED: Final = frozenset({"Namespace", "Node", "GatewayClass", "IngressClass"})
_BESIDE: Final = {
    names.PASSTHROUGH_CLUSTER: "passthrough",
    names.DYNAMIC_DNS_CLUSTER: "passthrough",
    names.BLACKHOLE_CLUSTER: "blackhole",
    names.INBOUND_PASSTHROUGH_CLUSTER: "inbound_passthrough",
}


def calls_of(case: dict[str, Any]) -> tuple[Configuration, bool, list[Call]]:
    """What a simulation case is about: a proxy's configuration, whether it is a gateway's, and the calls."""
    engine, node = _world(case)
    calls = [_call(given.get("request", given)) for given in case.get("calls", ())]
    return _configuration(engine, node), node.kind == "router", calls


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """One kind of case asks for calls, the other for the virtual hosts of a port."""
    engine, node = _world(case)
    configuration = _configuration(engine, node)
    if case["kind"] == "virtual-host-clusters":
        return {"virtual_hosts": _hosts(engine, configuration, str(case["route_name"]))}
    gateway = node.kind == "router"
    results = []
    for given in case.get("calls", ()):
        outcome = simulate(configuration, _call(given.get("request", given)), gateway=gateway)
        results.append(_result(engine, outcome))
    return {"calls": results}


def _world(case: dict[str, Any]) -> tuple[Engine, ProxyNode]:
    proxy = case.get("proxy") or {}
    node = ProxyNode(
        kind=proxy.get("type") or "sidecar",
        ip=(proxy.get("ip_addresses") or ["1.1.1.1"])[0],
        pod="case",
        namespace=proxy.get("namespace") or "default",
        labels=tuple(sorted((proxy.get("labels") or {}).items())),
        certificates=True,
    )
    engine = Engine(MeshConfig())
    changes: list[Upsert] = []
    for field in ("kube_yaml", "config_yaml"):
        found = objects(read_yaml(case.get(field) or "", field))
        changes += [Upsert(_placed(obj)) for obj in found if isinstance(obj, dict)]
    if case.get("mesh_config"):
        metadata = {"name": "istio", "namespace": "istio-system"}
        settings = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"mesh": _text(case["mesh_config"])},
        }
        changes.append(Upsert(settings))
    engine.apply(changes)
    engine.attach(node)
    return engine, node


def _text(settings: Any) -> str:
    return settings if isinstance(settings, str) else json.dumps(settings)


def _placed(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or obj.get("kind") in _CLUSTER_SCOPED or metadata.get("namespace"):
        return obj
    return {**obj, "metadata": {**metadata, "namespace": "default"}}


def _configuration(engine: Engine, node: ProxyNode) -> Configuration:
    engine.take()
    views = engine.attach(node)
    return Configuration.of(
        resource for view in views for type_url in VIEW_TYPES for resource in engine.resources(view, type_url)
    )


def _call(request: dict[str, Any]) -> Call:
    protocol: Any
    tls: Any
    protocol, tls = request.get("protocol") or "tcp", request.get("tls") or "plaintext"
    alpn = request.get("alpn")
    host = request.get("host_header") or ""
    headers = {name.lower(): tuple(each) if isinstance(each, list) else (str(each),)
               for name, each in (request.get("headers") or {}).items()}  # fmt: skip
    return Call(
        port=request.get("port") or 0,
        address=request.get("address") or NOBODY,
        protocol=protocol,
        tls=tls,
        alpn=tuple(alpn if isinstance(alpn, list) else [alpn]) if alpn else _ALPN.get((tls, protocol), ()),
        sni=request.get("sni") or (host if tls == "tls" else ""),
        host=host,
        path=request.get("path") or "/",
        headers=headers,
        inbound=request.get("call_mode") == "inbound",
        mesh_certificate=request.get("mtls_secret_config_name") or names.WORKLOAD_CERTIFICATE,
    )


def _result(engine: Engine, outcome: Outcome) -> dict[str, Any]:
    return {
        "destination": None if outcome.error else _destination(engine, outcome),
        "error": outcome.error,
        "listener": outcome.listener,
        "filter_chain": outcome.filter_chain,
        "route_config": outcome.route_configuration,
        "virtual_host": outcome.virtual_host,
        "route": outcome.route,
        "cluster": outcome.cluster,
    }


def _destination(engine: Engine, outcome: Outcome) -> Any:
    if outcome.virtual_host.startswith(names.BLOCK_ALL):
        return "blackhole"
    return _target(engine, outcome.cluster)


def _target(engine: Engine, cluster: str) -> Any:
    if cluster in _BESIDE:
        return _BESIDE[cluster]
    # Where mutual TLS goes by its names, clusters are called by these.
    parts = cluster.split("_.", 3) if cluster.startswith("outbound_.") else cluster.split("|")
    direction, port, subset, host = (*parts, "", "", "", "")[:4]
    number = int(port) if port.isdigit() else None
    return {"direction": direction, "port": number, "subset": subset or None, "host": _host(engine, host) or None}


def _host(engine: Engine, host: str) -> str:
    """A host as upstream's tests name it: they complete short names that nobody has with the namespace alone."""
    short = host.removesuffix(f".svc.{engine.mesh.domain}")
    name, _, namespace = short.partition(".")
    known = (
        short == host or "." in namespace or engine.snapshot.object(ObjectKey("Service", namespace, name)) is not None
    )
    return host if known else short


def _hosts(engine: Engine, configuration: Configuration, name: str) -> dict[str, Any]:
    routes = configuration.routes.get(name)
    found: dict[str, Any] = {}
    for host in routes.virtual_hosts if routes is not None else ():
        clusters: list[str] = []
        for route in host.routes:
            action = route.route
            clusters += [action.cluster] if action.cluster else [s.name for s in action.weighted_clusters.clusters]
        for domain in host.domains:
            found[domain] = [_target(engine, cluster) for cluster in clusters]
    return found
