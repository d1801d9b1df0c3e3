"""What an EnvoyFilter adds is loaded by a scratch Envoy at the door."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from plait.app.admission import Rules
from plait.machine.api.admission import AdmissionRequest, AdmissionResult, PendingError, User
from plait.trial.patches import PatchTrials

pytestmark = pytest.mark.envoy

TYPES = "type.googleapis.com/envoy.extensions.filters"


def patch(kind: str, value: dict[str, Any], operation: str = "INSERT_FIRST") -> dict[str, Any]:
    return {"applyTo": kind, "match": {}, "patch": {"operation": operation, "value": value}}


def typed(name: str, url: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{TYPES}.{url}", **settings}}


def lua(code: str) -> dict[str, Any]:
    return typed("lua", "http.lua.v3.Lua", default_source_code={"inline_string": code})


def request(*patches: dict[str, Any], old: dict[str, Any] | None = None) -> AdmissionRequest:
    obj = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "f", "namespace": "shop"},
        "spec": {"priority": 10, "configPatches": list(patches)},
    }
    return AdmissionRequest(
        operation="CREATE" if old is None else "UPDATE",
        group="networking.istio.io",
        version="v1alpha3",
        kind="EnvoyFilter",
        namespace="shop",
        name="f",
        obj=obj,
        old=old,
        namespace_object=None,
        dry_run=False,
        user=User(name="somebody"),
    )


async def admitted(rules: Rules, asked: AdmissionRequest) -> AdmissionResult:
    """As the API server does it."""
    try:
        return rules.admit(asked)
    except PendingError as pending:
        await pending.wait()
    return rules.admit(asked)


async def test_each_bad_value_is_refused_with_its_path_and_envoys_words() -> None:
    rules = Rules(trials=PatchTrials(seconds=60))
    result = await admitted(
        rules,
        request(
            patch("HTTP_FILTER", lua("function envoy_on_request(handle) end")),
            patch("HTTP_FILTER", lua("function (")),
            patch("NETWORK_FILTER", typed("echo", "network.echo.v3.Echo")),
            patch("LISTENER_FILTER", typed("tls", "listener.tls_inspector.v3.TlsInspector")),
            patch(
                "CLUSTER",
                {"name": "c", "connect_timeout": "1s", "lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 4}},
                "ADD",
            ),
        ),
    )
    found = {error.path: error.message for error in result.errors}
    assert list(found) == ["spec.configPatches[1].patch.value", "spec.configPatches[4].patch.value"]
    assert "Envoy would not load it: script load error" in found["spec.configPatches[1].patch.value"]
    assert "prime" in found["spec.configPatches[4].patch.value"]


async def test_what_refers_to_clusters_of_the_mesh_is_not_refused_for_it() -> None:
    service = {"envoy_grpc": {"cluster_name": "outbound|9000||authz.shop.svc.cluster.local"}}
    asked = request(patch("HTTP_FILTER", typed("authz", "http.ext_authz.v3.ExtAuthz", grpc_service=service)))
    assert not (await admitted(Rules(trials=PatchTrials(seconds=60)), asked)).errors


async def test_a_value_is_asked_about_once_and_a_spec_that_stays_never() -> None:
    rules = Rules(trials=PatchTrials(seconds=60))
    asked = request(patch("HTTP_FILTER", lua("function (")))
    assert (await admitted(rules, asked)).errors
    assert rules.admit(asked).errors, "known by now"
    fresh = Rules(trials=PatchTrials())
    assert not fresh.admit(request(patch("HTTP_FILTER", lua("function (")), old=asked.obj)).errors


async def test_without_time_it_is_a_warning_and_asked_again_the_next_time() -> None:
    rules = Rules(trials=PatchTrials(seconds=0))
    asked = request(patch("HTTP_FILTER", lua("function (")))
    result = await admitted(rules, asked)
    assert not result.errors
    assert "spec.configPatches[0].patch.value: a scratch Envoy was too busy" in result.warnings[0]
    with pytest.raises(PendingError):
        rules.admit(asked)


async def test_where_no_envoy_can_be_started_that_is_what_the_warning_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    result = await admitted(Rules(trials=PatchTrials(seconds=60)), request(patch("HTTP_FILTER", lua("function ("))))
    assert not result.errors
    assert "patch.value: no scratch Envoy could try it ([Errno 2] No such file" in result.warnings[0]
