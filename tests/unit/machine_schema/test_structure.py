"""Constraints of Istio's CRD schemas, and other people's manifests."""

from __future__ import annotations

import copy

import pytest
import yaml

from plait.machine.api.schema import UNKNOWN
from plait.machine.api.schema.structural_defaults import fill, pruned


@pytest.fixture
def faults(schemas):
    def check(obj):
        return [str(fault) for fault in schemas.strict(schemas.kind(obj["apiVersion"], obj["kind"]), obj)]

    return check


def test_required_fields(faults, virtual_service):
    del virtual_service["spec"]["http"][0]["route"][0]["destination"]["host"]
    assert faults(virtual_service) == ["spec.http[0].route[0].destination.host: Required value"]


def test_enums_name_the_choices(faults):
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": {"host": "a", "trafficPolicy": {"tls": {"mode": "ISTIO"}}},
    }
    (fault,) = faults(rule)
    assert fault.startswith('spec.trafficPolicy.tls.mode: Unsupported value: "ISTIO": supported values: "DISABLE"')


def test_one_of_groups_name_what_was_given(faults, virtual_service):
    virtual_service["spec"]["http"][0]["match"] = [{"uri": {"exact": "/a", "prefix": "/b"}}]
    (fault,) = faults(virtual_service)
    assert "spec.http[0].match[0].uri: Invalid value" in fault
    assert "may have only one of exact, prefix, regex; has exact, prefix" in fault


def test_wrong_types_name_the_path(faults, virtual_service):
    virtual_service["spec"]["http"][0]["route"][0]["weight"] = "ten"
    (fault,) = faults(virtual_service)
    assert fault.startswith('spec.http[0].route[0].weight: Invalid value: "ten": must be an integer')


def test_bounds(faults, virtual_service):
    virtual_service["spec"]["http"][0]["route"][0]["destination"]["port"] = {"number": -1}
    assert faults(virtual_service) == [
        "spec.http[0].route[0].destination.port.number: Invalid value: -1: must be greater than or equal to 0"
    ]


def test_every_served_version_checks_alike(schemas, virtual_service):
    kind = schemas.kind("networking.istio.io/v1", "VirtualService")
    assert [str(at) for at in kind.endpoints] == [
        "networking.istio.io/v1",
        "networking.istio.io/v1beta1",
        "networking.istio.io/v1alpha3",
    ]
    virtual_service["spec"]["htpp"] = []
    for at in kind.endpoints:
        virtual_service["apiVersion"] = str(at)
        assert [fault.path for fault in schemas.strict(kind, virtual_service)] == ["spec.htpp"]


def documents(folder):
    for path in sorted(folder.rglob("*.y*ml")):
        try:
            yield from ((path, one) for one in yaml.safe_load_all(path.read_text()) if isinstance(one, dict))
        except yaml.YAMLError:
            continue


def test_the_shops_and_istios_manifests_have_the_right_types(schemas, shared):
    """Every object of a served kind in the demo's and Istio's samples: no wrong type, no broken constraint."""
    checked, found = 0, []
    for folder in ("sockshop-istio", "istio-samples"):
        for path, obj in documents(shared / folder):
            kind = schemas.kind(str(obj.get("apiVersion")), str(obj.get("kind")))
            if kind is None:
                continue
            checked += 1
            bad = [str(fault) for fault in schemas.strict(kind, obj) if fault.reason != UNKNOWN]
            found += [(path.name, one) for one in bad]
    assert checked > 100
    assert found == []


@pytest.mark.parametrize(
    ("schema", "value", "filled"),
    [
        ({"properties": {"a": {"default": 1}, "b": {}}}, {"b": 2}, {"a": 1, "b": 2}),
        ({"properties": {"a": {"default": 1}}}, {"a": None}, {"a": 1}),
        ({"properties": {"a": {"default": 1, "nullable": True}}}, {"a": None}, {"a": None}),
        ({"properties": {"l": {"items": {"properties": {"x": {"default": []}}}}}}, {"l": [{}]}, {"l": [{"x": []}]}),
        (
            {"properties": {"own": {}}, "additionalProperties": {"properties": {"x": {"default": 1}}}},
            {"own": {}, "other": {}},
            {"own": {}, "other": {"x": 1}},
        ),
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, {}, {}),
    ],
)
def test_defaults_are_filled_in_alike_when_only_the_ways_to_them_are_kept(schema, value, filled):
    whole = copy.deepcopy(value)
    fill(schema, whole)
    assert whole == filled
    kept = pruned(schema)
    assert kept is not None
    fill(kept, value)
    assert value == filled


def test_a_schema_without_defaults_has_no_ways_to_any():
    schema = {"properties": {"a": {"items": {"properties": {"b": {"type": "string"}}}}, "c": {}}}
    assert pruned(schema) is None
    assert pruned({"default": 1}) == {"default": 1}
