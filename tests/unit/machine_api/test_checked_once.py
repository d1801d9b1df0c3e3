"""What was found to be well formed is not looked at again, unless somebody has changed it since."""

from __future__ import annotations

from typing import Any

import pytest

from plait.machine.api.admission import AdmissionRequest, AdmissionResult

RULES = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
SPEC = {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}]}]}


class Changing:
    """Changes what it lets in as a label asks for."""

    def admit(self, request: AdmissionRequest) -> AdmissionResult:
        obj = request.obj
        match (obj["metadata"].get("labels") or {}).get("make"):
            case "wrong-type":
                obj = {**obj, "spec": {**obj["spec"], "hosts": "a"}}
            case "unnamed-route":
                obj = {**obj, "spec": {**obj["spec"], "http": [{"route": [{"destination": {}}]}]}}
            case "wrong-label":
                obj = {**obj, "metadata": {**obj["metadata"], "labels": {"a": 1}}}
        return AdmissionResult(obj=obj)

    def beside(self, *_: Any) -> tuple[()]:
        return ()


def rule(make: str = "", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "r", "labels": {"make": make}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata,
        "spec": {**SPEC, **spec},
    }


@pytest.mark.parametrize(
    "wrong",
    [
        ("wrong-type", "spec.hosts"),
        ("unnamed-route", "spec.http[0].route[0].destination.host"),
        ("wrong-label", "metadata.labels.a"),
    ],
)
async def test_what_admission_breaks_is_refused(
    run_cluster: Any, tmp_path: Any, pki: Any, schemas: Any, wrong: tuple[str, str]
) -> None:
    make, path = wrong
    async with run_cluster(tmp_path, pki, schemas, Changing()) as cluster:
        status, said, _ = await cluster.ask("POST", RULES, rule(make))
        assert status == 422, said
        assert [cause["field"] for cause in said["details"]["causes"]] == [path]


async def test_what_a_write_leaves_out_or_has_in_another_form_is_still_looked_at(
    run_cluster: Any, tmp_path: Any, pki: Any, schemas: Any
) -> None:
    async with run_cluster(tmp_path, pki, schemas, Changing()) as cluster:
        status, said, _ = await cluster.ask("POST", RULES, rule(http=[{"route": [{"destination": {"host": None}}]}]))
        assert status == 422, said
        status, _, _ = await cluster.ask("POST", RULES, rule())
        assert status == 201
        changed = {"spec": {"http": [{"timeout": 5}]}}
        status, said, _ = await cluster.ask(
            "PATCH", f"{RULES}/r", changed, **{"Content-Type": "application/merge-patch+json"}
        )
        assert status == 422, said


class Noting:
    """Lets everything in, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[AdmissionRequest] = []

    def admit(self, request: AdmissionRequest) -> AdmissionResult:
        self.asked.append(request)
        return AdmissionResult(obj=request.obj)

    def beside(self, *_: Any) -> tuple[()]:
        return ()


async def test_of_a_patch_of_metadata_nothing_else_is_judged(
    run_cluster: Any, tmp_path: Any, pki: Any, schemas: Any
) -> None:
    noting = Noting()
    merge = {"Content-Type": "application/merge-patch+json"}
    async with run_cluster(tmp_path, pki, schemas, noting) as cluster:
        made = await cluster.made(RULES, rule())
        patch = {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/kept"]}}
        status, changed, _ = await cluster.ask("PATCH", f"{RULES}/r", patch, **merge)
        assert (status, changed["spec"], changed["metadata"]["labels"]) == (200, made["spec"], {"make": "", "a": "b"})
        assert changed["metadata"]["generation"] == 1
        assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
        assert any("f:a" in str(each["fieldsV1"]) for each in changed["metadata"]["managedFields"])
        for wrong, code in (({"labels": {"a": 1}}, 422), ({"labels": {"-a": "b"}}, 422), ({"urx": 1}, 400)):
            status, said, _ = await cluster.ask(
                "PATCH", f"{RULES}/r?fieldValidation=Strict", {"metadata": wrong}, **merge
            )
            assert (status, "metadata" in said["message"]) == (code, True), said
        other = {"metadata": {"labels": {"a": "c"}}, "spec": {"hosts": ["b"]}}
        status, changed, _ = await cluster.ask("PATCH", f"{RULES}/r", other, **merge)
        assert (status, changed["metadata"]["generation"]) == (200, 2)
        status, _, _ = await cluster.ask("PATCH", f"{RULES}/r", {"metadata": {"finalizers": None}}, **merge)
        assert status == 200
        settled = [each.settled for each in noting.asked if each.kind == "VirtualService"]
        assert (settled[0], settled[1], settled[-2:]) == (False, True, [False, True])


async def test_of_a_status_only_the_status_is_judged(cluster: Any) -> None:
    merge = {"Content-Type": "application/merge-patch+json"}
    made = await cluster.made(RULES, rule())
    wrong = {"status": {"conditions": "none"}}
    status, said, _ = await cluster.ask("PATCH", f"{RULES}/r/status", wrong, **merge)
    assert status == 422, said
    right = {"status": {"conditions": [{"type": "Reconciled", "status": "True"}]}}
    status, changed, _ = await cluster.ask("PATCH", f"{RULES}/r/status", right, **merge)
    assert (status, changed["spec"], changed["status"]) == (200, made["spec"], right["status"])


async def test_json_that_is_applied_is_read_as_yaml_is(cluster: Any) -> None:
    path = f"{RULES}/r?fieldManager=test"
    for raw in (b'{"a": 1} {"b": 2}', b"{a: [}", b"\xff{"):
        status, _, _ = await cluster.ask("PATCH", path, raw, **{"Content-Type": "application/apply-patch+yaml"})
        assert status == 400
    flow = "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: r}, spec: {hosts: [a], "
    flow += "http: [{route: [{destination: {host: a}}]}]}}"
    status, made, _ = await cluster.ask(
        "PATCH", path, flow.encode(), **{"Content-Type": "application/apply-patch+yaml"}
    )
    assert (status, made["spec"]) == (201, SPEC)
