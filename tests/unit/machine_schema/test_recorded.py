"""Agreement with Kubernetes 1.32.9's own code, whose answers are kept in `recorded/`."""

from __future__ import annotations

import base64
from functools import partial

import pytest

from plait.machine.api.schema import ApplyConflict
from plait.machine.api.schema.managed import decode

#: What storage strategies and admission plug-ins add on a cluster, beyond typed defaulting.
ADDED = {
    "Pod": {
        "spec": {"serviceAccountName", "serviceAccount", "priority", "preemptionPolicy", "tolerations"},
        "status": {"phase"},
    },
    "Service": {"spec": {"ipFamilies", "ipFamilyPolicy", "clusterIPs"}},
    "Namespace": {"spec": {"finalizers"}},
    "Secret": {"": {"data", "stringData"}},
    "Node": {"": {"spec"}, "status": {"daemonEndpoints", "nodeInfo"}},
}


def without(obj, added):
    made = {name: value for name, value in obj.items() if name not in added.get("", ())}
    for section, names in added.items():
        if isinstance(made.get(section), dict):
            made[section] = {name: value for name, value in made[section].items() if name not in names}
    return made


def test_defaults(schemas, recorded):
    for case in recorded("defaults.json"):
        obj = case["object"]
        made = schemas.default(schemas.kind(obj["apiVersion"], obj["kind"]), obj)
        added = ADDED.get(obj["kind"], {})
        assert without(made, added) == without(case["result"], added)


def test_a_protobuf_body_means_what_its_json_means(schemas, recorded):
    for case in recorded("protobuf.json"):
        obj = case["object"]
        kind = schemas.kind(obj["apiVersion"], obj["kind"])
        decoded = schemas.decode_protobuf(base64.b64decode(case["body"]))
        assert schemas.strict(kind, decoded) == ()
        added = {"": {"spec"}, "status": {"daemonEndpoints", "nodeInfo"}} if obj["kind"] == "Node" else {}
        assert without(schemas.default(kind, decoded), added) == without(schemas.default(kind, obj), added)


def test_strategic_merge(schemas, recorded):
    for case in recorded("strategic.json"):
        obj = case["object"]
        kind = schemas.kind(obj["apiVersion"], obj["kind"])
        made = schemas.strategic_merge(kind, obj, case["patch"])
        result = {**case["result"], "apiVersion": obj["apiVersion"], "kind": obj["kind"]}
        assert schemas.normalise(
            kind, {**made, "apiVersion": obj["apiVersion"], "kind": obj["kind"]}
        ) == schemas.normalise(kind, result), case["patch"]


def test_validation_finds_the_same_faults_at_the_same_paths(schemas, recorded):
    for case in recorded("validation.json"):
        obj, old = case["object"], case["old"]
        kind = schemas.kind(obj["apiVersion"], obj["kind"])
        before = schemas.default(kind, old) if old else None
        found = schemas.validate(kind, schemas.default(kind, obj), before)
        assert sorted([fault.path, fault.reason] for fault in found) == case["faults"], obj


def test_server_side_apply_and_ownership(schemas, recorded):
    for case in recorded("apply.json"):
        live = None
        for second, (step, result) in enumerate(zip(case["steps"], case["results"], strict=True)):
            obj, now = step["obj"], f"2026-01-01T00:00:{second:02d}Z"
            kind = schemas.kind(obj["apiVersion"], obj["kind"])
            write = partial(schemas.track_update, kind, live, obj, manager=step["manager"], now=now)
            if step["kind"] == "apply":
                write = partial(
                    schemas.server_side_apply, kind, live, obj, manager=step["manager"], now=now, force=step["force"]
                )
            if "error" in result:
                with pytest.raises(ApplyConflict) as raised:
                    write()
                assert str(raised.value) == result["error"]
                continue
            live = write()
            assert content(live) == content(result["object"])
            owners = {
                (entry["manager"], entry["operation"]): leaves(entry["fieldsV1"])
                for entry in live["metadata"].get("managedFields", [])
            }
            assert owners == {(one["manager"], one["operation"]): leaves(one["fields"]) for one in result["managed"]}


def content(obj):
    metadata = {
        name: value
        for name, value in obj.get("metadata", {}).items()
        if name not in {"managedFields", "creationTimestamp"}
    }
    return {
        **{name: value for name, value in obj.items() if name != "metadata"},
        **({"metadata": metadata} if metadata else {}),
    }


def leaves(tree):
    """Paths without containers: which containers count as owned depends on the Go type behind the object."""
    paths = decode(tree)
    inner = {path[:length] for path in paths for length in range(1, len(path))}
    return paths - inner
