import pytest

from plait.machine.node.record import ContainerRecord, PodRecord, Running, Terminated, Waiting
from plait.machine.node.status import pod_status, qos_class, unscheduled_status

WAITING = Waiting()
RUNNING = Running(started_at=100.0)
DONE = Terminated(exit_code=0, reason="Completed", started_at=100.0, finished_at=101.0)
FAILED = Terminated(exit_code=3, reason="Error", started_at=100.0, finished_at=101.0)
CRASHING = Waiting(reason="CrashLoopBackOff", message="back-off")


def pod(*names, init=(), **spec):
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "containers": [{"name": name, "image": "i"} for name in names],
            "initContainers": [{"name": name, "image": "i"} for name in init],
            **spec,
        },
    }


def record(*, initialized=True, completed=False, **states):
    made = PodRecord(
        uid="u", namespace="n", name="p", created_at=50.0, ip="10.42.0.20", network=True,
        initialized=initialized, completed=completed,
    )  # fmt: skip
    for name, state in states.items():
        ready = isinstance(state, Running)
        made.containers[name] = ContainerRecord(
            name=name, image="i", state=state, attempt=0, ready=ready, started=ready
        )
    return made


def status_of(obj, rec, *, told=None, now=200.0):
    return pod_status(obj, rec, told=told or {}, host_ip="10.42.0.1", now=now, images={})


def conditions(status):
    return {c["type"]: c["status"] for c in status["conditions"]}


@pytest.mark.parametrize(
    ("states", "completed", "phase", "ready"),
    [
        ({"a": WAITING, "b": WAITING}, False, "Pending", "False"),
        ({"a": RUNNING, "b": WAITING}, False, "Running", "False"),
        ({"a": RUNNING, "b": RUNNING}, False, "Running", "True"),
        ({"a": RUNNING, "b": CRASHING}, False, "Running", "False"),
        ({"a": RUNNING, "b": FAILED}, False, "Running", "False"),
        ({"a": DONE, "b": DONE}, True, "Succeeded", "False"),
        ({"a": DONE, "b": FAILED}, True, "Failed", "False"),
    ],
)
def test_phase_and_readiness(states, completed, phase, ready):
    status = status_of(pod("a", "b"), record(completed=completed, **states))
    assert status["phase"] == phase
    assert conditions(status)["Ready"] == conditions(status)["ContainersReady"] == ready
    assert conditions(status)["Initialized"] == "True"


def test_a_container_in_back_off_leaves_the_pod_running():
    rec = record(a=CRASHING)
    rec.containers["a"].last = FAILED
    rec.containers["a"].restarts = 4
    status = status_of(pod("a"), rec)
    assert status["phase"] == "Running"
    [container] = status["containerStatuses"]
    assert container["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    assert container["lastState"]["terminated"]["exitCode"] == 3
    assert container["restartCount"] == 4


def test_a_pod_that_had_its_time_has_failed_however_its_containers_ended():
    rec = record(completed=True, a=DONE)
    rec.reason, rec.message = "DeadlineExceeded", "too long"
    status = status_of(pod("a"), rec)
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "DeadlineExceeded", "too long")


def test_init_containers_come_first():
    obj = pod("a", init=["prepare", "fetch"])
    rec = record(initialized=False, prepare=DONE, fetch=RUNNING, a=Waiting(reason="PodInitializing"))
    rec.containers["fetch"].ready = False
    status = status_of(obj, rec)
    assert status["phase"] == "Pending"
    initialized = next(c for c in status["conditions"] if c["type"] == "Initialized")
    assert initialized["message"] == "containers with incomplete status: [fetch]"
    assert [c["name"] for c in status["initContainerStatuses"]] == ["prepare", "fetch"]
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_container_without_init_containers_before_it_waits_for_its_own_making():
    status = status_of(pod("a"), record(initialized=False, a=Waiting(reason="PodInitializing")))
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_a_failed_init_container_fails_a_pod_that_is_not_restarted():
    obj = pod("a", init=["prepare"], restartPolicy="Never")
    status = status_of(obj, record(initialized=False, completed=True, prepare=FAILED, a=WAITING))
    assert status["phase"] == "Failed"
    assert conditions(status)["Ready"] == "False"


def test_a_native_sidecar_counts_for_readiness():
    obj = pod("a", init=["side"])
    obj["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    rec = record(side=RUNNING, a=RUNNING)
    assert conditions(status_of(obj, rec))["Ready"] == "True"
    rec.containers["side"].ready = False
    assert conditions(status_of(obj, rec))["Ready"] == "False"


def test_unready_containers_are_named():
    status = status_of(pod("a", "b"), record(a=RUNNING, b=WAITING))
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [b]")


def test_transition_times_move_only_with_the_status():
    first = status_of(pod("a"), record(a=WAITING), now=200.0)
    second = status_of(pod("a"), record(a=RUNNING), told=first, now=300.0)
    times = {c["type"]: c["lastTransitionTime"] for c in second["conditions"]}
    assert times["Ready"] == "1970-01-01T00:05:00Z"
    assert times["PodScheduled"] == "1970-01-01T00:03:20Z"
    assert status_of(pod("a"), record(a=RUNNING), told=second, now=400.0) == second


def test_readiness_gates_are_waited_for_and_kept():
    obj = pod("a", readinessGates=[{"conditionType": "example.org/open"}])
    status = status_of(obj, record(a=RUNNING))
    assert (conditions(status)["ContainersReady"], conditions(status)["Ready"]) == ("True", "False")
    obj["status"] = {"conditions": [{"type": "example.org/open", "status": "True", "lastTransitionTime": "x"}]}
    status = status_of(obj, record(a=RUNNING))
    assert (conditions(status)["Ready"], conditions(status)["example.org/open"]) == ("True", "True")


def test_addresses_and_start():
    status = status_of(pod("a"), record(a=RUNNING))
    assert (status["podIP"], status["podIPs"], status["hostIP"]) == ("10.42.0.20", [{"ip": "10.42.0.20"}], "10.42.0.1")
    assert status["startTime"] == "1970-01-01T00:00:50Z"
    assert status["containerStatuses"][0]["state"] == {"running": {"startedAt": "1970-01-01T00:01:40Z"}}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
    ],
)
def test_qos_class(resources, expected):
    assert qos_class({"containers": [{"name": "c", "resources": r} for r in resources]}) == expected


def test_an_unschedulable_pod_says_why():
    status = unscheduled_status(pod("a"), "no such node", 200.0)
    assert status["phase"] == "Pending"
    assert status["conditions"][0]["reason"] == "Unschedulable"


@pytest.mark.parametrize("state", [WAITING, RUNNING, FAILED])
def test_a_container_that_was_added_later_is_shown_and_does_not_count(state):
    obj = pod("a", ephemeralContainers=[{"name": "d", "image": "i"}])
    status = status_of(obj, record(a=RUNNING, d=state))
    assert (status["phase"], conditions(status)["Ready"]) == ("Running", "True")
    assert [each["name"] for each in status["containerStatuses"]] == ["a"]
    (shown,) = status["ephemeralContainerStatuses"]
    assert (shown["name"], shown["ready"], shown["restartCount"]) == ("d", False, 0)
