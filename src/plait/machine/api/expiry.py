"""Events do not stay: they are the fastest growing kind and only worth something while fresh."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plait.machine.api.objects import metadata
from plait.machine.api.times import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.machine.api.store import Entry, Store

_EVENTS = ("", "events")
#: Seconds an event is kept after it was last seen; as upstream.
LIFETIME = 3600.0
#: More events than this are never kept; the oldest go first.
MOST = 5000
_ROUND_SECONDS = 30.0


async def expire_events(store: Store, *, clock: Callable[[], float]) -> None:
    """Remove old events, round after round, until cancelled."""
    while True:
        for entry in old_events(list(store.entries(_EVENTS)), clock()):
            if store.get(_EVENTS, entry.key) is not None:
                store.delete(_EVENTS, entry.key)
                await asyncio.sleep(0)  # one commit each: let requests in between
        await asyncio.sleep(_ROUND_SECONDS)


def old_events(entries: list[Entry], at: float) -> list[Entry]:
    """Those whose time is over, and the oldest of those that are too many."""
    by_age = sorted(entries, key=_seen)
    surplus = len(by_age) - MOST
    return [entry for index, entry in enumerate(by_age) if index < surplus or _seen(entry) + LIFETIME < at]


def _seen(entry: Entry) -> float:
    series = entry.obj.get("series") or {}
    times = (series.get("lastObservedTime"), entry.obj.get("lastTimestamp"), entry.obj.get("eventTime"))
    known = [parse_timestamp(text) for text in (*times, metadata(entry.obj).get("creationTimestamp"))]
    return next((seconds for seconds in known if seconds is not None), 0.0)
