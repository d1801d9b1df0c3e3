"""Plans of Deployments and ReplicaSets: tables of what follows from what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from plait.machine.controllers.conditions import find_condition, with_condition
from plait.machine.controllers.deployment_plan import Adjust, Drop, Make, Number, plan_deployment
from plait.machine.controllers.objects import selects
from plait.machine.controllers.pods import deletion_order
from plait.machine.controllers.replicaset_plan import Failure, pod_for, replicaset_status
from plait.machine.controllers.templates import replicaset_for, same_template, template_hash

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def stamp(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def given(deployment: dict, **status: object) -> dict:
    deployment["metadata"] |= {"uid": "d", "generation": 1, "resourceVersion": "1"}
    deployment["metadata"].setdefault("annotations", {"deployment.kubernetes.io/revision": "1"})
    return deployment | ({"status": status} if status else {})


def made(deployment: dict, *, wanted: int, ready: int, revision: int = 1, template: dict | None = None) -> dict:
    changed = deployment | {"spec": deployment["spec"] | ({"template": template} if template else {})}
    each = replicaset_for(changed, replicas=wanted, most=4, revision=revision)
    each["metadata"] |= {"uid": each["metadata"]["name"], "creationTimestamp": stamp(1000 - revision), "generation": 1}
    each["status"] = {"replicas": wanted, "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": 1}
    return each


def old_template() -> dict:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:0"}]}}


def plan(deployment: dict, *sets: dict, old_pods: bool = False, at: datetime = NOW):
    return plan_deployment(deployment, sets, old_pods=old_pods, now=at)


def test_the_first_step_makes_the_replica_set(deployment):
    (make,) = plan(given(deployment())).actions
    assert isinstance(make, Make)
    assert make.replicaset["spec"]["replicas"] == 3
    assert make.replicaset["metadata"]["annotations"] == {
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    assert make.status["conditions"][0]["reason"] == "NewReplicaSetCreated"


def test_a_new_template_starts_with_what_the_surge_allows(deployment):
    obj = given(deployment())
    (make,) = plan(obj, made(obj, wanted=3, ready=3, template=old_template())).actions
    assert make.replicaset["spec"]["replicas"] == 1
    assert make.replicaset["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


def test_revisions_and_annotations_are_written_before_anything_moves(deployment):
    obj = given(deployment())
    obj["metadata"]["annotations"] |= {"kubernetes.io/change-cause": "because", "kubectl.kubernetes.io/x": "1"}
    old = made(obj, wanted=3, ready=3, revision=4, template=old_template())
    new = made(given(deployment()), wanted=0, ready=0, revision=2)
    change, number = plan(obj, old, new).actions
    assert isinstance(change, Adjust)
    assert change.change["metadata"]["annotations"] == {
        "deployment.kubernetes.io/revision": "5",
        "deployment.kubernetes.io/revision-history": "2",
        "kubernetes.io/change-cause": "because",
        "kubectl.kubernetes.io/x": "1",
    }
    assert number == Number(revision=5)


def test_recreate_waits_for_old_pods(deployment):
    obj = given(deployment(strategy={"type": "Recreate"}))
    old = made(obj, wanted=3, ready=3, template=old_template())
    (change,) = plan(obj, old, old_pods=True).actions
    assert change.resized == (3, 0)
    empty = made(obj, wanted=0, ready=0, template=old_template())
    assert plan(obj, empty, old_pods=True).actions == ()
    (make,) = plan(obj, empty).actions
    assert make.replicaset["spec"]["replicas"] == 3


@pytest.mark.parametrize(
    ("known", "ready", "age", "expected"),
    [
        (None, 0, 0, "FoundNewReplicaSet"),
        ("NewReplicaSetCreated", 1, 0, "ReplicaSetUpdated"),
        ("NewReplicaSetCreated", 3, 0, "NewReplicaSetAvailable"),
        ("ReplicaSetUpdated", 0, 601, "ProgressDeadlineExceeded"),
        ("ReplicaSetUpdated", 0, 599, "ReplicaSetUpdated"),
        ("NewReplicaSetAvailable", 0, 9999, "NewReplicaSetAvailable"),
        ("ProgressDeadlineExceeded", 3, 9999, "NewReplicaSetAvailable"),
    ],
)
def test_the_word_on_progress(deployment, known, ready, age, expected):
    status = {"replicas": 3, "updatedReplicas": 3}
    if known:
        conditions = with_condition([], "Progressing", "True", reason=known, message="", now=stamp(age))
        status["conditions"] = conditions
    obj = given(deployment(), **status)
    result = plan(obj, made(obj, wanted=3, ready=ready))
    assert result.actions == ()
    assert find_condition(result.status["conditions"], "Progressing")["reason"] == expected
    available = find_condition(result.status["conditions"], "Available")
    assert available["status"] == ("True" if ready == 3 else "False")
    waits = expected in {"FoundNewReplicaSet", "ReplicaSetUpdated"}
    assert (result.again is not None) == waits
    if age == 599:
        assert result.again == pytest.approx(2.0)


def test_counts_leave_out_zeros_as_the_api_does(deployment):
    obj = given(deployment())
    status = plan(obj, made(obj, wanted=3, ready=0)).status
    assert {key: value for key, value in status.items() if key != "conditions"} == {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "unavailableReplicas": 3,
    }


def test_history_goes_only_after_the_rollout(deployment):
    obj = given(deployment(revisionHistoryLimit=1))
    obj["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "3"}
    olds = []
    for revision in (1, 2):
        template = old_template()
        template["spec"]["containers"][0]["image"] = f"old:{revision}"
        olds.append(made(obj, wanted=0, ready=0, revision=revision, template=template))
    new = made(obj, wanted=3, ready=3, revision=3)
    status = plan(obj, *olds, new).status
    assert plan(obj | {"status": status}, *olds, new).actions == (Drop(replicaset=olds[0]),)
    busy = olds[0] | {"status": {"replicas": 1, "observedGeneration": 1}}
    assert plan(obj | {"status": status}, busy, olds[1], new).actions == ()


def test_a_pod_is_the_template_and_its_owner(deployment):
    obj = given(deployment())
    each = made(obj, wanted=1, ready=0)
    pod = pod_for(each)
    assert pod["metadata"]["generateName"] == each["metadata"]["name"] + "-"
    assert pod["metadata"]["labels"] == each["spec"]["template"]["metadata"]["labels"]
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"], owner["uid"]) == ("ReplicaSet", True, each["metadata"]["uid"])
    assert pod["spec"] == obj["spec"]["template"]["spec"]


def test_templates_are_compared_without_the_hash(deployment):
    obj = deployment()
    each = made(given(obj), wanted=1, ready=0)
    assert same_template(each["spec"]["template"], obj["spec"]["template"])
    other = obj["spec"]["template"] | {"metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}}}
    assert not same_template(other, obj["spec"]["template"])
    assert template_hash(other, 0) != template_hash(obj["spec"]["template"], 0) != template_hash(other, 1)


def pod(name: str, *, phase="Running", node="plait", ready: float | None = 100, restarts=0, **notes: str) -> dict:
    conditions = [] if ready is None else [{"type": "Ready", "status": "True", "lastTransitionTime": stamp(ready)}]
    return {
        "metadata": {"name": name, "creationTimestamp": stamp(500), "annotations": notes, "labels": {"a": "b"}},
        "spec": {"nodeName": node},
        "status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": [{"restartCount": restarts}],
        },
    }


def test_those_go_first_whose_end_hurts_least():
    expected = [
        pod("unassigned", node="", phase="Pending", ready=None),
        pod("pending", phase="Pending", ready=None),
        pod("unready", ready=None),
        pod("cheap", **{"controller.kubernetes.io/pod-deletion-cost": "-5"}),
        pod("young", ready=5),
        pod("restarted", restarts=3),
        pod("steady"),
    ]
    assert sorted(expected[3:] + expected[:3], key=deletion_order) == expected


def test_a_replica_is_available_after_a_while_of_being_ready(deployment):
    owner = made(given(deployment()), wanted=3, ready=0)
    owner["spec"]["minReadySeconds"] = 10
    owner["spec"]["template"]["metadata"]["labels"] = {"a": "b"}
    pods = [pod("a", ready=100), pod("b", ready=4), pod("c", ready=None), pod("d", phase="Failed")]
    status, again = replicaset_status(owner, pods, now=NOW, failure=None)
    assert status == {
        "replicas": 3,
        "fullyLabeledReplicas": 3,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "observedGeneration": 1,
    }
    assert again == pytest.approx(6.0)
    failed, _ = replicaset_status(owner, pods, now=NOW, failure=Failure(reason="FailedCreate", message="no"))
    assert failed["conditions"][0]["type"] == "ReplicaFailure"
    assert "conditions" not in replicaset_status(owner | {"status": failed}, pods, now=NOW, failure=None)[0]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, True),
        ({}, False),
        (None, False),
    ],
)
def test_selectors(selector, expected):
    assert selects(selector, {"a": "1"}) is expected
