from plait.machine.init.protocol import Process
from plait.machine.node.adoption import reconcile
from plait.machine.node.record import PodRecord, Running, Terminated, Waiting, process_name

POD = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [{"name": "c"}]}}


def record():
    return PodRecord(uid="u", namespace="n", name="p", created_at=1.0)


def process(attempt, state="running"):
    name = process_name("u", "c", attempt)
    return {name: Process(name=name, pid=7, state=state, started_at=5.0)}


def test_a_running_container_is_taken_over():
    rec = record()
    own = rec.container("c")
    own.attempt, own.state, own.ready = 2, Running(started_at=5.0), True
    reconcile(rec, POD, process(2))
    assert (own.attempt, own.state, own.ready) == (2, Running(started_at=5.0), True)


def test_a_process_that_was_started_but_not_written_down_is_found():
    rec = record()
    reconcile(rec, POD, process(0))
    assert (rec.container("c").attempt, rec.container("c").state) == (0, Running(started_at=5.0))


def test_a_process_that_is_not_there_has_ended():
    rec = record()
    own = rec.container("c")
    own.attempt, own.state = 0, Running(started_at=5.0)
    reconcile(rec, POD, {})
    assert isinstance(own.state, Terminated)
    assert (own.state.exit_code, own.state.reason) == (255, "Unknown")


def test_a_back_off_goes_on():
    rec = record()
    own = rec.container("c")
    ended = Terminated(exit_code=1, reason="Error", started_at=1.0, finished_at=2.0)
    own.attempt, own.last, own.state = 0, ended, Waiting(reason="CrashLoopBackOff")
    reconcile(rec, POD, {})
    assert own.state == ended


def test_after_the_mesh_was_down_it_counts_as_a_restart():
    told = {"name": "c", "restartCount": 2, "containerID": "plait://x", "state": {"running": {}}}
    rec = record()
    reconcile(rec, {**POD, "status": {"containerStatuses": [told]}}, {})
    own = rec.container("c")
    assert (own.restarts, own.attempt) == (3, 2)
    assert own.last.reason == "Unknown"
    assert isinstance(own.state, Waiting)


def test_the_record_survives_as_a_file(tmp_path):
    rec = record()
    rec.container("c").state = Running(started_at=5.0)
    rec.save(tmp_path)
    assert PodRecord.load(tmp_path) == rec
    assert PodRecord.load(tmp_path / "none") is None


def test_a_container_that_was_added_later_runs_once():
    added = {**POD, "spec": {**POD["spec"], "ephemeralContainers": [{"name": "d"}]}}
    told = {"name": "d", "containerID": "plait://x", "state": {"running": {}}}
    rec = record()
    reconcile(rec, {**added, "status": {"ephemeralContainerStatuses": [told]}}, {})
    own = rec.container("d")
    assert isinstance(own.state, Terminated)
    assert (own.attempt, own.state.reason) == (0, "Unknown")
    fresh = record()
    reconcile(fresh, added, {})
    assert isinstance(fresh.container("d").state, Waiting)
