"""Gateways and mutual TLS on real Envoys: with the gateway's own certificate, and past it by the name asked for."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tests.envoy.xds.agents import Agents
from tests.envoy.xds.test_mutual_tls import PORTS, Pair, calling, obj, refused, serving
from tests.envoy.xds.test_mutual_tls import get as request

pytestmark = pytest.mark.envoy
HOST = "web-http.shop.svc.cluster.local"
OFFER = ("istio-http/1.1", "http/1.1")
SERVERS = [
    {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["web.example"], "tls": {}},
    {"port": {"number": 15443, "name": "tls", "protocol": "TLS"}, "hosts": ["*.local"], "tls": {}},
]


@pytest.fixture
def gateway(mesh: SimpleNamespace, run_envoy: Any, agents: Agents, application: dict[str, int]) -> Callable[[], Pair]:
    """A gateway in front of a sidecar that takes nothing but mutual TLS."""

    def start() -> Pair:
        common = {"ip": "127.0.0.1", "namespace": "shop", "certificates": True}
        labels = (("app", "web"),)
        node = mesh.node(kind="sidecar", pod="web-1", labels=labels, **common)
        names = {kind: f"0.0.0.0_{number}" for kind, number in PORTS.items()}
        found = run_envoy(mesh.proxy(serving(application, "STRICT"), node), list(names.values()), agents.socket("web"))
        there = {"admin": found["admin"], **{kind: found[name] for kind, name in names.items()}}
        servers = [
            {**server, "tls": {"mode": mode}}
            for server, mode in zip(SERVERS, ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"), strict=True)
        ]
        routes = [{"route": [{"destination": {"host": "web-http"}}]}]
        rules = [
            obj("networking.istio.io/v1", "Gateway", "edge", {"selector": {"istio": "edge"}, "servers": servers}),
            obj(
                "networking.istio.io/v1", "VirtualService", "web",
                {"hosts": ["web.example"], "gateways": ["edge"], "http": routes},
            ),
        ]  # fmt: skip
        edge = mesh.node(kind="router", pod="edge-1", labels=(("istio", "edge"),), **common)
        objects = calling({kind: there[kind] for kind in PORTS}, *rules)
        listeners = {"https": "0.0.0.0_443", "named": "0.0.0.0_15443"}
        found = run_envoy(mesh.proxy(objects, edge), list(listeners.values()), agents.socket("edge"))
        return Pair(there, {kind: found[name] for kind, name in listeners.items()})

    return start


def stranger(*alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def test_a_gateway_shows_its_own_certificate_to_callers_of_the_mesh(gateway: Any, agents: Agents) -> None:
    both = gateway()
    status, said = request(both.here["https"], "web.example", tls=agents.client("other", *OFFER), sni="web.example")
    assert status == 200
    # The gateway ends TLS and begins its own: the application sees the gateway.
    assert "spiffe://cluster.local/ns/shop/sa/edge" in said["cert"]
    refused(lambda: request(both.here["https"], "web.example", tls=stranger(*OFFER), sni="web.example"))
    refused(lambda: request(both.here["https"], "web.example"))


def test_a_connection_goes_past_the_gateway_by_the_name_that_it_asks_for(gateway: Any, agents: Agents) -> None:
    both = gateway()
    caller, port = agents.client("other", *OFFER), both.here["named"]
    name = f"outbound_.{PORTS['http']}_._.{HOST}"
    status, said = request(port, HOST, tls=caller, sni=name)
    assert status == 200
    # TLS is between the two ends: the application sees the caller, and the gateway nothing.
    assert "spiffe://cluster.local/ns/shop/sa/other" in said["cert"]
    for wrong in (f"outbound_.{PORTS['http']}_.v9_.{HOST}", f"outbound|{PORTS['http']}||{HOST}", HOST, "web.example"):
        refused(lambda wrong=wrong: request(port, HOST, tls=caller, sni=wrong))  # type: ignore[misc]
    # Not mutual TLS of the mesh: no chain is for it, whatever its name.
    refused(lambda: request(port, HOST, tls=stranger("http/1.1"), sni=name))
    refused(lambda: request(port, HOST, tls=stranger(), sni=name))
