"""CEL: what is read, what is refused with a reason, and that no text ends the process."""

from __future__ import annotations

from contextlib import suppress

import pytest

from plait.kit.cel import CelError, compile_cel, native


def test_an_expression_is_evaluated() -> None:
    assert compile_cel("self.size() + 1").execute(native().Context({"self": "ab"})) == 3


@pytest.mark.parametrize("text", ["", "a b", "a ==", "(a", "x = 1"])
def test_what_is_no_cel_is_told(text: str) -> None:
    with pytest.raises(CelError, match="parse"):
        compile_cel(text)


def test_a_text_that_is_too_long_is_not_read() -> None:
    with pytest.raises(CelError, match="characters"):
        compile_cel("a." * 100_000 + "b")


@pytest.mark.parametrize("text", ["a." * 4999 + "b", "(" * 5000, "[" * 4999 + "]" * 4999, "!" * 9999 + "a"])
def test_texts_that_nest_without_end_do_not_end_the_process(text: str) -> None:
    with suppress(CelError):
        compile_cel(text)
