"""The world as a value: what changes, what is shared, and what a reader is said to have read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.api.decode import decode
from plait.api.meta import ObjectKey
from plait.kit.persistent import MISSING, PersistentMap
from plait.snapshot import keys
from plait.snapshot.reader import recording
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance


def change(obj: dict[str, Any]) -> ObjectChange:
    decoded = decode(obj)
    assert decoded.key is not None
    assert decoded.value is not None, decoded.problems
    return ObjectChange(decoded.key, decoded.value)


def service(name: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    base = {"clusterIP": "10.0.0.1", "selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}
    annotations = spec.pop("annotations", {})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {**base, **spec},
    }


def rule(name: str, created: str = "", **spec: Any) -> dict[str, Any]:
    base = {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}]}]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": created},
        "spec": {**base, **spec},
    }


def world(*objects: dict[str, Any]) -> Snapshot:
    return advance(Snapshot(), map(change, objects))[0]


def test_changed_keys_are_exactly_the_entries_that_differ() -> None:
    before = world(service("a"), service("b"))
    after, changed = advance(before, [change(service("a", selector={"app": "other"}))])
    assert changed == {
        keys.object_key(ObjectKey("Service", "shop", "a")),
        keys.selected_by("shop", "app", "a"),
        keys.selected_by("shop", "app", "other"),
    }
    assert before.object(ObjectKey("Service", "shop", "a")) != after.object(ObjectKey("Service", "shop", "a"))
    assert advance(after, [change(service("a", selector={"app": "other"}))])[1] == frozenset()


def test_a_snapshot_stays_what_it_was() -> None:
    before = world(service("a"))
    reader, _ = recording(before)
    advance(before, [ObjectChange(ObjectKey("Service", "shop", "a"), None)])
    assert [port.service for port in reader.ports("shop")] == ["a"]


def test_the_last_of_several_changes_of_one_object_counts() -> None:
    key = ObjectKey("Service", "shop", "a")
    after, changed = advance(Snapshot(), [change(service("a")), ObjectChange(key, None)])
    assert changed == frozenset()
    assert after.object(key) is None


@pytest.mark.parametrize(
    ("field", "annotation", "near"),
    [
        ("", "", ""),
        ("PreferClose", "", "PreferClose"),
        ("PreferSameNode", "PreferClose", "PreferSameNode"),
        ("", "PreferSameZone", "PreferSameZone"),
        ("", "prefersamenode", "PreferSameNode"),
        ("", "Foo", ""),
        ("Foo", "PreferClose", "PreferClose"),
    ],
)
def test_the_field_says_where_traffic_stays_and_else_the_annotation(field: str, annotation: str, near: str) -> None:
    said = {"networking.istio.io/traffic-distribution": annotation} if annotation else {}
    snapshot = world(service("a", annotations=said, trafficDistribution=field))
    reader, _ = recording(snapshot)
    found = reader.host("a.shop.svc.cluster.local")
    assert found is not None
    assert found.near == near


def annotated(word: str) -> dict[str, str]:
    return {"networking.istio.io/traffic-distribution": word}


def namespace(name: str, **annotations: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}}


def entry_of(name: str, **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "annotations": annotations}
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    spec = {"hosts": [f"{name}.example"], "ports": ports, "resolution": "STATIC"}
    return {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata, "spec": spec}


def test_a_namespace_says_where_traffic_stays_for_those_that_say_nothing() -> None:
    hosts = ["a.shop.svc.cluster.local", "b.shop.svc.cluster.local", "c.example", "d.example"]
    own = [service("b", annotations=annotated("PreferSameNode")), entry_of("d", **annotated("PreferClose"))]
    objects = [service("a"), entry_of("c"), *own]

    def near(snapshot: Snapshot) -> list[str]:
        reader, _ = recording(snapshot)
        return [found.near if (found := reader.host(host)) is not None else "no host" for host in hosts]

    first = world(*objects)
    assert near(first) == ["", "PreferSameNode", "", "PreferClose"]
    told = namespace("shop", **annotated("prefersamezone"))
    after, changed = advance(first, [change(told)])
    assert (
        near(after)
        == near(world(told, *objects))
        == ["PreferSameZone", "PreferSameNode", "PreferSameZone", "PreferClose"]
    )
    assert {key[1] for key in changed if key[0] == "host"} == {hosts[0], hosts[2]}
    assert near(advance(after, [change(namespace("shop"))])[0]) == near(first)
    assert near(advance(after, [change(namespace("bank"))])[0]) == near(after)


def test_services_are_seen_where_they_are_exported_to() -> None:
    snapshot = world(
        service("everywhere"),
        service("home", annotations={"networking.istio.io/exportTo": "."}),
        service("bank", annotations={"networking.istio.io/exportTo": "bank, other"}),
        service("nowhere", annotations={"networking.istio.io/exportTo": "~"}),
    )
    reader, _ = recording(snapshot)
    assert [port.service for port in reader.ports("shop")] == ["everywhere", "home"]
    assert [port.service for port in reader.ports("bank")] == ["bank", "everywhere"]
    assert [port.service for port in reader.ports("third")] == ["everywhere"]


def test_rules_come_in_order_of_precedence() -> None:
    snapshot = world(
        rule("new", "2026-02-01T00:00:00Z"),
        rule("b", "2026-01-01T00:00:00Z"),
        rule("a", "2026-01-01T00:00:00Z"),
        rule("own", "2026-03-01T00:00:00Z", exportTo=["."]),
    )
    reader, _ = recording(snapshot)
    assert [entry.name for entry in reader.virtual_services("mesh", "shop")] == ["own", "a", "b", "new"]
    assert [entry.name for entry in reader.virtual_services("mesh", "bank")] == ["a", "b", "new"]


def test_gateway_names_are_completed_in_the_rules_namespace() -> None:
    snapshot = world(rule("a", gateways=["edge", "bank/edge", "mesh"]))
    reader, _ = recording(snapshot)
    for gateway in ("shop/edge", "bank/edge", "mesh"):
        assert [entry.name for entry in reader.virtual_services(gateway, "istio-system")] == ["a"]


def test_a_pod_that_has_ended_has_its_address_no_more() -> None:
    def pod(name: str, phase: str) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "shop"}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "status": {"podIP": "10.42.0.9", "phase": phase},
        }

    phases = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
    reader, _ = recording(world(*(pod(phase.lower(), phase) for phase in phases)))
    assert [name for _, name in reader.pods_on("10.42.0.9")] == ["pending", "running", "unknown"]


def test_ports_of_udp_are_none_of_the_meshs() -> None:
    ports = [
        {"name": "http", "port": 80},
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "udp-quic", "port": 443},
        {"name": "sctp", "port": 7000, "protocol": "SCTP"},
    ]
    reader, _ = recording(world(service("a", ports=ports)))
    assert [port.port for port in reader.ports("shop")] == [80]


def test_services_select_by_all_their_labels() -> None:
    snapshot = world(service("a", selector={"app": "a", "tier": "web"}), service("b", selector={"app": "a"}))
    reader, _ = recording(snapshot)
    assert [s.metadata.name for s in reader.services_selecting("shop", (("app", "a"),))] == ["b"]
    both = (("app", "a"), ("tier", "web"), ("x", "y"))
    assert [s.metadata.name for s in reader.services_selecting("shop", both)] == ["a", "b"]


def test_a_reader_is_said_to_have_read_what_is_absent_too() -> None:
    reader, seen = recording(Snapshot())
    assert reader.host("a.shop.svc.cluster.local") is None
    assert seen == {keys.host("a.shop.svc.cluster.local")}


@given(st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers())))
def test_the_persistent_map_is_a_map(steps: list[tuple[int, int | None]]) -> None:
    model: dict[int, int] = {}
    current: PersistentMap[int, int] = PersistentMap()
    history = []
    for key, value in steps:
        history.append((current, dict(model)))
        current = current.updated({key: MISSING if value is None else value})
        if value is None:
            model.pop(key, None)
        else:
            model[key] = value
    for old, expected in [*history, (current, model)]:
        assert dict(old.items()) == expected
        assert len(old) == len(expected)
