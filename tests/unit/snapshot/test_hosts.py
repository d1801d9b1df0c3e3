"""Short names, wildcards and protocols: Istio's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api.kubernetes import ServicePort
from plait.snapshot.hosts import complete_host, host_matches, most_specific, narrower
from plait.snapshot.protocols import Protocol, protocol_of

NAMES = st.sampled_from(["*", "*.a", "*.b.a", "b.a", "c.b.a", "a", "*.c.b.a", "*b.a"])


@pytest.mark.parametrize(
    ("host", "full"),
    [
        ("reviews", "reviews.shop.svc.cluster.local"),
        ("Reviews", "reviews.shop.svc.cluster.local"),
        ("reviews.bank", "reviews.bank"),
        ("*.com", "*.com"),
        ("*", "*"),
    ],
)
def test_only_names_without_a_dot_are_completed(host: str, full: str) -> None:
    assert complete_host(host, "shop", "cluster.local") == full


def test_the_most_specific_pattern_wins() -> None:
    patterns = ["*", "*.com", "*.shop.com", "a.shop.com"]
    assert most_specific(patterns, "a.shop.com") == "a.shop.com"
    assert most_specific(patterns, "b.shop.com") == "*.shop.com"
    assert most_specific(patterns, "b.org") == "*"
    assert most_specific(["*.com"], "b.org") is None
    assert most_specific(["*.com"], "com") is None


@given(one=NAMES, other=NAMES)
def test_what_two_hosts_have_in_common_does_not_depend_on_their_order(one: str, other: str) -> None:
    common = narrower(one, other)
    assert common == narrower(other, one)
    if common is not None:
        assert host_matches(one, common)
        assert host_matches(other, common)


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        (ServicePort(port=80, name="http"), Protocol.HTTP),
        (ServicePort(port=80, name="http-web"), Protocol.HTTP),
        (ServicePort(port=80, name="HTTP2-x"), Protocol.HTTP2),
        (ServicePort(port=80, name="grpc"), Protocol.HTTP2),
        (ServicePort(port=80, name="grpc-web-x"), Protocol.GRPC_WEB),
        (ServicePort(port=53), Protocol.TCP),
        (ServicePort(port=443, name="https-x"), Protocol.TLS),
        (ServicePort(port=3306, name="tcp-db"), Protocol.TCP),
        (ServicePort(port=3306), Protocol.TCP),
        (ServicePort(port=27017), Protocol.TCP),
        (ServicePort(port=5672, name="amq"), Protocol.AUTO),
        (ServicePort(port=80), Protocol.AUTO),
        (ServicePort(port=80, name="web", app_protocol="http"), Protocol.HTTP),
        (ServicePort(port=80, name="http", app_protocol="tcp"), Protocol.TCP),
        (ServicePort(port=80, app_protocol="kubernetes.io/h2c"), Protocol.HTTP2),
        (ServicePort(port=53, name="http", protocol="UDP"), Protocol.UDP),
    ],
)
def test_protocols_come_from_app_protocol_then_name_then_port(port: ServicePort, protocol: Protocol) -> None:
    assert protocol_of(port) is protocol
