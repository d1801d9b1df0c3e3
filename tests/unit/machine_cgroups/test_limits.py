"""From `resources` to the text of the kernel's files."""

from __future__ import annotations

import pytest

from plait.machine.cgroups.ground import Place
from plait.machine.cgroups.limits import Limits, kills, limits_of, writes

V1, V2 = Place(folder="/one", version=1), Place(folder="/two", version=2)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (None, Limits()),
        ({"requests": {"memory": "1Gi", "cpu": "1"}}, Limits()),
        ({"limits": {"memory": "64Mi"}}, Limits(memory=67108864)),
        ({"limits": {"memory": "128974848000m"}}, Limits(memory=128974848)),
        ({"limits": {"memory": "1500m"}}, Limits(memory=2)),
        ({"limits": {"memory": 1000000000}}, Limits(memory=1000000000)),
        ({"limits": {"memory": "1.5G", "cpu": "200m"}}, Limits(memory=1500000000, quota=20000)),
        ({"limits": {"cpu": "1.5"}}, Limits(quota=150000)),
        ({"limits": {"cpu": 1}}, Limits(quota=100000)),
        # The kernel takes no quota below 1 ms.
        ({"limits": {"cpu": "1m"}}, Limits(quota=1000)),
        # No limit, or one that this machine cannot reach.
        ({"limits": {"memory": "0", "cpu": "0"}}, Limits()),
        ({"limits": {"cpu": "4"}}, Limits()),
        ({"limits": {"cpu": "3999m"}}, Limits(quota=399900)),
        ({"limits": {"ephemeral-storage": "1Gi"}}, Limits()),
    ],
)
def test_limits_of_a_container(resources, expected) -> None:
    assert limits_of({"name": "c", "resources": resources}, cpus=4) == expected


def test_what_is_no_quantity_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        limits_of({"resources": {"limits": {"memory": "lots"}}}, cpus=4)


@pytest.mark.parametrize(
    ("limits", "controllers"),
    [
        (Limits(), ()),
        (Limits(memory=1), ("memory",)),
        (Limits(quota=1), ("cpu",)),
        (Limits(memory=1, quota=1), ("memory", "cpu")),
    ],
)
def test_only_controllers_that_limit_something_are_used(limits, controllers) -> None:
    assert limits.controllers == controllers


def test_what_is_written() -> None:
    limits = Limits(memory=67108864, quota=20000)
    assert writes(limits, "memory", V1) == (
        ("memory.limit_in_bytes", "67108864", True),
        ("memory.memsw.limit_in_bytes", "67108864", False),
    )
    assert writes(limits, "cpu", V1) == (("cpu.cfs_period_us", "100000", True), ("cpu.cfs_quota_us", "20000", True))
    assert writes(limits, "memory", V2) == (
        ("memory.max", "67108864", True),
        ("memory.swap.max", "0", False),
        ("memory.oom.group", "1", False),
    )
    assert writes(limits, "cpu", V2) == (("cpu.max", "20000 100000", True),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", 2),
        ("low 0\nhigh 0\nmax 31\noom 1\noom_kill 1\noom_group_kill 0\n", 1),
        ("low 0\nhigh 0\nmax 31\noom 0\noom_kill 0\n", 0),
        ("oom_kill_disable 0\nunder_oom 0\n", 0),
        ("", 0),
    ],
)
def test_kills_are_read_in_both_versions(text: str, expected: int) -> None:
    assert kills(text) == expected
