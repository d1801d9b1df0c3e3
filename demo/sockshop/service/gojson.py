"""JSON text as Go's encoding/json writes it, because that is what callers of the original see byte for byte.

Pure. Keys keep their order, `<`, `>` and `&` are escaped, and a float32 takes the shortest form that
reads back the same.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

_HTML = re.compile("[<>&\u2028\u2029]")
_HTML_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
_quoted = json.encoder.encode_basestring


@dataclass(frozen=True, slots=True)
class Float32:
    """A number that Go holds as float32."""

    value: float

    def nearest(self) -> float:
        """The number that float32 makes of it."""
        return _as_float32(self.value)


def encode(value: object) -> bytes:
    """The text with the line end that Go's Encoder adds. Raises ValueError for NaN and infinity, as Go refuses them."""
    return (_text(value) + "\n").encode()


def _text(value: object) -> str:
    if isinstance(value, str):
        text = _quoted(value)
        return text.translate(_HTML_ESCAPES) if _HTML.search(text) else text
    if isinstance(value, Float32):
        return shortest_float32(value.value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{_text(key)}:{_text(item)}" for key, item in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([_text(item) for item in value]) + "]"
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def shortest_float32(value: float) -> str:
    """`99.99`, `18`, `1e-7`, `1e+21`: the fewest digits that name the same float32."""
    if not math.isfinite(value):
        raise ValueError(f"JSON has no number for {value}")
    stored = _as_float32(value)
    return _shortest(stored, math.copysign(1, stored) < 0)


@lru_cache(maxsize=1024)
def _shortest(stored: float, _negative: bool) -> str:
    """`_negative` tells the cache 0 from -0, which are equal."""
    short = next(text for digits in range(9) if _as_float32(float(text := f"{stored:.{digits}e}")) == stored)
    size = abs(stored)
    if size != 0 and not _SMALL <= size < _LARGE:
        mantissa, exponent = short.split("e")
        # Go takes the zero off a one-digit exponent only when it is negative: 1e-7, but 1e+21.
        return f"{mantissa}e{exponent.replace('-0', '-')}"
    return f"{Decimal(short):f}"


def _as_float32(value: float) -> float:
    try:
        single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return single


_SMALL, _LARGE = _as_float32(1e-6), _as_float32(1e21)
"""From the one to below the other Go writes no exponent."""
