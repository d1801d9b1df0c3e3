import pytest

from sockshop.catalogue.breaker import Breaker, RefusedError, State


def fail(breaker, times, now=0.0):
    for _ in range(times):
        breaker.settle(breaker.admit(now), succeeded=False, now=now)


def test_six_failures_in_a_row_open_it_for_thirty_seconds():
    breaker = Breaker()
    fail(breaker, 5)
    breaker.settle(breaker.admit(0), succeeded=True, now=0)
    fail(breaker, 5)
    assert breaker.state is State.CLOSED
    fail(breaker, 1)
    with pytest.raises(RefusedError, match="circuit breaker is open"):
        breaker.admit(29.9)


def test_afterwards_one_call_decides():
    breaker = Breaker()
    fail(breaker, 6)
    trial = breaker.admit(30.0)
    with pytest.raises(RefusedError, match="too many requests"):
        breaker.admit(30.0)
    breaker.settle(trial, succeeded=False, now=31.0)
    with pytest.raises(RefusedError, match="open"):
        breaker.admit(60.9)
    breaker.settle(breaker.admit(61.0), succeeded=True, now=61.0)
    assert breaker.state is State.CLOSED


def test_a_call_from_before_the_change_no_longer_counts():
    breaker = Breaker()
    late = breaker.admit(0)
    fail(breaker, 6)
    trial = breaker.admit(30)
    breaker.settle(late, succeeded=True, now=30)
    assert breaker.state is State.HALF_OPEN
    breaker.settle(trial, succeeded=True, now=30)
    assert breaker.state is State.CLOSED
