"""Settings of the mesh that decide who sees what, and whose a host is that several objects define."""

from __future__ import annotations

from typing import Any

from plait.api.decode import decode
from plait.api.meta import ObjectKey
from plait.snapshot.reader import Reader, recording
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance
from plait.snapshot.visibility import EVERYBODY, scopes, visible_in

ISTIO = "networking.istio.io/v1"


def change(obj: dict[str, Any]) -> ObjectChange:
    decoded = decode(obj)
    assert decoded.key is not None
    assert decoded.value is not None, decoded.problems
    return ObjectChange(decoded.key, decoded.value)


def service(name: str, namespace: str) -> dict[str, Any]:
    spec = {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def entry(name: str, namespace: str, created: str, host: str = "api.example", port: int = 80) -> dict[str, Any]:
    spec = {
        "hosts": [host],
        "ports": [{"number": port, "name": "http", "protocol": "HTTP"}],
        "resolution": "STATIC",
        "endpoints": [{"address": "192.0.2.1"}],
    }
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return {"apiVersion": ISTIO, "kind": "ServiceEntry", "metadata": metadata, "spec": spec}


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def settings(text: str) -> dict[str, Any]:
    metadata = {"name": "istio", "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}}


def seen(snapshot: Snapshot, caller: str) -> list[str]:
    reader, _ = recording(snapshot)
    return [port.service for port in reader.ports(caller)]


def reader_of(*objects: dict[str, Any]) -> Reader:
    return recording(advance(Snapshot(), map(change, objects))[0])[0]


def ports_of(reader: Reader, caller: str) -> list[tuple[str, int]]:
    return [(port.host, port.port) for port in reader.ports(caller)]


def test_what_is_exported_to_nobody_is_seen_by_nobody() -> None:
    assert scopes((), "shop") == scopes((".", "*"), "shop") == {EVERYBODY}
    assert scopes((".", "bank"), "shop") == {"shop", "bank"}
    assert scopes(("~",), "shop") == frozenset()
    assert not visible_in((), "shop")
    assert not visible_in((), "")
    assert visible_in(("bank",), "")
    hidden = service("a", "shop")
    hidden["metadata"]["annotations"] = {"networking.istio.io/exportTo": "~"}
    world, _ = advance(Snapshot(), [change(hidden), change(service("b", "shop"))])
    assert seen(world, "shop") == ["b"]


def test_the_default_of_export_to_can_change_while_the_mesh_runs() -> None:
    world, _ = advance(Snapshot(), map(change, [service("a", "shop"), service("b", "bank")]))
    assert seen(world, "shop") == ["a", "b"]
    private, changed = advance(world, [change(settings("defaultServiceExportTo: ['.']"))])
    assert changed
    assert seen(private, "shop") == ["a"]
    named, _ = advance(private, [change(settings("defaultServiceExportTo: [shop]"))])
    assert seen(named, "shop") == ["a", "b"]
    back, _ = advance(named, [ObjectChange(ObjectKey("ConfigMap", "istio-system", "istio"), None)])
    assert seen(back, "bank") == ["a", "b"]


def test_only_namespaces_that_selectors_choose_belong_to_the_mesh() -> None:
    chosen = "discoverySelectors: [{matchLabels: {mesh: 'yes'}}, {matchExpressions: [{key: team, operator: Exists}]}]"
    objects = [service("a", "shop"), service("b", "bank"), service("root", "istio-system"), settings(chosen)]
    world, _ = advance(Snapshot(), map(change, [*objects, namespace("shop", mesh="yes"), namespace("bank")]))
    assert seen(world, "shop") == ["a", "root"]
    joined, _ = advance(world, [change(namespace("bank", team="money"))])
    assert seen(joined, "shop") == ["a", "b", "root"]
    left, _ = advance(joined, [change(namespace("shop", mesh="no"))])
    assert seen(left, "bank") == ["b", "root"]


def test_the_own_namespace_comes_first_then_a_service_then_the_oldest_namespace() -> None:
    taken = "a.shop.svc.cluster.local"
    reader = reader_of(
        service("a", "shop"),
        entry("thief", "bank", "2020", host=taken, port=90),
        entry("one", "bank", "2025", port=81),
        entry("two", "bank", "2026", port=82),
        entry("three", "shop", "2027", port=83),
    )
    owner = reader.host(taken)
    assert owner is not None
    assert owner.key == ObjectKey("Service", "shop", "a")
    shared = reader.host("api.example")
    assert shared is not None
    assert shared.entries == ("one", "two")
    assert ports_of(reader, "elsewhere") == [(taken, 80), ("api.example", 81), ("api.example", 82)]
    assert ports_of(reader, "shop") == [(taken, 80), ("api.example", 83)]
    assert ports_of(reader, "bank") == [(taken, 90), ("api.example", 81), ("api.example", 82)]
    assert [port.service for port in reader.ports_numbered("bank", 90)] == ["thief"]
    assert [port.service for port in reader.ports_numbered("shop", 83)] == ["three"]
    assert not reader.ports_numbered("shop", 81)
    own = reader.host("api.example", "shop")
    assert own is not None
    assert own.entries == ("three",)
