"""BSON types that Python has no type of its own for. Pure."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime

_ID_BYTES = 12


class BsonError(ValueError):
    """Bytes that are no BSON, or a value that BSON has no form for."""


@dataclass(frozen=True, slots=True, order=True)
class ObjectId:
    """Twelve bytes that name a document; `str` is the hexadecimal form."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != _ID_BYTES:
            raise BsonError(f"an ObjectId has {_ID_BYTES} bytes, not {len(self.raw)}")

    @classmethod
    def parse(cls, text: str) -> ObjectId | None:
        """From 24 hexadecimal digits; None for anything else."""
        if len(text) != 2 * _ID_BYTES:
            return None
        try:
            return cls(bytes.fromhex(text))
        except ValueError:
            return None

    @classmethod
    def new(cls) -> ObjectId:
        """The second of its making, then random bytes."""
        return cls(int(time.time()).to_bytes(4, "big") + secrets.token_bytes(8))

    def __str__(self) -> str:
        return self.raw.hex()


class Int64(int):
    """A whole number that is written in 64 bits though 32 would do, as it came."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class DateTime:
    """Milliseconds since 1970, UTC."""

    ms: int

    @classmethod
    def now(cls) -> DateTime:
        """The present."""
        return cls(time.time_ns() // 1_000_000)

    def text(self, zone: str) -> str:
        """`2017-03-21T10:11:12.123` and the zone as given. Raises OverflowError outside the years 1 to 9999."""
        moment = datetime.fromtimestamp(self.ms // 1000, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{self.ms % 1000:03d}{zone}"


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """MongoDB's internal clock: seconds in the upper half, a counter in the lower."""

    value: int


@dataclass(frozen=True, slots=True, order=True)
class Binary:
    """Bytes with the subtype that says what they are."""

    subtype: int
    data: bytes


@dataclass(frozen=True, slots=True, order=True)
class Regex:
    """A regular expression and its options, in alphabetical order."""

    pattern: str
    options: str


@dataclass(frozen=True, slots=True, order=True)
class Raw:
    """A value of a rare or retired type (code, symbol, DBPointer, decimal128 …), kept byte for byte."""

    kind: int
    data: bytes


@dataclass(frozen=True, slots=True, order=True)
class Extreme:
    """MinKey (-1) or MaxKey (1)."""

    sign: int
