"""What `plait status` says while things come and go."""

import subprocess

import pytest

from plait.app import overview


@pytest.mark.parametrize(("pods", "says"), [(1, "not ready: pod n/p0"), (7, "n/p4 and 2 more")])
def test_pods_that_are_waited_for_are_named(pods: int, says: str) -> None:
    assert overview._waiting_for([f"n/p{number}" for number in range(pods)]).endswith(says)


def test_a_process_that_has_just_ended_has_no_name() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    assert overview._module(ended.pid) == ""
