"""When changes are published."""

from __future__ import annotations

import pytest

from plait.delivery.debounce import Debounce


@pytest.fixture
def debounce():
    return Debounce(quiet=0.010, limit=0.100)


def test_first_change_is_due_at_once(debounce):
    debounce.note(5.0, endpoints_only=False)
    assert debounce.due() == 5.0
    assert debounce.published(5.0) == 5.0
    assert debounce.due() is None


def test_a_burst_waits_for_quiet(debounce):
    debounce.note(5.0, endpoints_only=False)
    debounce.published(5.0)
    debounce.note(5.002, endpoints_only=False)
    assert debounce.due() == pytest.approx(5.012)
    debounce.note(5.009, endpoints_only=False)
    assert debounce.due() == pytest.approx(5.019)
    assert debounce.published(5.019) == 5.002


def test_a_burst_never_waits_longer_than_the_limit(debounce):
    debounce.note(5.0, endpoints_only=False)
    debounce.published(5.0)
    now = 5.0
    while now < 5.2:
        now += 0.005
        debounce.note(now, endpoints_only=False)
        if debounce.due() <= now:
            break
    assert now == pytest.approx(5.105, abs=0.006)


def test_endpoints_never_wait(debounce):
    debounce.note(5.0, endpoints_only=False)
    debounce.published(5.0)
    debounce.note(5.001, endpoints_only=True)
    assert debounce.due() == 5.001


def test_endpoints_take_along_what_waits(debounce):
    debounce.note(5.0, endpoints_only=False)
    debounce.published(5.0)
    debounce.note(5.001, endpoints_only=False)
    debounce.note(5.002, endpoints_only=True)
    assert debounce.due() == 5.002
    assert debounce.published(5.002) == 5.001


def test_after_quiet_a_change_is_first_again(debounce):
    debounce.note(5.0, endpoints_only=False)
    debounce.published(5.0)
    debounce.note(5.011, endpoints_only=False)
    assert debounce.due() == 5.011
