"""Server-side apply beyond the recorded cases: versions, subresources, limits, odd input."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.machine.api.schema import ApplyConflict, PatchError, load_schemas
from plait.machine.api.schema.managed import decode, encode

SCHEMAS = load_schemas()
CONFIG = SCHEMAS.kind("v1", "ConfigMap")
DEPLOYMENT = SCHEMAS.kind("apps/v1", "Deployment")
NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:00:09Z"
DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4)


def config(data, **metadata):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "n", **metadata},
        "data": data,
    }


def apply(old, obj, manager="a", **more):
    return SCHEMAS.server_side_apply(CONFIG, old, obj, **{"manager": manager, "now": NOW} | more)


def test_conflicts_name_field_and_manager():
    live = apply(None, config({"x": "1"}))
    with pytest.raises(ApplyConflict) as raised:
        apply(live, config({"x": "2"}), "b")
    (conflict,) = raised.value.conflicts
    assert (conflict.field, conflict.message) == (".data.x", 'conflict with "a"')
    assert str(raised.value) == 'Apply failed with 1 conflict: conflict with "a": .data.x'


def test_an_apply_that_changes_nothing_keeps_its_time():
    live = apply(None, config({"x": "1"}))
    assert apply(live, config({"x": "1"}), now=LATER) == live


def test_an_update_that_changes_nothing_keeps_everything():
    live = SCHEMAS.track_update(CONFIG, None, config({"x": "1"}), manager="u", now=NOW)
    assert SCHEMAS.track_update(CONFIG, live, live, manager="v", now=LATER) == live


def test_what_an_untracked_object_had_belongs_to_its_past():
    live = apply(config({"x": "1"}), config({"y": "1"}))
    managers = {entry["manager"]: entry["fieldsV1"] for entry in live["metadata"]["managedFields"]}
    assert managers == {"before-first-apply": {"f:data": {"f:x": {}}}, "a": {"f:data": {"f:y": {}}}}


def test_status_is_tracked_apart():
    base = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1}}
    live = SCHEMAS.track_update(DEPLOYMENT, None, base, manager="kubectl", now=NOW)
    status = {**copy.deepcopy(live), "status": {"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]}}
    made = SCHEMAS.track_update(DEPLOYMENT, live, status, manager="controller", now=NOW, subresource="status")
    (entry,) = [one for one in made["metadata"]["managedFields"] if one["manager"] == "controller"]
    assert entry["subresource"] == "status"
    assert set(entry["fieldsV1"]) == {"f:status"}
    assert 'k:{"type":"Available"}' in entry["fieldsV1"]["f:status"]["f:conditions"]


def test_ownership_is_written_as_servers_of_typed_kinds_write_it():
    """Structs held by value and lists that are always there are nobody's; what is added comes with its containers."""
    obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "labels": {"app": "d"}},
        "spec": {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]},
            },
        },
    }
    made = SCHEMAS.track_update(DEPLOYMENT, None, obj, manager="m", now=NOW)
    (entry,) = made["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {
                            ".": {},
                            "f:name": {},
                            "f:ports": {
                                ".": {},
                                'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
                            },
                        }
                    }
                },
            },
        },
    }


def test_clients_may_rewrite_or_clear_ownership():
    live = apply(None, config({"x": "1"}))
    rewritten = copy.deepcopy(live)
    rewritten["metadata"]["managedFields"][0]["manager"] = "z"
    made = SCHEMAS.track_update(CONFIG, live, rewritten, manager="u", now=LATER)
    assert [one["manager"] for one in made["metadata"]["managedFields"]] == ["z"]
    cleared = copy.deepcopy(live)
    cleared["metadata"]["managedFields"] = [{}]
    assert "managedFields" not in SCHEMAS.track_update(CONFIG, live, cleared, manager="u", now=LATER)["metadata"]


def test_the_oldest_updaters_are_folded_into_one():
    live = None
    for index in range(15):
        data = {**(live or {}).get("data", {}), f"k{index}": "v"}
        new = config(data)
        live = SCHEMAS.track_update(CONFIG, live, new, manager=f"m{index}", now=f"2026-01-01T00:00:{index:02d}Z")
    managers = [entry["manager"] for entry in live["metadata"]["managedFields"]]
    assert len(managers) == 10
    assert "ancient-changes" in managers
    owned = set().union(*(decode(entry["fieldsV1"]) for entry in live["metadata"]["managedFields"]))
    assert {("f:data", f"f:k{index}") for index in range(15)} <= owned


@pytest.mark.parametrize("applied", [[], "x", config({}, managedFields=[{"manager": "a"}])])
def test_what_cannot_be_applied(applied):
    with pytest.raises(PatchError) as raised:
        apply(None, applied)
    assert raised.value.code == 400


def test_the_annotation_of_client_side_apply_stays_true():
    last = '{"apiVersion":"v1","data":{"x":"1"},"kind":"ConfigMap","metadata":{"name":"c","namespace":"n"}}'
    name = "kubectl.kubernetes.io/last-applied-configuration"
    client = config({"x": "1"}, annotations={name: last})
    live = SCHEMAS.track_update(CONFIG, None, client, manager="kubectl-client-side-apply", now=NOW)
    made = apply(live, config({"x": "2"}), "kubectl")
    assert made["data"] == {"x": "2"}
    assert '"x":"2"' in made["metadata"]["annotations"][name]


@given(DATA, DATA, DATA)
def test_two_appliers_end_with_what_each_applies(first, second, third):
    live = apply(None, config(first), "a")
    live = apply(live, config(second), "b", force=True)
    live = apply(live, config(third), "a", force=True)
    wanted = {**second, **third}
    assert live.get("data", {}) == wanted
    owned = {one["manager"]: decode(one["fieldsV1"]) for one in live["metadata"].get("managedFields", [])}
    for key, value in third.items():
        assert ("f:data", f"f:{key}") in owned["a"]
        assert value == live["data"][key]


@given(
    st.recursive(
        st.just({}), lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", 'k:{"n":1}', "."]), inner, max_size=3)
    )
)
def test_field_sets_survive_writing_and_reading(tree):
    paths = decode(tree)
    assert decode(encode(paths)) == paths


NAMES = st.sampled_from(["containers", "name", "ports", "template", "spec", "labels", "finalizers"])
VALUES = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["spec", "metadata", "data", "x"]), VALUES, max_size=3))
def test_tracking_and_applying_raise_nothing_on_arbitrary_objects(obj):
    before = {"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}}
    for kind in (DEPLOYMENT, CONFIG, SCHEMAS.kind("networking.istio.io/v1", "Gateway")):
        for old in (None, before):
            SCHEMAS.track_update(kind, old, obj, manager="m", now=NOW)
            SCHEMAS.server_side_apply(kind, old, obj, manager="m", now=NOW, force=True)
