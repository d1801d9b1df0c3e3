"""Durations as Istio reads them: Go's syntax (`1.5s`, `300ms`, `1h2m`)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WHOLE: Final = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
#: Envoy counts nanoseconds in 63 bits, which is 292 years.
_LIMIT: Final = 9_000_000_000 * 10**9


def parse_duration(text: str) -> timedelta | None:
    """The duration, to the microsecond, or None when `text` is none."""
    if text in {"0", "+0", "-0"}:
        return timedelta()
    if len(text) > 64 or not _WHOLE.fullmatch(text):
        return None
    nanoseconds = _nanoseconds(text)
    if nanoseconds > _LIMIT:
        return None
    if text.startswith("-"):
        nanoseconds = -nanoseconds
    return timedelta(microseconds=nanoseconds // 1000)


def is_whole_milliseconds(text: str) -> bool:
    """Whether a readable duration has no part finer than a millisecond, which Istio does not take."""
    return _nanoseconds(text) % 10**6 == 0


def _nanoseconds(text: str) -> int:
    """Of a readable duration, whatever its sign."""
    nanoseconds = 0
    for number, unit in _PART.findall(text):
        whole, _, fraction = number.partition(".")
        scale = _UNITS[unit]
        nanoseconds += int(whole or "0") * scale
        if fraction:
            nanoseconds += int(fraction) * scale // 10 ** len(fraction)
    return nanoseconds
