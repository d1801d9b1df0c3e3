"""What an object with values of wrong types would mean with these mended, so that all else can be told at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from plait.api.decode import WRONG_TYPE, problems_of
from plait.api.problem import Problem
from plait.app.patch_checks import patch_faults
from plait.machine.api.schema.fields import UNKNOWN, FieldError

#: As many wrong types are mended; who has more has enough to do with them.
_MOST: Final = 40
_STEP: Final = re.compile(r"[^.\[\]]+")
_BRACKET: Final = re.compile(r"\[([^\]]*)\]|\.?[^.\[]+")
_WANTED: Final = re.compile(r"xpected `(\w+)")


def meaning(obj: dict[str, Any], faults: Sequence[FieldError]) -> tuple[Problem, ...]:
    """What is to be said about the meaning of an object beside the `faults` of its form.

    Beside what has the wrong shape, or breaks a rule, the rest can still be told.
    """
    broken = any(fault.reason != UNKNOWN for fault in faults)
    told = {fault.path for fault in faults} if broken else set()
    meant = (*problems_of(obj), *patch_faults(obj))
    if broken and any(problem.code == WRONG_TYPE for problem in meant):
        rest, changed = readable(obj)
        meant = tuple(
            problem for problem in (*problems_of(rest), *patch_faults(rest)) if not touches(problem.path, changed)
        )
    return tuple(p for p in meant if p.path not in told and not (told and p.code == WRONG_TYPE))


def readable(obj: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The object with each value of a wrong type replaced by what may have been meant, or left out; and their paths."""
    gone: list[str] = []
    for _ in range(_MOST):
        wrong = next((problem for problem in problems_of(obj) if problem.code == WRONG_TYPE), None)
        if wrong is None:
            break
        # A map of names of which an entry is wrong goes as a whole.
        path = _until_map(obj, wrong.path)
        if not path:
            return {}, ()
        wanted = _WANTED.search(wrong.message) if path == wrong.path else None
        steps = [int(step) if step.isdecimal() else step for step in _STEP.findall(path)]
        # What was mended once and is still wrong goes.
        found: Any = _changed(obj, steps, wanted[1] if wanted and path not in gone else "")
        obj = found
        gone.append(path)
    else:
        return {}, ()
    return obj, tuple(gone)


def _until_map(value: Any, path: str) -> str:
    """`path` as far as it leads through fields and lists."""
    for step in _BRACKET.finditer(path):
        inner = step[1]
        if inner is None:
            value = value.get(step[0].lstrip(".")) if isinstance(value, dict) else None
        elif isinstance(value, list) and inner.isdecimal() and int(inner) < len(value):
            value = value[int(inner)]
        else:
            return path[: step.start()]
    return path


def touches(path: str, gone: Iterable[str]) -> bool:
    """Whether what is said of `path` may be said because of a value that was changed."""
    return any(path == one or _within(path, one) or _within(one, path) for one in gone)


def _within(path: str, outer: str) -> bool:
    return path.startswith((f"{outer}.", f"{outer}["))


def _changed(value: Any, steps: list[str | int], wanted: str) -> Any:
    step, *rest = steps
    if isinstance(step, str) and isinstance(value, dict) and step in value:
        made = _changed(value[step], rest, wanted) if rest else _mended(value[step], wanted)
        return {key: each for key, each in {**value, step: made}.items() if each is not None or key != step}
    if isinstance(step, int) and isinstance(value, list) and step < len(value):
        made = _changed(value[step], rest, wanted) if rest else _mended(value[step], wanted)
        # A list without an item of it would count the others otherwise.
        return None if made is None else [made if index == step else each for index, each in enumerate(value)]
    return None


def _mended(value: Any, wanted: str) -> Any:
    if wanted == "array" and isinstance(value, (str, dict)):
        return [value]
    if wanted == "str" and isinstance(value, (bool, int, float)):
        return str(value).lower()
    return None
