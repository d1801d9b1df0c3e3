"""Schedules of CronJobs: five fields, or a name such as `@daily`; when they are due. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
#: Name, least, most, names from the least on.
_FIELDS: Final = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_NAMED: Final = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_EVERY: Final = re.compile(r"@every\s+((?:\d+(?:\.\d+)?(?:h|m|s))+)")
_PARTS: Final = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0}
#: A schedule without a time in so many years has none (29 February comes every eighth at worst).
_YEARS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When to run, by the clock of a time zone; `every` (seconds) goes without one."""

    minutes: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    #: Where both kinds of day are restricted, one of them is enough.
    either_day: bool = False
    every: float = 0.0

    def after(self, moment: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The first time after `moment`, in UTC; None if there is none."""
        if self.every:
            return moment.replace(microsecond=0) + timedelta(seconds=self.every)
        day = moment.astimezone(zone).date()
        for _ in range(366 * _YEARS):
            for due in self._times(day, zone):
                if due > moment:
                    return due
            day += timedelta(days=1)
        return None

    def last(self, start: datetime, end: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The last time after `start` and not after `end`, in UTC; None if there is none."""
        if self.every:
            count = int((end - start).total_seconds() // self.every)
            return start.replace(microsecond=0) + timedelta(seconds=self.every * count) if count > 0 else None
        day, first = end.astimezone(zone).date(), start.astimezone(zone).date()
        while day >= first:
            due = [when for when in self._times(day, zone) if start < when <= end]
            if due:
                return max(due)
            day -= timedelta(days=1)
        return None

    def _times(self, day: date, zone: tzinfo) -> Iterator[datetime]:
        if day.month not in self.months or not self._on(day):
            return
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                due = local.astimezone(UTC)
                # A time that the clock leaps over in spring does not come that day.
                if due.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
                    yield due

    def _on(self, day: date) -> bool:
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either_day else in_month and in_week


def parse_schedule(text: str) -> Schedule:
    """Read a schedule; raises ValueError with what is wrong."""
    if "TZ=" in text:
        raise ValueError("cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    text = text.strip()
    if match := _EVERY.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(match[1]))
        return Schedule(every=float(max(1, int(seconds))))
    if text.startswith("@"):
        if text not in _NAMED:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _NAMED[text]
    words = text.split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(words)}: [{text}]")
    sets = [_field(word, *field) for word, field in zip(words, _FIELDS, strict=True)]
    return Schedule(
        minutes=tuple(sorted(sets[0])),
        hours=tuple(sorted(sets[1])),
        days=frozenset(sets[2]),
        months=frozenset(sets[3]),
        weekdays=frozenset(sets[4]),
        either_day=not any(word.startswith(("*", "?")) for word in (words[2], words[4])),
    )


def parse_zone(name: str | None) -> tzinfo:
    """The time zone of that name, UTC without one; raises ValueError."""
    if name in {None, "UTC", "Etc/UTC"}:
        return UTC
    try:
        return ZoneInfo(str(name))
    except (KeyError, OSError, ValueError):
        raise ValueError(f"unknown time zone {name}") from None


def _field(word: str, name: str, least: int, most: int, names: tuple[str, ...]) -> set[int]:
    found: set[int] = set()
    for part in word.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, name, ()) if slash else 1
        if step == 0:
            raise ValueError(f"step of range should be a positive number: {part}")
        if span in {"*", "?"}:
            low, high = least, most
        else:
            first, dash, second = span.partition("-")
            low = _number(first, name, names, least)
            high = _number(second, name, names, least) if dash else most if slash else low
        if low < least:
            raise ValueError(f"beginning of range ({low}) below minimum ({least}): {part}")
        if high > most:
            raise ValueError(f"end of range ({high}) above maximum ({most}): {part}")
        if low > high:
            raise ValueError(f"beginning of range ({low}) beyond end of range ({high}): {part}")
        found.update(range(low, high + 1, step))
    return found


def _number(text: str, name: str, names: tuple[str, ...], least: int = 0) -> int:
    if text.upper() in names:
        return names.index(text.upper()) + least
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"failed to parse {name} {text!r}: not a number")
    return int(text)
