"""Identities of workloads as URIs."""

from __future__ import annotations

import pytest

from plait.api.spiffe import WorkloadIdentity, is_trust_domain, parse_identity


def test_an_identity_is_read_as_it_is_written() -> None:
    identity = WorkloadIdentity("cluster.local", "sock-shop", "carts")
    assert identity.uri == "spiffe://cluster.local/ns/sock-shop/sa/carts"
    assert parse_identity(identity.uri) == identity


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://cluster.local",
        "spiffe://cluster.local/ns/a",
        "spiffe://cluster.local/ns/a/sa/",
        "spiffe://cluster.local/ns//sa/b",
        "spiffe://cluster.local/ns/a/sa/b/c",
        "spiffe://cluster.local/ns/a/sa/b\n",
        "spiffe://CLUSTER.local/ns/a/sa/b",
        "spiffe://user@cluster.local/ns/a/sa/b",
        "spiffe://cluster.local:80/ns/a/sa/b",
        "https://cluster.local/ns/a/sa/b",
    ],
)
def test_what_names_no_workload(uri: str) -> None:
    assert parse_identity(uri) is None


@pytest.mark.parametrize(
    ("text", "good"), [("td1", True), ("a.b-c_d", True), ("", False), ("A", False), ("a/b", False)]
)
def test_trust_domains(text: str, good: bool) -> None:
    assert is_trust_domain(text) is good
