"""Values of a wrong type in a person's words: what a decoder says of them, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

_EXPECTED: Final = re.compile(r"[Ee]xpected `([^`]+)`, got `(\w+)`")
_NAMES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "a map",
    "array": "a list",
    "null": "nothing",
}
#: Fields of Istio's that take a duration, wherever they stand.
_DURATIONS: Final = frozenset(
    {
        "backoff", "baseEjectionTime", "budgetInterval", "connectTimeout", "dnsRefreshRate", "drainDuration",
        "duration", "exponentialDelay", "fixedDelay", "idleTimeout", "interval", "maxAge", "maxConnectionDuration",
        "perTryTimeout", "protocolDetectionTimeout", "reportingInterval", "terminationDrainDuration", "time", "timeout",
        "ttl", "warmupDurationSecs", "weightExpirationPeriod", "weightStabilizationPeriod", "weightUpdatePeriod",
    }
)  # fmt: skip


class Mistyped(NamedTuple):
    """`wanted` and `got` are the decoder's names of types; `wanted` may be several."""

    wanted: tuple[str, ...]
    got: str

    def words(self, field: str = "") -> str:
        """What is wrong, for a value of `field`."""
        known = ("a duration",) if "str" in self.wanted and field in _DURATIONS else self._named()
        return f"must be {' or '.join(known)}, not {_NAMES.get(self.got, self.got)}"

    def _named(self) -> tuple[str, ...]:
        return tuple(_NAMES.get(name, name) for name in self.wanted)

    def instead(self, field: str, value: Any) -> str:
        """What to write in place of `value`; empty where nobody can know."""
        if "str" in self.wanted:
            return text_for(field, value)
        if {"int", "float"} & set(self.wanted) and isinstance(value, str) and value.strip().lstrip("-").isdigit():
            return f"write {value.strip()} without quotes"
        return ""


def mistyped(message: str) -> Mistyped | None:
    """What a decoder's message says about types; None: it is about something else."""
    match = _EXPECTED.search(message)
    if match is None:
        return None
    wanted = tuple(name for name in match[1].split(" | ") if name != "null")
    return Mistyped(wanted or ("null",), match[2])


def is_unitless(field: str, value: Any) -> bool:
    """Whether `value` is a number where Istio takes a duration."""
    return field in _DURATIONS and isinstance(value, (int, float)) and not isinstance(value, bool)


def text_for(field: str, value: Any) -> str:
    """How a plain value is written where text is wanted: `5s` for a duration, else in quotes."""
    if is_unitless(field, value):
        return f"write {value}s"
    if isinstance(value, (bool, int, float)):
        return f'write "{str(value).lower() if isinstance(value, bool) else value}" in quotes'
    return ""


class WrongValue(NamedTuple):
    """Why `value` cannot be used at `path`, and what to write there."""

    path: str
    message: str
    instead: str = ""
    value: Any = None


def wrong_values(kind: type[msgspec.Struct], field: str, value: Any) -> Iterator[WrongValue]:
    """The first that is wrong within one field of `kind`; of a map with wrong values each of them."""
    wrong = _refused(kind, field, value)
    if wrong is None:
        return
    path, words = wrong
    # The decoder does not say which entry of a map it does not take.
    outer, in_map, _ = path.partition(_IN_MAP)
    steps: list[str | int] = [int(step) if step.isdecimal() else step for step in _STEP.findall(outer)]
    if not in_map:
        yield _worded(path, words, _at({field: value}, steps), _choices(kind, steps))
        return
    for name, entry in _at({field: value}, steps).items():
        alone = _refused(kind, field, _replaced({field: value}, steps, {name: entry})[field])
        if alone is not None and alone[0] == path:
            yield _worded(f"{outer}[{name}]", alone[1], entry)


_STEP: Final = re.compile(r"[^.\[\]]+")
#: How the decoder names an entry of a map.
_IN_MAP: Final = "[...]"


def _refused(kind: type[msgspec.Struct], field: str, value: Any) -> tuple[str, str] | None:
    """(path, the decoder's words) of the first thing that is wrong."""
    try:
        msgspec.convert({field: value}, kind)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `")
        return path.rstrip("`").removeprefix("$").lstrip("."), words
    return None


def _choices(kind: type[msgspec.Struct], steps: Sequence[str | int]) -> tuple[str, ...]:
    """The words that can stand where `steps` lead to; empty where any can."""
    found = [inspect.type_info(kind)]
    for step in steps:
        found = [inner for each in found for inner in _within(each, step)]
    return tuple(str(word) for each in found if isinstance(each, inspect.LiteralType) for word in each.values)


def _within(kind: inspect.Type, step: str | int) -> Iterator[inspect.Type]:
    """The types that a field or an item of `kind` may have."""
    inner: inspect.Type | None = None
    if isinstance(kind, inspect.StructType):
        inner = next((field.type for field in kind.fields if field.encode_name == step), None)
    elif isinstance(kind, (inspect.VarTupleType, inspect.ListType)):
        inner = kind.item_type
    if isinstance(inner, inspect.UnionType):
        yield from inner.types
    elif inner is not None:
        yield inner


def _worded(path: str, words: str, value: Any, choices: Sequence[str] = ()) -> WrongValue:
    field = path.rpartition(".")[2]
    if choices:
        # YAML reads a bare OFF as false.
        known = [f'"{choice}"' if isinstance(value, bool) else choice for choice in choices]
        known = [*known[:-2], " or ".join(known[-2:])]
        return WrongValue(path, "is none of the known words", f"write {', '.join(known)}", value)
    wrong = mistyped(words)
    if wrong is None:
        return WrongValue(path, words, value=value)
    return WrongValue(path, wrong.words(field), wrong.instead(field, value), value)


def _at(value: Any, steps: Iterable[str | int]) -> Any:
    for step in steps:
        value = value[step]
    return value


def _replaced(value: Any, steps: Sequence[str | int], new: Any) -> Any:
    """A copy of `value` with `new` in the place that `steps` lead to."""
    if not steps:
        return new
    made = copy(value)
    made[steps[0]] = _replaced(value[steps[0]], steps[1:], new)
    return made
