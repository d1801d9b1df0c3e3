"""CronJobs: when they are due, and what a look at the clock and at their Jobs leads to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from plait.kube.kinds import CRONJOB, JOB, NAMESPACE
from plait.machine.controllers.cron_plan import SCHEDULED, CronPlan, job_for, plan_cron_job, with_started
from plait.machine.schedules import parse_schedule, parse_zone

NOW = datetime(2026, 11, 30, 12, 0, 30, tzinfo=UTC)  # a Monday


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "since", "due"),
    [
        ("* * * * *", "2026-11-30T12:00:30", "2026-11-30T12:01"),
        ("*/15 * * * *", "2026-11-30T12:45", "2026-11-30T13:00"),
        ("5/20 * * * *", "2026-11-30T12:30", "2026-11-30T12:45"),
        ("0 9-17/4 * * MON-FRI", "2026-11-27T17:00", "2026-11-30T09:00"),
        ("30 6 1,15 * ?", "2026-11-15T06:30", "2026-12-01T06:30"),
        ("0 0 13 * 5", "2026-11-01T00:00", "2026-11-06T00:00"),  # a 13th or a Friday
        ("0 0 */2 * 1", "2026-12-01T00:00", "2026-12-07T00:00"),  # a Monday with an odd date
        ("0 0 29 feb *", "2026-11-30T00:00", "2028-02-29T00:00"),
        ("@hourly", "2026-11-30T12:00", "2026-11-30T13:00"),
        ("@weekly", "2026-11-30T12:00", "2026-12-06T00:00"),
        ("@every 1h30m", "2026-11-30T12:00", "2026-11-30T13:30"),
    ],
)
def test_the_next_time(schedule: str, since: str, due: str) -> None:
    assert parse_schedule(schedule).after(at(since)) == at(due)


def test_a_date_that_never_comes() -> None:
    assert parse_schedule("0 0 30 2 *").after(NOW) is None


def test_times_are_of_the_zone_and_follow_its_clock() -> None:
    zone = parse_zone("Europe/Berlin")
    early = parse_schedule("30 2 * * *")
    assert early.after(at("2026-03-27T12:00"), zone) == at("2026-03-28T01:30")
    # On the 29th the clock leaps from two to three.
    assert early.after(at("2026-03-28T12:00"), zone) == at("2026-03-30T00:30")


def test_the_last_time() -> None:
    noon = parse_schedule("0 12 * * *")
    assert noon.last(NOW - timedelta(days=3), NOW) == at("2026-11-30T12:00")
    assert noon.last(at("2026-11-30T12:00"), NOW) is None
    assert parse_schedule("@every 10s").last(NOW - timedelta(seconds=35), NOW) == NOW - timedelta(seconds=5)


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ("* * * *", "expected exactly 5 fields, found 4"),
        ("60 * * * *", "end of range (60) above maximum (59)"),
        ("* * 0 * *", "beginning of range (0) below minimum (1)"),
        ("* 5-3 * * *", "beginning of range (5) beyond end of range (3)"),
        ("*/0 * * * *", "step of range should be a positive number"),
        ("* * * * someday", "failed to parse day of week 'someday'"),
        ("@fortnightly", "unrecognized descriptor: @fortnightly"),
        ("TZ=Europe/Berlin 0 4 * * *", "use timeZone field instead"),
    ],
)
def test_a_schedule_that_cannot_be_read(schedule: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("(", "\\(").replace(")", "\\)")):
        parse_schedule(schedule)


def cron(status: dict | None = None, *, made: str = "2026-11-30T11:00:00Z", **spec: object) -> dict:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": {"containers": []}}}}
    meta = {"name": "tick", "namespace": "n", "uid": "u", "creationTimestamp": made}
    given = {"schedule": "0 * * * *", "jobTemplate": template, **spec}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": given, "status": status or {}}


def job(name: str, condition: str | None = None, *, started: str = "2026-11-30T11:00:00Z") -> dict:
    status: dict = {"startTime": started}
    if condition:
        status["conditions"] = [{"type": condition, "status": "True"}]
    if condition == "Complete":
        status["completionTime"] = started
    return {"metadata": {"name": name, "namespace": "n", "uid": f"uid-{name}"}, "spec": {}, "status": status}


def plan(given: dict, *jobs: dict) -> CronPlan:
    return plan_cron_job(given, jobs, now=NOW)


def test_a_job_is_started_for_the_latest_time_that_was_missed() -> None:
    made = plan(cron(made="2026-11-30T07:10:00Z"))
    assert made.due == at("2026-11-30T12:00")
    assert made.again == 59.5 * 60
    started = job_for(cron(), made.due)
    assert started["metadata"]["name"] == f"tick-{int(made.due.timestamp()) // 60}"
    assert started["metadata"]["annotations"] == {SCHEDULED: "2026-11-30T12:00:00Z"}
    assert started["metadata"]["labels"] == {"a": "b"}
    assert started["metadata"]["ownerReferences"][0]["controller"]


def test_a_time_is_used_once() -> None:
    status = with_started({}, job("tick-1"), at("2026-11-30T12:00"))
    assert [ref["name"] for ref in status["active"]] == ["tick-1"]
    again = plan(cron(status), job("tick-1"))
    assert again.due is None
    assert again.status == status
    assert again.events == ()


def test_what_is_too_late_is_left_out() -> None:
    assert plan(cron(startingDeadlineSeconds=20)).due is None
    assert plan(cron(startingDeadlineSeconds=40)).due == at("2026-11-30T12:00")


def test_nothing_is_started_while_it_is_suspended() -> None:
    made = plan(cron(suspend=True))
    assert (made.due, made.again) == (None, None)


@pytest.mark.parametrize(
    ("policy", "due", "deleted"), [("Allow", True, []), ("Forbid", False, []), ("Replace", True, ["tick-1"])]
)
def test_while_one_still_runs(policy: str, due: bool, deleted: list[str]) -> None:
    made = plan(cron(concurrencyPolicy=policy), job("tick-1"))
    assert (made.due is not None) == due
    assert [each["metadata"]["name"] for each in made.delete] == deleted
    assert [reason for _, reason, _ in made.events] == (["JobAlreadyActive"] if policy == "Forbid" else [])


def test_the_oldest_that_ended_go() -> None:
    jobs = [job(f"good-{n}", "Complete", started=f"2026-11-30T0{n}:00:00Z") for n in range(5)]
    jobs += [job(f"bad-{n}", "Failed", started=f"2026-11-30T0{n}:00:00Z") for n in range(3)]
    made = plan(cron(), *jobs)
    assert [each["metadata"]["name"] for each in made.delete] == ["good-0", "good-1", "bad-0", "bad-1"]
    assert made.status["lastSuccessfulTime"] == "2026-11-30T04:00:00Z"
    kept = plan(cron(successfulJobsHistoryLimit=0, failedJobsHistoryLimit=9), *jobs)
    assert [each["metadata"]["name"] for each in kept.delete] == [f"good-{n}" for n in range(5)]


def test_it_tells_how_a_job_ended() -> None:
    active = [{"name": "tick-1", "uid": "uid-tick-1"}, {"name": "gone", "uid": "x"}]
    made = plan(cron({"active": active}), job("tick-1", "Complete"))
    assert "active" not in made.status
    assert [message for _, _, message in made.events] == [
        "Saw completed job: tick-1, condition: Complete",
        "Active job went missing: gone",
    ]


def test_many_missed_times_are_worth_a_warning() -> None:
    made = plan(cron(schedule="* * * * *", made="2026-11-01T00:00:00Z"))
    assert made.due == at("2026-11-30T12:00")
    assert [reason for _, reason, _ in made.events] == ["TooManyMissedTimes"]


async def test_jobs_come_one_by_one_and_go_with_their_cron_job(cluster) -> None:
    async with cluster() as api:
        given = cron({"lastScheduleTime": "2025-12-30T00:00:00Z"}, schedule="* * * * *")
        given["metadata"] = {"name": "tick", "namespace": "shop"}
        await api.create(CRONJOB, given)
        await api.until(lambda: api.all(JOB))
        (started,) = api.all(JOB)[:1]
        assert started["metadata"]["ownerReferences"][0]["name"] == "tick"
        await api.until(lambda: (api.find(CRONJOB, "tick") or {})["status"].get("active"))
        await api.delete(CRONJOB, "tick", "shop")
        await api.until(lambda: not api.all(JOB))
        assert api.find(NAMESPACE, "shop")


def test_zones() -> None:
    assert parse_zone(None) is UTC
    assert parse_zone("UTC") is parse_zone("Etc/UTC") is UTC, "without a look into any database"
    assert parse_zone("Asia/Tokyo") == ZoneInfo("Asia/Tokyo")
    with pytest.raises(ValueError, match="unknown time zone Atlantis"):
        parse_zone("Atlantis")
