"""Addresses for hosts without one: stable, unique, and only where they are needed."""

from __future__ import annotations

from typing import Any

from plait.api.decode import decode
from plait.api.meta import ObjectKey
from plait.api.serviceentry import ServiceEntry
from plait.mesh.allocation import Allocator, in_order


def entry(name: str, **more: Any) -> tuple[ObjectKey, ServiceEntry]:
    spec = {
        "hosts": [f"{name}.example"],
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "resolution": "DNS",
        **more.pop("spec", {}),
    }
    obj = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": "shop", **more.pop("metadata", {})},
        "spec": spec,
        **more,
    }
    decoded = decode(obj)
    assert decoded.key is not None
    assert isinstance(decoded.value, ServiceEntry), decoded.problems
    return decoded.key, decoded.value


def said(host: str, value: str) -> dict[str, Any]:
    return {"addresses": [{"host": host, "value": value}]}


def test_a_host_gets_the_same_address_whoever_else_is_there() -> None:
    alone = Allocator().put(*entry("a"))
    among = Allocator()
    for number in range(300):
        among.put(*entry(f"other{number}"))
    assert alone is not None
    assert alone[0][0] == "a.example"
    assert alone[0][1].startswith("240.240.")
    # 300 of 65,534 addresses: the one that the name leads to is free.
    assert among.put(*entry("a")) == alone


def test_what_the_status_says_stays_and_two_never_share_one() -> None:
    allocator = Allocator()
    first, second = (
        entry("a", status=said("a.example", "240.240.0.7")),
        entry("b", status=said("b.example", "240.240.0.7")),
    )
    assert allocator.put(*first) is None
    changed = allocator.put(*second)
    assert changed is not None
    assert changed[0][1] != "240.240.0.7"
    allocator.remove(first[0])
    assert allocator.put(*entry("c", status=said("c.example", "240.240.0.7"))) is None


def test_only_hosts_that_need_one_get_one() -> None:
    allocator = Allocator()
    assert allocator.put(*entry("addressed", spec={"addresses": ["192.0.2.1"]})) is None
    assert allocator.put(*entry("original", spec={"resolution": "NONE"})) is None
    wild = {"hosts": ["*.example"], "resolution": "STATIC", "endpoints": [{"address": "192.0.2.1"}]}
    assert allocator.put(*entry("wild", spec=wild)) is None
    label = {"labels": {"networking.istio.io/enable-autoallocate-ip": "false"}}
    assert allocator.put(*entry("unwilling", metadata=label)) is None


def test_a_status_that_is_no_longer_right_is_taken_back() -> None:
    allocator = Allocator()
    gone = entry("a", spec={"addresses": ["192.0.2.1"]}, status=said("a.example", "240.240.0.7"))
    assert allocator.put(*gone) == ()


def test_a_beginning_allocator_sees_those_with_addresses_first() -> None:
    young = entry("a", status=said("a.example", "240.240.0.7"), metadata={"creationTimestamp": "2026-02-01T00:00:00Z"})
    old = entry("b", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"})
    assert [key.name for key, _ in in_order([old, young])] == ["a", "b"]


def test_an_address_that_is_none_of_ours_is_replaced() -> None:
    """Somebody else's allocator, or a hand, has written it; another host may well have it."""
    changed = Allocator().put(*entry("a", status=said("a.example", "10.0.0.7")))
    assert changed is not None
    assert changed == Allocator().put(*entry("a"))


def test_in_the_beginning_who_has_an_address_comes_first_and_then_the_oldest() -> None:
    has = entry("z", status=said("z.example", "240.240.0.7"), metadata={"creationTimestamp": "2026-01-03T00:00:00Z"})
    young = entry("a", metadata={"creationTimestamp": "2026-01-02T00:00:00Z"})
    old = entry("b", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"})
    assert [key.name for key, _ in in_order([young, old, has])] == ["z", "b", "a"]
