"""What `/health` says. Pure."""

from __future__ import annotations

import time

_NANOSECONDS = 10**9


def document(*, database: bool, now_ns: int) -> dict[str, object]:
    """The state of the service and of its database at `now_ns` (nanoseconds since 1970)."""
    stamp = go_time(now_ns)
    return {
        "health": [
            {"service": "catalogue", "status": "OK", "time": stamp},
            {"service": "catalogue-db", "status": "OK" if database else "err", "time": stamp},
        ]
    }


def go_time(now_ns: int) -> str:
    """A time in UTC as Go's `Time.String` prints it: the fraction of a second ends at its last digit that is not 0."""
    seconds, rest = divmod(now_ns, _NANOSECONDS)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + fraction + " +0000 UTC"
