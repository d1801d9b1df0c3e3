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
