"""Ctrl-C where half of what a command does could not be undone, and SIGTERM in its place."""

import os
import signal
from collections.abc import Iterator

import pytest

from plait.cli.interrupts import deferred, terminable


@pytest.fixture(autouse=True)
def as_in_a_command() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_until_the_block_has_ended() -> None:
    done = []

    def work() -> None:
        with deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("whole")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_block_without_an_interrupt_ends_as_usual() -> None:
    with deferred():
        pass


def test_sigterm_interrupts_as_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with terminable():
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert signal.getsignal(signal.SIGTERM) is before
