"""Jobs: what follows from the pods that run, succeed and fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from plait.machine.controllers.job import pod_for
from plait.machine.controllers.job_indexes import format_indexes, next_indexes, parse_indexes
from plait.machine.controllers.job_plan import Ended, Plan, plan_job

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def stamp(seconds_ago: float) -> str:
    return (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def job(status: dict | None = None, *, restart: str = "Never", **spec: object) -> dict:
    template = {"spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "x"}]}}
    given = {"parallelism": 1, "backoffLimit": 6, "template": template, **spec}
    if "completions" not in spec and "parallelism" not in spec:
        given["completions"] = 1
    meta = {"name": "j", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": given, "status": status or {}}


def pod(phase: str, *, ended: float = 100, restarts: int = 0, index: int | None = None, deleting: bool = False) -> dict:
    state = {"terminated": {"finishedAt": stamp(ended)}} if phase in {"Succeeded", "Failed"} else {"running": {}}
    meta: dict = {"name": f"p-{phase}-{index}-{ended}", "uid": f"{phase}{index}{ended}", "namespace": "n"}
    meta["creationTimestamp"] = stamp(200)
    if index is not None:
        meta["annotations"] = {"batch.kubernetes.io/job-completion-index": str(index)}
    if deleting:
        meta["deletionTimestamp"] = stamp(0)
    containers = [{"name": "c", "state": state, "restartCount": restarts}]
    return {"metadata": meta, "status": {"phase": phase, "containerStatuses": containers}}


def plan(given: dict, *pods: dict, before: Ended | None = None) -> Plan:
    phases = [each["status"]["phase"] for each in pods]
    ended = before or Ended(succeeded=phases.count("Succeeded"), failed=phases.count("Failed"))
    return plan_job(given, list(pods), ended, now=NOW)


def conditions(made: Plan) -> dict[str, str]:
    return {item["type"]: item["reason"] for item in made.status.get("conditions", []) if item["status"] == "True"}


def test_a_new_job_starts_a_pod_and_its_clock() -> None:
    made = plan(job())
    assert made.create == (None,)
    assert made.status["startTime"] == stamp(0)
    assert conditions(made) == {}


@pytest.mark.parametrize(
    ("spec", "running", "succeeded", "created"),
    [
        ({"completions": 5, "parallelism": 2}, 0, 0, 2),
        ({"completions": 5, "parallelism": 2}, 1, 1, 1),
        ({"completions": 5, "parallelism": 3}, 0, 4, 1),
        ({"parallelism": 3}, 2, 0, 1),
        ({"parallelism": 3}, 2, 1, 0),
        ({"completions": 2, "parallelism": 0}, 0, 0, 0),
    ],
)
def test_no_more_pods_than_are_wanted_at_a_time(spec: dict, running: int, succeeded: int, created: int) -> None:
    pods = [pod("Running", ended=n) for n in range(running)] + [pod("Succeeded", ended=n) for n in range(succeeded)]
    assert len(plan(job(**spec), *pods).create) == created


def test_less_parallelism_ends_pods() -> None:
    made = plan(job(completions=5, parallelism=1), pod("Running", ended=1), pod("Pending", ended=2))
    assert [each["status"]["phase"] for each in made.delete] == ["Pending"]


def test_enough_successes_complete_it() -> None:
    made = plan(job(), pod("Succeeded"))
    assert conditions(made) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert made.status["completionTime"] == stamp(0)
    assert made.status["succeeded"] == 1
    assert made.events == (("Normal", "Completed", "Job completed"),)
    assert made.create == made.delete == ()


def test_a_deleted_pod_that_had_succeeded_still_counts() -> None:
    assert "Complete" in conditions(plan(job(), before=Ended(succeeded=1)))


def test_what_still_runs_is_ended_before_it_is_complete() -> None:
    first = plan(job(completions=1, parallelism=2), pod("Succeeded"), pod("Running"))
    assert conditions(first) == {"SuccessCriteriaMet": "CompletionsReached"}
    assert len(first.delete) == 1
    going = plan(job(first.status, completions=1, parallelism=2), pod("Succeeded"), pod("Running", deleting=True))
    assert "Complete" not in conditions(going)
    assert "Complete" in conditions(plan(job(going.status, completions=1, parallelism=2), pod("Succeeded")))


def test_a_pod_that_failed_is_replaced_after_a_while_that_doubles() -> None:
    assert plan(job(), pod("Failed", ended=4)).again == pytest.approx(6)
    assert plan(job(), pod("Failed", ended=10)).create == (None,)
    assert plan(job(), pod("Failed", ended=50), pod("Failed", ended=15)).again == pytest.approx(5)


def test_too_many_failures_fail_it() -> None:
    made = plan(job(backoffLimit=1), pod("Failed", ended=50), pod("Failed", ended=20))
    assert conditions(made) == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
    assert "completionTime" not in made.status
    assert conditions(plan(job(backoffLimit=1), pod("Failed", ended=50))) == {}, "as many as it may have"


def test_restarts_count_where_containers_restart() -> None:
    made = plan(job(backoffLimit=2, restart="OnFailure"), pod("Running", restarts=2))
    assert conditions(made) == {"FailureTarget": "BackoffLimitExceeded"}
    assert len(made.delete) == 1


def test_its_time_is_limited() -> None:
    running = job({"startTime": stamp(50)}, activeDeadlineSeconds=60)
    assert plan(running, pod("Running")).again == pytest.approx(10)
    late = job({"startTime": stamp(60)}, activeDeadlineSeconds=60)
    assert conditions(plan(late, pod("Running"))) == {"FailureTarget": "DeadlineExceeded"}


def test_a_suspended_job_has_no_pods_and_no_clock() -> None:
    held = plan(job({"startTime": stamp(9)}, suspend=True), pod("Running"))
    assert conditions(held) == {"Suspended": "JobSuspended"}
    assert len(held.delete) == 1
    assert "startTime" not in held.status
    again = plan(job(held.status))
    assert conditions(again) == {}
    assert again.create == (None,)
    assert again.status["startTime"] == stamp(0)


def test_an_ended_job_goes_when_its_time_is_over() -> None:
    done = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": stamp(20)}]}
    assert plan(job(done, ttlSecondsAfterFinished=30)).again == pytest.approx(10)
    assert plan(job(done, ttlSecondsAfterFinished=20)).remove
    kept = plan(job(done))
    assert not kept.remove
    assert kept.again is None


def test_each_index_is_done_once() -> None:
    indexed = {"completions": 4, "parallelism": 2, "completionMode": "Indexed"}
    made = plan(job({"completedIndexes": "0"}, **indexed), pod("Succeeded", index=2), pod("Running", index=1))
    assert made.status["completedIndexes"] == "0,2"
    assert made.status["succeeded"] == 2
    assert made.create == (3,)


def test_an_indexed_pod_knows_its_index() -> None:
    made = pod_for(job(completions=2, completionMode="Indexed"), 1)
    assert made["metadata"]["generateName"] == "j-1-"
    assert made["metadata"]["annotations"] == {"batch.kubernetes.io/job-completion-index": "1"}
    assert made["spec"]["hostname"] == "j-1"
    assert made["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"


def test_indexes_are_written_as_ranges() -> None:
    assert format_indexes({5, 0, 1, 2}) == "0-2,5"
    assert parse_indexes("0-2,5") == {0, 1, 2, 5}
    assert parse_indexes("") == set()
    assert next_indexes(2, 6, {0, 1, 3}) == (2, 4)
