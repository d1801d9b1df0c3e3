"""Go's flag syntax: `-flag value`, `-flag=value`, with one dash or two; flags end at the first argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from plait.load.golang import parse_duration

T = TypeVar("T")

_BOOLEANS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class UsageError(Exception):
    """The command line is not one; the message says what to write."""


class HelpWanted(Exception):  # noqa: N818 -- a wish, not an error
    """`-h` was given."""


@dataclass(frozen=True, slots=True)
class Flag(Generic[T]):
    """One flag: how its value is read, its default, what it is for; `word` names its value in the help."""

    read: Callable[[str], T]
    default: T
    help: str
    word: str = ""
    many: bool = False


def boolean(default: bool, text: str) -> Flag[bool]:
    """A switch: `-x`, `-x=false`; the next word is never its value."""

    def read(value: str) -> bool:
        if value not in _BOOLEANS:
            raise ValueError("parse error")
        return _BOOLEANS[value]

    return Flag(read, default, text)


def integer(default: int, text: str, word: str = "int") -> Flag[int]:
    """A whole number, also `0x10`."""
    return Flag(lambda value: int(value, 0), default, text, word)


def number(default: float, text: str, word: str = "float") -> Flag[float]:
    """A number."""
    return Flag(float, default, text, word)


def string(default: str, text: str, word: str = "string") -> Flag[str]:
    """A text."""
    return Flag(str, default, text, word)


def strings(text: str, word: str) -> Flag[Any]:
    """A text that may be given again; the values in order."""
    return Flag(str, (), text, word, many=True)


def duration(default: str, text: str) -> Flag[int]:
    """A Go duration, in nanoseconds."""
    return Flag(parse_duration, parse_duration(default), text, "duration")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a command line says: `values` of all flags, `given` those that it names, `arguments` the rest."""

    values: Mapping[str, Any]
    given: frozenset[str] = field(default_factory=frozenset)
    arguments: tuple[str, ...] = ()


def parse(words: Sequence[str], flags: Mapping[str, Flag[Any]]) -> Parsed:
    """Read a command line; raises UsageError, or HelpWanted."""
    values = {name: flag.default for name, flag in flags.items()}
    given: set[str] = set()
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if not name or name.startswith("-"):
            raise UsageError(f"bad flag syntax: {word}")
        flag = flags.get(name)
        if flag is None:
            if name in {"h", "help"}:
                raise HelpWanted
            raise UsageError(f"flag provided but not defined: -{name}")
        if isinstance(flag.default, bool):
            value = value if equals else "true"
        elif not equals:
            if not rest:
                raise UsageError(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        try:
            read = flag.read(value)
        except ValueError as error:
            kind = "boolean value" if isinstance(flag.default, bool) else "value"
            detail = str(error) if "invalid duration" in str(error) else "parse error"
            raise UsageError(f'invalid {kind} "{value}" for flag -{name}: {detail}') from error
        values[name] = (*values[name], read) if flag.many else read
        given.add(name)
    return Parsed(values, frozenset(given), tuple(rest))
