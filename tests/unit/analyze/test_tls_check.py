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


def pod(app: str, namespace: str = "shop") -> Item:
    containers = [{"name": "istio-proxy", "image": "plait/proxyv2"}, {"name": app}]
    return obj("v1", "Pod", app, namespace, {"containers": containers}, app=app)


def rule(mode: str, port: int = 0) -> Item:
    policy: dict[str, Any] = {"tls": {"mode": mode}}
    if port:
        policy = {"portLevelSettings": [{"port": {"number": port}, **policy}]}
    return obj("networking.istio.io/v1", "DestinationRule", "carts", "shop", {"host": HOST, "trafficPolicy": policy})


def strict(namespace: str) -> Item:
    return obj("security.istio.io/v1", "PeerAuthentication", "default", namespace, {"mtls": {"mode": "STRICT"}})


CARTS = (service("carts"), pod("carts"))


def test_the_lessons_row_says_what_is_spoken_and_who_asks_for_more() -> None:
    world = World((*CARTS, rule("ISTIO_MUTUAL"), strict("istio-system")))
    (row,) = tls_rows(world, "shop", HOST)
    assert row.cells == (f"{HOST}:80", "OK", "HTTP", "HTTP", "default/", "carts/shop")
    assert row.asked == (
        ("PeerAuthentication/istio-system/default", "STRICT"),
        ("DestinationRule/shop/carts", "ISTIO_MUTUAL"),
    )


def test_without_objects_that_have_a_say() -> None:
    (row,) = tls_rows(World(CARTS), "shop", HOST)
    assert row.cells == (f"{HOST}:80", "OK", "HTTP", "HTTP", "-", "-")
    assert row.asked == ()


@pytest.mark.parametrize(
    ("port", "client", "status"), [(0, "TLS", "CONFLICT"), (80, "TLS", "CONFLICT"), (81, "HTTP", "OK")]
)
def test_tls_that_the_client_begins_and_nobody_ends(port: int, client: str, status: str) -> None:
    (row,) = tls_rows(World((*CARTS, rule("SIMPLE", port=port), strict("shop"))), "shop", HOST)
    assert row.cells[1:] == (status, "HTTP", client, "default/shop", "carts/shop")


@pytest.mark.parametrize("host", ["carts", "carts:80", "carts.shop", "carts.shop.svc", HOST, f"{HOST}:80", ""])
def test_a_host_may_be_said_in_short(host: str) -> None:
    world = World((*CARTS, service("carts", "other"), service("carts2")))
    found = [row.host for row in tls_rows(world, "shop", host)]
    assert found[0 if host else 1] == f"{HOST}:80"
    assert len(found) == (1 if host else 3)


@pytest.mark.parametrize("host", ["basket", "carts:81", "carts.else"])
def test_a_host_that_nobody_has(host: str) -> None:
    assert list(tls_rows(World(CARTS), "shop", host)) == []
