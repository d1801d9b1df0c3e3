"""Merge patch, JSON patch, strategic merge patch."""

from __future__ import annotations

import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.machine.api.schema import PatchError, json_patch, load_schemas, merge_patch

SCHEMAS = load_schemas()
POD = SCHEMAS.kind("v1", "Pod")
SCALAR = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)
ITEMS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd"), "image": st.text(max_size=3)}),
    unique_by=lambda one: one["name"],
)
PATCH_WORDS = st.dictionaries(
    st.sampled_from(
        [
            "$patch",
            "$retainKeys",
            "$setElementOrder/containers",
            "$deleteFromPrimitiveList/x",
            "spec",
            "containers",
            "name",
            "x",
        ]
    ),
    JSON | ITEMS,
    max_size=4,
)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_changes_nothing_more(obj, patch):
    before = copy.deepcopy(obj)
    once = merge_patch(obj, patch)
    assert merge_patch(once, patch) == once
    assert obj == before


def test_null_removes_and_objects_merge():
    assert merge_patch({"a": {"b": 1, "c": 2}, "l": [1]}, {"a": {"b": None, "d": {"e": None}}, "l": [2]}) == {
        "a": {"c": 2, "d": {}},
        "l": [2],
    }


@pytest.mark.parametrize("patch", [[], "x", None, 3])
def test_a_merge_patch_is_an_object(patch):
    with pytest.raises(PatchError) as raised:
        merge_patch({}, patch)
    assert raised.value.code == 400


def test_json_patch():
    obj = {"metadata": {"labels": {"a/b": "c"}}, "list": [1, 2]}
    made = json_patch(
        obj,
        [
            {"op": "test", "path": "/metadata/labels/a~1b", "value": "c"},
            {"op": "replace", "path": "/metadata/labels/a~1b", "value": "d"},
            {"op": "add", "path": "/list/-", "value": 3},
            {"op": "remove", "path": "/list/0"},
        ],
    )
    assert made == {"metadata": {"labels": {"a/b": "d"}}, "list": [2, 3]}
    assert obj == {"metadata": {"labels": {"a/b": "c"}}, "list": [1, 2]}


@pytest.mark.parametrize(
    ("operations", "code", "says"),
    [
        ({}, 400, "must be a list"),
        (["x"], 400, "operation 0"),
        ([{"op": "bogus", "path": "/a"}], 400, "op must be one of"),
        ([{"op": "add", "path": "/a"}], 400, "needs a value"),
        ([{"op": "add", "path": "a", "value": 1}], 400, 'path must be a path like "/spec/x"'),
        ([{"op": "move", "path": "/a"}], 400, "from must be a path"),
        ([{"op": "test", "path": "/a", "value": 2}], 422, "operation 0 (test /a)"),
        ([{"op": "remove", "path": "/nope"}], 422, "operation 0 (remove /nope)"),
        ([{"op": "add", "path": "/a/b/c", "value": 1}], 422, "operation 0 (add /a/b/c)"),
        ([{"op": "replace", "path": "", "value": 1}], 422, "turns the object into an integer"),
    ],
)
def test_json_patch_errors_name_the_operation(operations, code, says):
    with pytest.raises(PatchError) as raised:
        json_patch({"a": 1}, operations)
    assert raised.value.code == code
    assert says in raised.value.message


POINTERS = st.sampled_from(["", "/", "/a", "/a/0", "/a/-", "/a/b/c"])
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": POINTERS},
    optional={"value": JSON, "from": POINTERS},
)


@given(OBJECTS, st.lists(OPERATIONS, max_size=3))
def test_json_patch_raises_nothing_but_patch_errors(obj, operations):
    try:
        made = json_patch(obj, operations)
    except PatchError:
        return
    assert isinstance(made, dict)


@given(ITEMS, ITEMS)
def test_a_strategic_merge_patch_applied_twice_changes_nothing_more(current, patch):
    obj = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": current}}
    once = SCHEMAS.strategic_merge(POD, obj, {"spec": {"containers": patch}})
    twice = SCHEMAS.strategic_merge(POD, once, {"spec": {"containers": patch}})
    assert twice == once
    assert {one["name"] for one in once["spec"]["containers"]} == {one["name"] for one in [*current, *patch]}


@given(PATCH_WORDS, PATCH_WORDS)
def test_strategic_merge_raises_nothing_but_patch_errors(obj, patch):
    before = copy.deepcopy(obj)
    with contextlib.suppress(PatchError):
        SCHEMAS.strategic_merge(POD, {"spec": obj}, {"spec": patch})
    assert obj == before


def test_an_item_without_its_key_is_refused_by_path():
    with pytest.raises(PatchError, match=r"spec.containers\[0\] does not contain its merge key name"):
        SCHEMAS.strategic_merge(POD, {"spec": {"containers": []}}, {"spec": {"containers": [{"image": "x"}]}})


def test_custom_resources_take_no_strategic_merge():
    with pytest.raises(PatchError) as raised:
        SCHEMAS.strategic_merge(SCHEMAS.kind("networking.istio.io/v1", "Gateway"), {}, {})
    assert raised.value.code == 415
    assert "application/merge-patch+json" in raised.value.message
