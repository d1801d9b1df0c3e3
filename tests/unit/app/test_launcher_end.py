"""What the launcher's log ends with."""

from __future__ import annotations

import signal

import pytest

from plait.app.launcher import last_words


@pytest.mark.parametrize(
    ("code", "how"),
    [
        (0, ""),
        (-signal.SIGTERM, ""),
        (-signal.SIGKILL, "was ended by signal 9"),
        (1, "was killed, or failed as told above"),
    ],
)
def test_the_end_of_init_is_told_unless_it_was_asked_for(code: int, how: str) -> None:
    said = last_words(code)
    assert bool(said) is bool(how)
    assert how in said
