"""Kinds that users define: served, checked, shown, and gone with their definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "crontabs.stable.example.com"
TABS = "/apis/stable.example.com/v1/namespaces/default/crontabs"


def definition(**spec: Any) -> dict[str, Any]:
    step = {"name": {"type": "string"}, "times": {"type": "integer", "default": 1}}
    properties = {
        "schedule": {"type": "string", "pattern": r"^\S+ \S+$"},
        "replicas": {"type": "integer", "minimum": 1, "default": 2},
        "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "steps": {"type": "array", "items": {"type": "object", "properties": step}},
    }
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "required": ["schedule"], "properties": properties},
            "status": {"type": "object", "properties": {"ready": {"type": "integer"}}},
        },
    }
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.ready"}
    old = {"name": "v1beta1", "served": True, "storage": False, "schema": {"openAPIV3Schema": schema}}
    new = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": scale},
        "additionalPrinterColumns": [{"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"}],
    }
    names = {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]}
    given = {"group": "stable.example.com", "scope": "Namespaced", "names": names, "versions": [old, new], **spec}
    return {"metadata": {"name": NAME}, "spec": given}


def tab(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "t"}, "spec": {"schedule": "a b", **spec}}


@pytest.fixture
async def defined(cluster: Any) -> dict[str, Any]:
    return await cluster.made(DEFINITIONS, definition())


async def test_a_definition_is_in_force_at_once(cluster: Any, defined: dict[str, Any]) -> None:
    true = {item["type"] for item in defined["status"]["conditions"] if item["status"] == "True"}
    assert true == {"NamesAccepted", "Established"}
    assert defined["spec"]["names"]["singular"] == "crontab"
    assert defined["status"]["storedVersions"] == ["v1"]
    made = await cluster.made(TABS, tab())
    assert (made["apiVersion"], made["kind"], made["metadata"]["generation"]) == ("stable.example.com/v1", "CronTab", 1)


async def test_a_version_has_columns_of_its_own_and_may_be_on_its_way_out(cluster: Any) -> None:
    body = definition()
    old, new = body["spec"]["versions"]
    old["additionalPrinterColumns"] = [{"name": "Often", "type": "integer", "jsonPath": ".spec.replicas"}]
    old["deprecated"] = True
    new |= {"deprecated": True, "deprecationWarning": "v1 goes too"}
    await cluster.made(DEFINITIONS, body)
    await cluster.made(TABS, tab())
    for path, columns, says in (
        (TABS, ["Name", "Schedule"], '299 - "v1 goes too"'),
        (
            TABS.replace("/v1/", "/v1beta1/"),
            ["Name", "Often"],
            '299 - "stable.example.com/v1beta1 CronTab is deprecated"',
        ),
    ):
        _, table, response = await cluster.ask("GET", path, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        assert [each["name"] for each in table["columnDefinitions"]] == columns
        assert table["rows"][0]["cells"] == ["t", {"Schedule": "a b", "Often": 2}[columns[1]]]
        assert response.headers.getall("Warning") == [says]


async def test_defaults_are_filled_in_and_unknown_fields_are_not_kept(cluster: Any, defined: dict[str, Any]) -> None:
    made = await cluster.made(TABS, tab(nosuch=1, anything={"goes": [1]}, steps=[{"name": "a", "x": 1}]))
    wanted = {"schedule": "a b", "replicas": 2, "anything": {"goes": [1]}, "steps": [{"name": "a", "times": 1}]}
    assert made["spec"] == wanted


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"schedule": "abc"}, "spec.schedule: Invalid value"),
        ({"replicas": 0}, "spec.replicas: Invalid value: 0"),
        ({"schedule": None}, "spec.schedule: Required value"),
        ({"replicas": "two"}, "spec.replicas"),
    ],
)
async def test_objects_follow_the_schema(cluster: Any, defined: dict[str, Any], spec: Any, says: str) -> None:
    code, status, _ = await cluster.ask("POST", TABS, tab(**spec))
    assert code == 422
    assert says in status["message"]


async def test_every_served_version_shows_the_same_object(cluster: Any, defined: dict[str, Any]) -> None:
    await cluster.made(TABS, tab())
    code, seen, _ = await cluster.ask("GET", TABS.replace("/v1/", "/v1beta1/") + "/t")
    assert code == 200
    assert seen["apiVersion"] == "stable.example.com/v1beta1"


async def test_status_and_scale_are_apart(cluster: Any, defined: dict[str, Any]) -> None:
    made = await cluster.made(TABS, {**tab(), "status": {"ready": 9}})
    assert "status" not in made
    merge = {"Content_Type": "application/merge-patch+json"}
    code, seen, _ = await cluster.ask("PATCH", f"{TABS}/t/status", {"status": {"ready": 1}}, **merge)
    assert (code, seen["status"], seen["metadata"]["generation"]) == (200, {"ready": 1}, 1)
    code, scale, _ = await cluster.ask("PATCH", f"{TABS}/t/scale", {"spec": {"replicas": 5}}, **merge)
    assert (code, scale["spec"], scale["status"]) == (200, {"replicas": 5}, {"replicas": 1, "selector": ""})
    _, seen, _ = await cluster.ask("GET", f"{TABS}/t")
    assert seen["spec"]["replicas"] == 5


async def test_kubectl_knows_the_kind(cluster: Any, defined: dict[str, Any]) -> None:
    body = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", **tab()}
    await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    body["spec"]["replicas"] = 4
    await cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    out, _ = await cluster.kubectl("get", "ct")
    assert out.split() == ["NAME", "SCHEDULE", "t", "a", "b"]
    out, _ = await cluster.kubectl("get", "all", "-o", "name")
    assert "crontab.stable.example.com/t" in out
    out, _ = await cluster.kubectl("explain", "ct.spec")
    assert "schedule\t<string> -required-" in out
    _, err = await cluster.kubectl(
        "patch", "ct", "t", "--type=merge", '-p={"spec":{"x":1}}', "--validate=strict", code=None
    )
    assert err


async def test_a_definition_survives_a_restart(run_cluster: Any, tmp_path: Path, pki: Path, schemas: Any) -> None:
    async with run_cluster(tmp_path, pki, schemas) as first:
        await first.made(DEFINITIONS, definition())
        await first.made(TABS, tab())
    async with run_cluster(tmp_path, pki, schemas) as second:
        code, seen, _ = await second.ask("GET", f"{TABS}/t")
        assert (code, seen["spec"]["replicas"]) == (200, 2)


async def test_a_changed_schema_counts_from_then_on(cluster: Any, defined: dict[str, Any]) -> None:
    changed = definition()
    for version in changed["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["colour"] = {"type": "string"}
    code, _, _ = await cluster.ask("PUT", f"{DEFINITIONS}/{NAME}", changed)
    assert code == 200
    made = await cluster.made(TABS, tab(colour="red"))
    assert made["spec"]["colour"] == "red"


async def test_a_new_storage_version_takes_the_objects_along(cluster: Any, defined: dict[str, Any]) -> None:
    await cluster.made(TABS, tab())
    changed = definition()
    for version in changed["spec"]["versions"]:
        version["storage"] = not version["storage"]
    code, seen, _ = await cluster.ask("PUT", f"{DEFINITIONS}/{NAME}", changed)
    assert code == 200, seen
    assert seen["status"]["storedVersions"] == ["v1", "v1beta1"]
    for version in ("v1", "v1beta1"):
        _, found, _ = await cluster.ask("GET", TABS.replace("/v1/", f"/{version}/"))
        assert [item["apiVersion"] for item in found["items"]] == [f"stable.example.com/{version}"]


async def test_with_the_definition_go_the_objects(cluster: Any, defined: dict[str, Any]) -> None:
    await cluster.made(TABS, tab())
    code, _, _ = await cluster.ask("DELETE", f"{DEFINITIONS}/{NAME}")
    assert code == 200
    assert (await cluster.ask("GET", TABS))[0] == 404
    assert (await cluster.ask("GET", f"{DEFINITIONS}/{NAME}"))[0] == 404
    await cluster.made(DEFINITIONS, definition())
    _, found, _ = await cluster.ask("GET", TABS)
    assert found["items"] == []


async def test_objects_with_finalizers_hold_their_definition(cluster: Any, defined: dict[str, Any]) -> None:
    held = tab()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await cluster.made(TABS, held)
    await cluster.ask("DELETE", f"{DEFINITIONS}/{NAME}")
    code, seen, _ = await cluster.ask("GET", f"{TABS}/t")
    assert code == 200
    assert seen["metadata"]["deletionTimestamp"]
    merge = {"Content_Type": "application/merge-patch+json"}
    code, _, _ = await cluster.ask("PATCH", f"{TABS}/t", {"metadata": {"finalizers": None}}, **merge)
    assert code == 200
    assert (await cluster.ask("GET", f"{DEFINITIONS}/{NAME}"))[0] == 404


async def test_names_in_use_are_not_given_twice(cluster: Any, defined: dict[str, Any]) -> None:
    other = definition(names={"plural": "other", "kind": "CronTab"})
    other["metadata"]["name"] = "other.stable.example.com"
    made = await cluster.made(DEFINITIONS, other)
    accepted = made["status"]["conditions"][0]
    assert (accepted["type"], accepted["status"]) == ("NamesAccepted", "False")
    assert accepted["message"] == '"CronTab" is already in use'
    assert (await cluster.ask("GET", "/apis/stable.example.com/v1/others"))[0] == 404


async def test_istios_own_definitions_change_nothing(cluster: Any) -> None:
    names = {"plural": "gateways", "kind": "Gateway"}
    given = definition(group="networking.istio.io", names=names)
    given["metadata"]["name"] = "gateways.networking.istio.io"
    code, _, response = await cluster.ask("POST", DEFINITIONS, given)
    assert code == 201
    assert any("served by plait itself" in text for text in response.headers.getall("Warning"))
    assert (await cluster.ask("DELETE", f"{DEFINITIONS}/gateways.networking.istio.io"))[0] == 200
    assert (await cluster.ask("GET", "/apis/networking.istio.io/v1/gateways"))[0] == 200


def only(**version: Any) -> dict[str, Any]:
    return {"versions": [{"name": "v1", "served": True, "storage": True, **version}]}


def with_schema(**schema: Any) -> dict[str, Any]:
    return {"schema": {"openAPIV3Schema": {"type": "object", **schema}}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"group": "example"}, "spec.group: Invalid value"),
        ({"scope": "Galaxy"}, 'spec.scope: Unsupported value: "Galaxy"'),
        ({"names": {"plural": "tabs", "kind": "Tab"}}, "metadata.name: Invalid value"),
        ({"versions": []}, "spec.versions"),
        (only(storage=False, **with_schema()), "must have exactly one version marked as storage version"),
        (only(), "schema.openAPIV3Schema: Required value"),
        (only(**with_schema(type="string")), "must be object at the root"),
        (only(**with_schema(properties={"a": {}})), "properties[a].type: Required value"),
        (only(**with_schema(properties={"a": {"type": "array"}})), "properties[a].items: Required value"),
    ],
)
async def test_a_definition_that_makes_no_sense_is_refused(cluster: Any, change: dict[str, Any], says: str) -> None:
    code, status, _ = await cluster.ask("POST", DEFINITIONS, definition(**change))
    assert code == 422
    assert says in status["message"]
