"""What an apply makes of what kubectl applied before."""

from __future__ import annotations

from typing import Any

from plait.app.objects.inherit import inherited

PORT = 'k:{"containerPort":80,"protocol":"TCP"}'


def entry(manager: str, fields: dict[str, Any], operation: str = "Update") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": fields}


def after(live: dict[str, Any], new: dict[str, Any], *entries: dict[str, Any]) -> Any:
    made = inherited({"metadata": {"managedFields": list(entries)}, "spec": live}, {"spec": new}, "plait", "v1")
    return made and made["spec"]


def kubectl(fields: dict[str, Any]) -> dict[str, Any]:
    return entry("kubectl-client-side-apply", {"f:spec": fields})


def test_what_only_kubectl_applied_goes_and_what_others_wrote_stays() -> None:
    live = {"a": 1, "b": {"c": 1, "d": 2}, "e": {"f": 1}, "replicas": 3}
    fields = {"f:a": {}, "f:b": {".": {}, "f:c": {}, "f:d": {}}, "f:e": {".": {}, "f:f": {}}}
    other = entry("hpa", {"f:spec": {"f:replicas": {}, "f:b": {"f:d": {}}}})
    assert after(live, {"a": 2}, kubectl(fields), other) == {"a": 2, "b": {"d": 2}, "replicas": 3}


def test_lists_are_one_value_unless_their_items_are_told_apart() -> None:
    live = {"hosts": ["a", "b"], "ports": [{"containerPort": 80, "protocol": "TCP", "name": "x"}, {"containerPort": 9}]}
    named = {"f:ports": {PORT: {".": {}, "f:containerPort": {}, "f:protocol": {}, "f:name": {}}}, "f:hosts": {}}
    new = {"hosts": ["c"], "ports": [{"containerPort": 80}]}
    # Defaults are filled in again by the API. The other port is nobody's, so nobody takes it away.
    ports = [{"containerPort": 80}, {"containerPort": 9}]
    assert after(live, new, kubectl(named)) == {"hosts": ["c"], "ports": ports}
    assert after(live, {}, kubectl(named)) == {"ports": [{"containerPort": 9}]}


def test_items_of_a_set_go_one_by_one() -> None:
    live = {"finalizers": ["ours", "theirs"]}
    fields = {"f:finalizers": {".": {}, 'v:"ours"': {}, 'v:"theirs"': {}}}
    theirs = entry("other", {"f:spec": {"f:finalizers": {'v:"theirs"': {}}}})
    assert after(live, {"finalizers": ["new"]}, kubectl(fields), theirs) == {"finalizers": ["theirs", "new"]}


def test_without_a_trace_of_kubectl_there_is_nothing_to_work_out() -> None:
    assert after({"a": 1}, {"a": 2}, entry("plait", {"f:spec": {"f:a": {}}}, "Apply")) is None
