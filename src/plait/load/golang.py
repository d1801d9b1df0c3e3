"""How Go reads and writes numbers and durations, which scripts that read fortio's output rely on."""

from __future__ import annotations

import math
import re
from typing import Final

_UNITS: Final = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
    "d": 86400 * 10**9, "w": 7 * 86400 * 10**9,
}  # fmt: skip
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w)")


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration such as `1.5s`, `2h45m` or fortio's `1d4h`; raises ValueError."""
    body = text[1:] if text[:1] in {"-", "+"} else text
    if body == "0":
        return 0
    total, place = 0.0, 0
    while place < len(body):
        found = _PART.match(body, place)
        if found is None:
            break
        total += float(found[1]) * _UNITS[found[2]]
        place = found.end()
    if not body or place != len(body):
        raise ValueError(f'time: invalid duration "{text}"')
    return round(-total if text.startswith("-") else total)


def duration(nanoseconds: int) -> str:
    """A duration as Go prints it: `1m40s`, `106.474079ms`, `0s`."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest == 0:
        return "0s"
    for size, unit in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms")):
        if rest < size * 1000:
            return f"{sign}{_fraction(rest, size)}{unit}"
    minutes, seconds = divmod(rest, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_fraction(seconds, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _fraction(value: int, size: int) -> str:
    whole, part = divmod(value, size)
    digits = f"{part:0{len(str(size)) - 1}d}".rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def general(value: float) -> str:
    """Go's `%g`: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e6."""
    return _shortest(float(value), low=-4, high=6, pad=2)


def json_number(value: float) -> str:
    """A float as Go's encoder writes it: no exponent between 1e-6 and 1e21. JSON has no infinities: ValueError."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number JSON has")
    return _shortest(float(value), low=-6, high=21, pad=1)


def _shortest(value: float, *, low: int, high: int, pad: int) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1, value) < 0 else ""
    if value == 0:
        return sign + "0"
    mantissa, _, power = f"{abs(value)!r}".partition("e")
    whole, _, part = mantissa.partition(".")
    part = "" if part == "0" else part
    digits = (whole + part).lstrip("0")
    exponent = int(power or 0) + (len(whole) - 1 if whole != "0" else len(part.lstrip("0")) - len(part) - 1)
    digits = digits.rstrip("0") or "0"
    if exponent < low or exponent >= high:
        tail = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{tail}e{'-' if exponent < 0 else '+'}{abs(exponent):0{pad}d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    if len(digits) <= exponent + 1:
        return sign + digits.ljust(exponent + 1, "0")
    return f"{sign}{digits[: exponent + 1]}.{digits[exponent + 1 :]}"


def quoted(text: str) -> str:
    """Go's `%q`, for what is shown to people."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n") + '"'
