"""Types, unknown fields, duplicate keys, normal form."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.machine.api.schema import TYPE_INVALID, UNKNOWN, duplicate_keys, load_schemas, strip_nulls
from plait.machine.api.schema.normal import canonical_quantity

SCHEMAS = load_schemas()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["spec", "metadata", "containers", "template", "ports", "name", "data", "http", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def strict(obj):
    kind = SCHEMAS.kind(obj["apiVersion"], obj["kind"])
    return [(fault.path, fault.reason) for fault in SCHEMAS.strict(kind, obj)]


def test_a_valid_object_has_no_fault(schemas, deployment, service, virtual_service):
    for obj in (deployment, service, virtual_service):
        assert strict(obj) == []


def test_an_unknown_field_is_named_by_its_whole_path(schemas, deployment):
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePullPolcy"] = "Always"
    (fault,) = schemas.strict(schemas.kind("apps/v1", "Deployment"), deployment)
    assert fault.reason == UNKNOWN
    assert str(fault) == 'unknown field "spec.template.spec.containers[0].imagePullPolcy"'


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        ({"replicas": "3"}, "spec.replicas", "write it without quotes: 3"),
        ({"replicas": 2**40}, "spec.replicas", "between -2147483648 and 2147483647"),
        ({"replicas": True}, "spec.replicas", "must be an integer, not a boolean"),
        ({"replicas": 1.5}, "spec.replicas", "must be an integer, not a number"),
        ({"paused": "yes"}, "spec.paused", "write true or false, without quotes"),
        ({"strategy": []}, "spec.strategy", "must be an object, not a list"),
        ({"selector": {"matchLabels": {"v": 1}}}, "spec.selector.matchLabels.v", 'write it in quotes: "1"'),
    ],
)
def test_a_wrong_type_says_what_to_write(schemas, deployment, change, path, says):
    deployment["spec"].update(change)
    (fault,) = schemas.strict(schemas.kind("apps/v1", "Deployment"), deployment)
    assert (fault.path, fault.reason) == (path, TYPE_INVALID)
    assert says in str(fault)


@pytest.mark.parametrize(
    ("route", "path", "says"),
    [
        ({"timeout": 5}, "timeout", "must be a duration, not an integer; write 5s"),
        ({"retries": {"perTryTimeout": 0.5}}, "retries.perTryTimeout", "must be a duration, not a number; write 0.5s"),
        (
            {"timeout": True},
            "timeout",
            'must be a string, not a boolean; write it in quotes: "true", or "yes", if that is how it was written',
        ),
        # The name of a header, not a field of Istio's.
        ({"headers": {"request": {"set": {"timeout": 5}}}}, "headers.request.set.timeout", 'write it in quotes: "5"'),
    ],
)
def test_a_number_where_a_duration_is_meant_lacks_its_unit(schemas, virtual_service, route, path, says):
    virtual_service["spec"]["http"] = [route]
    (fault,) = schemas.strict(schemas.kind("networking.istio.io/v1", "VirtualService"), virtual_service)
    assert (fault.path, fault.reason) == (f"spec.http[0].{path}", TYPE_INVALID)
    assert says in str(fault)


@pytest.mark.parametrize("value", [5, "25%", None])
def test_int_or_string_takes_both(schemas, deployment, value):
    deployment["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": value}}
    assert strict(deployment) == []


@pytest.mark.parametrize("value", ["100m", 0.5, 1, "1.5Gi", "1e3", "-1"])
def test_quantities(schemas, deployment, value):
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"cpu": value}}
    assert strict(deployment) == []


@pytest.mark.parametrize("value", ["lots", "1 Gi", "Mi", True, [], "1gi"])
def test_what_is_no_quantity(schemas, deployment, value):
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"cpu": value}}
    assert strict(deployment) == [("spec.template.spec.containers[0].resources.limits.cpu", TYPE_INVALID)]


def test_secret_data_is_base64_and_times_are_rfc_3339(schemas):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "plain text!"}}
    (fault,) = schemas.strict(schemas.kind("v1", "Secret"), secret)
    assert "stringData" in str(fault)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"creationTimestamp": "today"}}
    assert strict(secret) == [("metadata.creationTimestamp", TYPE_INVALID)]


def test_a_deployment_of_an_old_group_may_have_its_old_fields(schemas, deployment):
    deployment["apiVersion"] = "extensions/v1beta1"
    del deployment["spec"]["selector"]
    deployment["spec"]["rollbackTo"] = {"revision": 3}
    assert strict(deployment) == []
    stored = schemas.to_storage(schemas.kind("extensions/v1beta1", "Deployment"), deployment)
    assert stored["apiVersion"] == "apps/v1"
    assert stored["spec"]["selector"] == {"matchLabels": {"app": "web"}}
    assert "rollbackTo" not in stored["spec"]
    assert strict(stored) == []
    deployment["apiVersion"] = "apps/v1"
    assert strict(deployment) == [("spec.rollbackTo", UNKNOWN)]


def test_a_whole_number_is_an_integer_however_it_is_written(schemas, deployment):
    kind = schemas.kind("apps/v1", "Deployment")
    deployment["spec"]["replicas"] = 3.0
    deployment["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 1.0}}
    assert strict(deployment) == []
    spec = schemas.normalise(kind, deployment)["spec"]
    assert json.dumps([spec["replicas"], spec["strategy"]["rollingUpdate"]["maxSurge"]]) == "[3, 1]"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a":1,"b":2}', ()),
        ('{"a":1,"a":2}', ("a",)),
        ('{"s":[{"x":{"n":1,"n":2,"n":3}},{"y":1,"y":1}]}', ("s[0].x.n", "s[1].y")),
        ("not json", ()),
    ],
)
def test_duplicate_keys(text, found):
    assert duplicate_keys(text.encode()) == found


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        (0.5, "500m"), (1, "1"), ("1000m", "1"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("100000k", "100M"),
        ("1e3", "1e3"), ("0", "0"), (0, "0"), ("0.1", "100m"), ("1000", "1k"),
        ("512Ki", "512Ki"), ("nonsense", "nonsense"),
        ("12E", "12E"), (".5", "500m"), ("1500m", "1500m"), ("0Mi", "0"),
    ],
)  # fmt: skip
def test_quantities_are_kept_in_their_shortest_form(given, canonical):
    assert canonical_quantity(given) == canonical


def test_nulls_and_what_go_leaves_out_are_unset(schemas, deployment):
    written = copy.deepcopy(deployment)
    written["metadata"] |= {"creationTimestamp": None, "labels": {}}
    written["spec"] |= {"strategy": {}, "paused": False, "minReadySeconds": 0, "replicas": None}
    written["spec"]["template"]["spec"] |= {"volumes": [], "hostNetwork": False, "nodeSelector": {}}
    kind = schemas.kind("apps/v1", "Deployment")
    assert schemas.default(kind, written) == schemas.default(kind, deployment)


def test_meaningful_zeros_and_empty_objects_stay(schemas, deployment):
    deployment["spec"]["replicas"] = 0
    spec = deployment["spec"]["template"]["spec"]
    spec["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    spec["containers"][0]["env"] = [{"name": "EMPTY"}]
    made = schemas.default(schemas.kind("apps/v1", "Deployment"), deployment)
    assert made["spec"]["replicas"] == 0
    assert made["spec"]["template"]["spec"]["volumes"] == [{"name": "scratch", "emptyDir": {}}]


def test_custom_resources_lose_unknown_fields_but_keep_open_ones(schemas):
    obj = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "f"},
        "spec": {
            "configPatches": [
                {"applyTo": "CLUSTER", "patch": {"operation": "MERGE", "value": {"any": {"thing": [1]}}}}
            ],
            "bogus": 1,
        },
    }
    made = schemas.default(schemas.kind(obj["apiVersion"], obj["kind"]), obj)
    assert made["spec"] == {
        "configPatches": [{"applyTo": "CLUSTER", "patch": {"operation": "MERGE", "value": {"any": {"thing": [1]}}}}]
    }


@given(st.sampled_from(SCHEMAS.kinds), JSON, JSON)
def test_nothing_raises_on_arbitrary_json(kind, body, old):
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, **(body if isinstance(body, dict) else {"spec": body})}
    before = copy.deepcopy(obj)
    SCHEMAS.strict(kind, body)
    SCHEMAS.strict(kind, obj)
    made = SCHEMAS.default(kind, SCHEMAS.to_storage(kind, obj))
    SCHEMAS.validate(kind, made)
    SCHEMAS.validate(kind, made, old if isinstance(old, dict) else {})
    assert obj == before


@given(st.sampled_from(SCHEMAS.kinds), JSON)
def test_defaulting_twice_changes_nothing(kind, body):
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, **(body if isinstance(body, dict) else {})}
    if any(fault.reason != UNKNOWN for fault in SCHEMAS.strict(kind, obj)):
        return
    once = SCHEMAS.default(kind, obj)
    assert SCHEMAS.default(kind, once) == once
    assert json.loads(json.dumps(once)) == once


@given(JSON)
def test_stripping_nulls_leaves_none(body):
    assert "null" not in json.dumps(strip_nulls({"a": body})).replace('"null"', "")
