"""Objects of former versions in today's terms."""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.former import present


def rule(version: str = "v1alpha3", **http: Any) -> dict[str, Any]:
    return {"apiVersion": f"networking.istio.io/{version}", "kind": "VirtualService", "spec": {"http": [http]}}


def ingress(version: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": "Ingress", "spec": spec}


@pytest.mark.parametrize(
    "obj",
    [
        rule(route=[{"destination": {"host": "a"}}], headers={"request": {"add": {"a": "b"}}}),
        ingress("networking.k8s.io/v1", defaultBackend={"service": {"name": "a"}}),
        {"kind": "VirtualService"},
        {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": {"http": "x"}},
        {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": {"http": [1, {"route": [2]}]}},
        {},
    ],
)
def test_what_is_of_today_or_no_object_at_all_stays_the_very_same(obj: dict[str, Any]) -> None:
    made, notes = present(obj)
    assert made is obj
    assert notes == ()


def test_websocket_upgrade_has_gone() -> None:
    made, (note,) = present(rule(websocketUpgrade=True, timeout="1s"))
    assert made == rule(timeout="1s")
    assert note.path == "spec.http[0].websocketUpgrade"
    assert str(note).endswith("; leave it out")


def test_headers_to_remove_were_a_map_once() -> None:
    made, _ = present(rule(removeResponseHeaders={"server": "", "x-a": ""}))
    assert made == rule(headers={"response": {"remove": ["server", "x-a"]}})


def test_headers_have_moved_and_what_stands_there_already_holds() -> None:
    old = rule(
        appendHeaders={"a": "old", "b": "old"},
        headers={"request": {"add": {"a": "new"}, "remove": ["c"]}},
        route=[{"destination": {"host": "a"}, "removeResponseHeaders": ["d"]}],
    )
    made, notes = present(old)
    assert made == rule(
        headers={"request": {"add": {"a": "new", "b": "old"}, "remove": ["c"]}},
        route=[{"destination": {"host": "a"}, "headers": {"response": {"remove": ["d"]}}}],
    )
    assert [(note.path, note.fix) for note in notes] == [
        ("spec.http[0].appendHeaders", "write headers.request.add"),
        ("spec.http[0].route[0].removeResponseHeaders", "write headers.response.remove"),
    ]


@pytest.mark.parametrize("wrong", [{"appendHeaders": ["a"]}, {"removeResponseHeaders": {"a": 1}}, {"appendHeaders": 1}])
def test_what_has_the_wrong_type_is_left_for_the_schema_to_name(wrong: dict[str, Any]) -> None:
    obj = rule(**wrong)
    assert present(obj) == (obj, ())


@pytest.mark.parametrize("version", ["extensions/v1beta1", "networking.k8s.io/v1beta1"])
def test_an_old_ingress_is_a_new_one(version: str) -> None:
    path = {"path": "/a.*", "backend": {"serviceName": "a", "servicePort": 80}}
    old = ingress(version, backend={"serviceName": "b", "servicePort": "web"}, rules=[{"http": {"paths": [path]}}, {}])
    made, (note,) = present(old)
    backend = {"service": {"name": "a", "port": {"number": 80}}}
    paths = [{"path": "/a.*", "pathType": "ImplementationSpecific", "backend": backend}]
    default = {"service": {"name": "b", "port": {"name": "web"}}}
    assert made == ingress("networking.k8s.io/v1", defaultBackend=default, rules=[{"http": {"paths": paths}}, {}])
    assert note.path == "apiVersion"


def test_an_ingress_of_any_shape_goes_through() -> None:
    for spec in (None, "x", {"rules": "x"}, {"rules": [None, {"http": {"paths": [None, {"backend": "x"}]}}]}):
        made, notes = present({"apiVersion": "extensions/v1beta1", "kind": "Ingress", "spec": spec})
        assert made["apiVersion"] == "networking.k8s.io/v1"
        assert len(notes) == 1
