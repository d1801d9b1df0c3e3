from types import SimpleNamespace
from typing import Any

import pytest

from plait.machine.node.backoff import RestartBackoff, init_policy, remaining, restarts
from plait.machine.node.container import Container
from plait.machine.node.record import ContainerRecord, Terminated, Waiting


def test_waits_double_up_to_a_limit():
    backoff = RestartBackoff()
    assert [backoff.wait(n) for n in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_healthy_run_begins_anew():
    backoff = RestartBackoff()
    assert backoff.failures(5, ran=3.0) == 6
    assert backoff.failures(5, ran=600.0) == 1


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 137, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_restart_policies(policy, code, again):
    assert restarts(policy, code) is again


def test_init_containers_are_not_run_again_after_success():
    assert [init_policy(p) for p in ("Always", "OnFailure", "Never")] == ["OnFailure", "OnFailure", "Never"]


def test_a_clock_that_is_set_makes_no_wait_longer():
    assert remaining(10.0, since=100.0, now=103.0) == 7.0
    assert remaining(10.0, since=100.0, now=200.0) == 0.0
    assert remaining(10.0, since=5000.0, now=100.0) == 10.0


@pytest.mark.parametrize("ran", [False, True])
def test_only_what_has_never_run_is_being_created(ran: bool) -> None:
    ended = Terminated(exit_code=1, reason="Error", started_at=1.0, finished_at=2.0)
    container: Any = object.__new__(Container)
    container.record = ContainerRecord(name="c", last=ended if ran else None)
    container._pod = SimpleNamespace(changed=lambda: None)
    container._wait("ContainerCreating", "the API server does not answer")
    reason = "CrashLoopBackOff" if ran else "ContainerCreating"
    assert container.record.state == Waiting(reason=reason, message="the API server does not answer")
