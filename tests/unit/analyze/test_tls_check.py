"""The table of `istioctl authn tls-check`."""

from __future__ import annotations

from typing import Any

import pytest

from plait.analyze.tls_check import tls_rows
from plait.analyze.world import Item, World

HOST = "carts.shop.svc.cluster.local"


def obj(version: str, kind: str, name: str, namespace: str, spec: dict[str, Any], **labels: str) -> Item:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return Item({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


def service(name: str, namespace: str = "shop") -> Item:
    ports = [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    return obj("v1", "Service", name, namespace, {"selector": {"app": name}, "ports": ports})


def pod(app: str, namespace: str = "shop", **labels: str) -> Item:
    containers = [{"name": "istio-proxy", "image": "plait/proxyv2"}, {"name": app}]
    return obj("v1", "Pod", app, namespace, {"containers": containers}, app=app, **labels)


def rule(mode: str, port: int = 0) -> Item:
    policy: dict[str, Any] = {"tls": {"mode": mode}}
    if port:
        policy = {"portLevelSettings": [{"port": {"number": port}, **policy}]}
    return obj("networking.istio.io/v1", "DestinationRule", "carts", "shop", {"host": HOST, "trafficPolicy": policy})


def strict(namespace: str) -> Item:
    return obj("security.istio.io/v1", "PeerAuthentication", "default", namespace, {"mtls": {"mode": "STRICT"}})


CARTS = (service("carts"), pod("carts"))


def mesh(settings: str) -> Item:
    made = obj("v1", "ConfigMap", "istio", "istio-system", {})
    made.obj["data"] = {"mesh": settings}
    return made


HTTP, BOTH, MUTUAL, TLS = "HTTP", "HTTP/mTLS", "mTLS", "TLS"
MESHED = (service("carts"), pod("carts", **{"security.istio.io/tlsMode": "istio"}))
NOT_BY_ITSELF = mesh("enableAutoMtls: false")
ROWS: dict[str, tuple[tuple[Item, ...], tuple[str, ...]]] = {
    "the lesson's": (
        (*MESHED, rule("ISTIO_MUTUAL"), strict("istio-system")), ("OK", MUTUAL, MUTUAL, "default/", "carts/shop"),
    ),
    "nobody has a say": (MESHED, ("OK", BOTH, MUTUAL, "-", "-")),
    "a policy of the namespace": ((*MESHED, strict("shop")), ("OK", MUTUAL, MUTUAL, "default/shop", "-")),
    "not by itself": ((*MESHED, NOT_BY_ITSELF), ("OK", BOTH, HTTP, "-", "-")),
    "not by itself, and demanded": (
        (*MESHED, NOT_BY_ITSELF, strict("istio-system")), ("CONFLICT", MUTUAL, HTTP, "default/", "-"),
    ),
    "a rule against the policy": (
        (*MESHED, strict("shop"), rule("DISABLE")), ("CONFLICT", MUTUAL, HTTP, "default/shop", "carts/shop"),
    ),
    "a rule that the policy lets be": ((*MESHED, rule("DISABLE")), ("OK", BOTH, HTTP, "-", "carts/shop")),
    "TLS that nobody ends": ((*MESHED, rule("SIMPLE")), ("CONFLICT", BOTH, TLS, "-", "carts/shop")),
    "a rule for the port": ((*MESHED, rule("SIMPLE", port=80)), ("CONFLICT", BOTH, TLS, "-", "carts/shop")),
    "a rule for another port": ((*MESHED, rule("SIMPLE", port=81)), ("OK", BOTH, MUTUAL, "-", "carts/shop")),
    "no sidecar": ((*CARTS, strict("shop")), ("OK", HTTP, HTTP, "-", "-")),
    "no sidecar, and a rule": ((*CARTS, rule("ISTIO_MUTUAL")), ("CONFLICT", HTTP, MUTUAL, "-", "carts/shop")),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_what_pods_take_and_sidecars_send(case: str) -> None:
    objects, cells = ROWS[case]
    (row,) = tls_rows(World(objects), "shop", HOST)
    assert row.cells == (f"{HOST}:80", *cells)


@pytest.mark.parametrize("host", ["carts", "carts:80", "carts.shop", "carts.shop.svc", HOST, f"{HOST}:80", ""])
def test_a_host_may_be_said_in_short(host: str) -> None:
    world = World((*CARTS, service("carts", "other"), service("carts2")))
    found = [row.host for row in tls_rows(world, "shop", host)]
    assert found[0 if host else 1] == f"{HOST}:80"
    assert len(found) == (1 if host else 3)


@pytest.mark.parametrize("host", ["basket", "carts:81", "carts.else"])
def test_a_host_that_nobody_has(host: str) -> None:
    assert list(tls_rows(World(CARTS), "shop", host)) == []
