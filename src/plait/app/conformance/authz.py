"""Conformance set `authz`: is a request let through? By the filters that the mesh would send to the proxy."""

from __future__ import annotations

import json
from typing import Any, Final

from envoy.config.listener.v3.listener_components_pb2 import FilterChain

from plait.api.yaml import objects, read_yaml
from plait.mesh.config import MeshConfig
from plait.mesh.node import ProxyNode
from plait.simulate.configuration import Configuration
from plait.simulate.judgement import refusal
from plait.simulate.rbac import Approach, judgements
from plait.simulate.request import Request
from plait.simulate.simulate import manager_of
from plait.xds import names
from plait.xds.engine import Change, Engine, Upsert
from plait.xds.fragments import VIEW_TYPES

_ADDRESS: Final = "10.99.99.99"


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """`allow` or `deny` for each request, in order."""
    chain = _chain(case)
    manager = manager_of(chain)
    filters: Any = chain.filters if manager is None else manager.http_filters
    decisions = []
    for given in case.get("requests", ()):
        approach = _approach(given.get("request", given), http=manager is not None)
        decisions.append("deny" if refusal(judgements(filters, approach)) else "allow")
    return {"decisions": decisions}


def _chain(case: dict[str, Any]) -> FilterChain:
    """What a workload's proxy has for ports that no Service declares: all ports are alike to policies."""
    workload = case.get("workload") or {}
    node = ProxyNode(
        kind="sidecar",
        ip=_ADDRESS,
        pod="case",
        namespace=workload.get("namespace") or "default",
        labels=tuple(sorted((workload.get("labels") or {}).items())),
        certificates=True,
    )
    engine = Engine(MeshConfig())
    changes: list[Change] = [
        Upsert(each) for each in objects(read_yaml(case.get("policies_yaml") or "")) if isinstance(each, dict)
    ]
    settings = {**(case.get("mesh_config") or {}), **_domains(case)}
    metadata = {"name": "istio", "namespace": engine.mesh.root_namespace}
    data = {"mesh": json.dumps(settings)}
    changes.append(Upsert({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
    engine.apply(changes)
    views = engine.attach(node)
    engine.take()
    configuration = Configuration.of(
        resource for view in views for type_url in VIEW_TYPES for resource in engine.resources(view, type_url)
    )
    wanted = names.INBOUND_CATCHALL_HTTP_CHAIN if case.get("protocol") == "http" else names.INBOUND_CATCHALL_CHAIN
    listener = configuration.listeners[names.VIRTUAL_INBOUND]
    return next(each for each in listener.filter_chains if each.name == wanted)


def _domains(case: dict[str, Any]) -> dict[str, Any]:
    given = {"trustDomain": case.get("trust_domain"), "trustDomainAliases": case.get("trust_domain_aliases")}
    return {name: value for name, value in given.items() if value}


def _approach(given: dict[str, Any], *, http: bool) -> Approach:
    source = given.get("source_ip") or ""
    peer = given.get("peer_uri")
    return Approach(
        address=given.get("destination_ip") or _ADDRESS,
        port=given.get("destination_port") or 0,
        direct=source,
        remote=given.get("remote_ip") or source,
        identities=(peer,) if peer else None,
        sni=given.get("sni") or "",
        request=_request(given) if http else None,
        metadata=given.get("metadata") or {},
    )


def _request(given: dict[str, Any]) -> Request:
    path, mark, query = (given.get("path") or "/").partition("?")
    headers = {
        name.lower(): tuple(value) if isinstance(value, list) else (str(value),)
        for name, value in (given.get("headers") or {}).items()
    }
    return Request(
        method=given.get("method") or "GET",
        host=given.get("host") or "",
        path=path,
        query=query if mark else None,
        scheme="http",
        headers=headers,
    )
