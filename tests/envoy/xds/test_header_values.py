"""Our reading of Envoy's variables in values of headers against a real Envoy: what we accept it must take."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from plait.api.problem import Level

TAKEN = [
    "a", "100%%", "%HOSTNAME%", "%REQ(a)%%HOSTNAME%", "%REQ(a?b):3%", "%REQ(:path)%", "%REQ(a?)%", "%RESP(a!b):10%",
    "%DYNAMIC_METADATA(a:b):5%", '%DYNAMIC_METADATA(["a","b"]):3%', '%UPSTREAM_METADATA(["a", "b"])%',
    '%CLUSTER_METADATA(["a)b"])%', "%UPSTREAM_METADATA(a b)%", "%METADATA(ROUTE:a):3%", "%METADATA(DYNAMIC)%",
    "%FILTER_STATE(a:FIELD:b)%", "%FILTER_STATE(a:PLAIN):5%", "%FILTER_STATE(a:)%", "%UPSTREAM_FILTER_STATE(a)%",
    "%PER_REQUEST_STATE(a b)%", "%QUERY_PARAM(a b):2%", "%QUERY_PARAMS(ORIG):3%", "%PATH(NQ:ORIG_OR_PATH):3%", "%PATH%",
    "%ENVIRONMENT(a-b):3%", "%COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)%", "%GRPC_STATUS(SNAKE_STRING)%",
    "%START_TIME(%Y é %3f)%", "%UPSTREAM_PEER_CERT_V_END(%s)%", "%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%",
]  # fmt: skip
REFUSED = [
    "%", "%a%", "%FOO%", "%REQ%", "%REQ()%", "%REQ(a b)%", "%REQ(a?b?c)%", "%PROTOCOL:3%", "%START_TIME(%Y):3%",
    "%UPSTREAM_METADATA(a):3%", "%FILTER_STATE(a:FIELD)%", "%FILTER_STATE(a:X)%", "%PATH(X)%", "%METADATA(a:b)%",
    "%COMMON_DURATION(a)%", "%GRPC_STATUS(X)%", "%GRPC_STATUS(NUMBER):3%", "%PER_REQUEST_STATE(a:b)%", "%DURATION(a)%",
]  # fmt: skip
NAMES = ["x-a", "x a", "é", "(", "@a"]


def rule(values: dict[str, str]) -> list[dict[str, Any]]:
    metadata = {"name": "web", "namespace": "shop"}
    headers = {"request": {"set": values}, "response": {"add": values}}
    spec = {"hosts": ["web"], "http": [{"headers": headers, "route": [{"destination": {"host": "web"}}]}]}
    service = {"clusterIP": "10.42.128.1", "ports": [{"name": "http", "port": 80}]}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec},
    ]


@pytest.mark.envoy
@pytest.mark.parametrize("values", [{f"x-{n}": value for n, value in enumerate(TAKEN)}, dict.fromkeys(NAMES, "a")])
def test_envoy_takes_what_we_accept(
    values: dict[str, str], mesh: SimpleNamespace, accepted_by_envoy: Callable[[dict[str, Any]], None]
) -> None:
    node = mesh.node(kind="sidecar", ip="10.42.0.2", pod="caller", namespace="shop")
    proxy = mesh.proxy(rule(values), node)
    assert not [p for found in proxy.engine.problems().values() for p in found if p.level is Level.ERROR]
    accepted_by_envoy(proxy.bootstrap())


@pytest.mark.envoy
@pytest.mark.parametrize("value", REFUSED)
def test_what_we_refuse_never_reaches_envoy(value: str, mesh: SimpleNamespace) -> None:
    node = mesh.node(kind="sidecar", ip="10.42.0.2", pod="caller", namespace="shop")
    proxy = mesh.proxy(rule({"x-a": value}), node)
    paths = [p.path for found in proxy.engine.problems().values() for p in found if p.level is Level.ERROR]
    assert paths == ["spec.http[0].headers.request.set[x-a]", "spec.http[0].headers.response.add[x-a]"]
