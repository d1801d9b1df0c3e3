"""Times as Kubernetes objects write them, and ages as kubectl shows them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_DAY = 86400
_YEAR = 365 * _DAY


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def timestamp(seconds: float) -> str:
    """`2026-11-22T10:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str | None) -> float | None:
    """Seconds since the epoch of an RFC 3339 time; None if there is none or it is malformed."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def age(since: str | None, at: float) -> str:
    """How long ago, in kubectl's short form; `<unknown>` without a time."""
    started = parse_timestamp(since)
    return "<unknown>" if started is None else human_duration(at - started)


def human_duration(seconds: float) -> str:
    """`45s`, `3m20s`, `12m`, `2h5m`, `9h`, `1d3h`, `3d`, `2y40d`: two units while the first is small, else one."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 120:
        return f"{total}s"
    minutes = total // 60
    if minutes < 10:
        return _two(minutes, "m", total % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = total // 3600
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(hours // 24, "d", hours % 24, "h")
    days = total // _DAY
    if total < 2 * _YEAR:
        return f"{days}d"
    years = total // _YEAR
    if total < 8 * _YEAR:
        return _two(years, "y", days % 365, "d")
    return f"{years}y"


def _two(large: int, unit: str, rest: int, small: str) -> str:
    return f"{large}{unit}{rest}{small}" if rest else f"{large}{unit}"
