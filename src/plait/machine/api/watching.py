"""Watch: lines of `{"type", "object"}` for as long as the client likes, starting from a version it knows.

A watcher has no queue of its own. It keeps a version and reads the store's log from there, so it cannot miss a change
between list and watch, memory does not grow with slow clients, and one that falls behind the log's start is told to
list again (410).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from aiohttp import web

from plait.machine.api.errors import expired
from plait.machine.api.responses import headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plait.machine.api.query import ReadOptions
    from plait.machine.api.registry import Collection
    from plait.machine.api.rendering import Renderer
    from plait.machine.api.store import Change, Entry

#: Seconds between bookmarks for those who ask for them.
BOOKMARK_SECONDS = 60.0
_WRITE_BYTES = 64 * 1024
INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


def line(kind: str, obj: bytes) -> bytes:
    """One event as it goes over the wire."""
    return b'{"type":"' + kind.encode() + b'","object":' + obj + b"}\n"


class Source(Protocol):
    """What can be watched: objects and the log of their changes. A `Store` is one; see there."""

    @property
    def version(self) -> int:
        """The newest version."""
        ...

    def floor(self, collection: Collection) -> int:
        """The oldest version from which changes are known."""
        ...

    def entries(self, collection: Collection, namespace: str = "") -> Iterator[Entry]:
        """Every object."""
        ...

    def changes(self, collection: Collection, after: int) -> list[Change]:
        """Changes after a version, oldest first."""
        ...

    async def wait(self, collection: Collection, seconds: float) -> None:
        """Return at the next change, or after some time."""
        ...


class Watch:
    """One watch request. `monotonic` gives seconds for deadlines, `now` those for ages in tables."""

    def __init__(
        self,
        *,
        store: Source,
        renderer: Renderer,
        options: ReadOptions,
        namespace: str,
        monotonic: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._renderer = renderer
        self._collection = renderer.resource.collection
        self._options = options
        self._namespace = namespace
        self._monotonic = monotonic
        self._now = now
        self._columns_sent = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The whole answer, when the client's time is up or it has gone away."""
        response = web.StreamResponse(headers=headers())
        response.content_type = "application/json"
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            await self._serve(response)
        except ConnectionError:
            return response  # the client went away while we were writing to it
        await response.write_eof()
        return response

    async def _serve(self, response: web.StreamResponse) -> None:
        """Write events until the client's time is up; cancelled when it goes away."""
        end = self._monotonic() + self._options.timeout
        version, first = self._begin()
        if version is None:
            await response.write(self._too_old(self._options.version or 0))
            return
        await self._send(response, first)
        next_bookmark = self._monotonic() + BOOKMARK_SECONDS
        while (now := self._monotonic()) < end:
            if version < self._store.floor(self._collection):
                await response.write(self._too_old(version))
                return
            seen = self._store.version
            changes = self._store.changes(self._collection, version)
            version = seen
            if changes:
                await self._send(response, self._events(changes))
                continue
            if self._options.bookmarks and now >= next_bookmark:
                next_bookmark = now + BOOKMARK_SECONDS
                await response.write(line("BOOKMARK", self._renderer.bookmark(version, {})))
            wake = min(end, next_bookmark) if self._options.bookmarks else end
            await self._store.wait(self._collection, max(wake - self._monotonic(), 0.0))

    def _begin(self) -> tuple[int | None, Iterator[bytes]]:
        """Where to start, and what comes before that; no version if the log does not reach back far enough."""
        asked = self._options.version
        current = self._store.version
        if self._options.initial_events or (not asked and self._options.initial_events is None):
            if asked and asked > current:
                return None, iter(())
            return current, self._initial(current)
        if asked and (asked > current or asked < self._store.floor(self._collection)):
            return None, iter(())
        return asked or current, iter(())

    def _initial(self, version: int) -> Iterator[bytes]:
        present = [entry for entry in self._store.entries(self._collection, self._namespace) if self._takes(entry)]
        for entry in present:
            yield self._line("ADDED", entry)
        if self._options.initial_events and self._options.bookmarks:
            yield line("BOOKMARK", self._renderer.bookmark(version, INITIAL_EVENTS_END))

    def _events(self, changes: list[Change]) -> Iterator[bytes]:
        for change in changes:
            entry = change.entry
            if self._namespace and entry.key.namespace != self._namespace:
                continue
            was = change.old is not None and self._takes(change.old)
            if change.type == "DELETED":
                if was:
                    yield self._line("DELETED", entry)
                continue
            takes = self._takes(entry)
            if takes:
                yield self._line("MODIFIED" if was else "ADDED", entry)
            elif was and change.old is not None:
                yield line("DELETED", self._left(change.old, change.version))

    def _left(self, old: Entry, version: int) -> bytes:
        """An object that no longer matches: its last matching state, under the version of the change."""
        obj: dict[str, Any] = {**old.obj, "metadata": {**old.obj["metadata"], "resourceVersion": str(version)}}
        return self._renderer.one(obj, now=self._now(), columns=not self._columns_sent)

    def _line(self, kind: str, entry: Entry) -> bytes:
        text = line(kind, self._renderer.raw(entry, now=self._now(), columns=not self._columns_sent))
        self._columns_sent = True
        return text

    def _takes(self, entry: Entry) -> bool:
        return self._options.matches(entry.obj)

    def _too_old(self, version: int) -> bytes:
        return line("ERROR", msgspec.json.encode(expired(version, self._store.floor(self._collection)).status()))

    @staticmethod
    async def _send(response: web.StreamResponse, lines: Iterator[bytes]) -> None:
        buffer = bytearray()
        for text in lines:
            buffer += text
            if len(buffer) >= _WRITE_BYTES:
                await response.write(bytes(buffer))
                buffer.clear()
        if buffer:
            await response.write(bytes(buffer))
