"""Waiting for a condition, as a person does: look again until it holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

#: Seconds after which a condition that should hold does not: generous, since machines are shared.
PATIENCE = 90.0

T = TypeVar("T")


def until(what: str, probe: Callable[[], T | None], *, seconds: float = PATIENCE) -> T:
    """The first true value of `probe`; fails with the last one when time is up."""
    end = time.monotonic() + seconds
    value = None
    while time.monotonic() < end:
        if value := probe():
            return value
        time.sleep(0.05)
    pytest.fail(f"not within {seconds:.0f} s: {what}; last seen: {value!r}")
