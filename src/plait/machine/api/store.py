"""The objects: read from memory, written through to SQLite before anybody sees them, and a log for watchers.

One counter, the resourceVersion, numbers all writes. It never goes back: it is stored with every write, commits are
synchronous, and each start jumps ahead, so that a version handed out before a crash is never handed out again. The
watch log lives in memory; after a start it begins at the counter, and older watchers are told to list again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from plait.machine.api.store_format import bring_up_to_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from plait.machine.api.registry import Collection

Json = dict[str, Any]

#: What each start adds to the counter: more than any number of writes that could be lost.
START_JUMP = 1_000_000
#: Changes kept per collection, and how many bytes of objects with them (in memory they are six times as large), for
#: watchers that come back; one that needs older ones lists again. Half as many again may be there, or a quarter more
#: bytes, so that not every change throws one away.
LOG_LENGTH, LOG_BYTES = 4096, 2 * 1024 * 1024
#: Large objects leave as many: whoever watches gets them.
_LOG_LEAST = 4


class StoreWriteError(Exception):
    """A change was not stored, so it did not happen: the disk is full, or fails."""


class Key(NamedTuple):
    """Identity of an object inside its collection; `namespace` is empty for cluster-wide kinds."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored object: never to be changed. `raw` is its JSON in the stored version."""

    key: Key
    version: int
    obj: Json
    raw: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the watch log. For DELETED `entry` is the last state, with the version of the deletion."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    version: int
    entry: Entry
    old: Entry | None


class _Log:
    """Changes of one collection, oldest first, and who waits for the next."""

    __slots__ = ("changes", "floor", "length", "most", "size", "waiting")

    def __init__(self, floor: int, length: int, most: int) -> None:
        self.length, self.most, self.size = length, most, 0
        self.changes: list[Change] = []
        self.floor = floor
        self.waiting: set[asyncio.Future[None]] = set()

    def append(self, change: Change) -> None:
        self.changes.append(change)
        self.size += len(change.entry.raw)
        if len(self.changes) > self.length * 3 // 2 or self.size > self.most * 5 // 4:
            self._shorten()
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)
        self.waiting.clear()

    def _shorten(self) -> None:
        """Forget the oldest changes."""
        forgotten = 0
        while (left := len(self.changes) - forgotten) > self.length or (self.size > self.most and left > _LOG_LEAST):
            self.size -= len(self.changes[forgotten].entry.raw)
            forgotten += 1
        if forgotten:
            self.floor = self.changes[forgotten - 1].version
            del self.changes[:forgotten]


class Store:
    """All objects of the cluster. Used from one event loop; every method but `wait` is immediate."""

    def __init__(self, path: Path | str, *, log_length: int = LOG_LENGTH, log_bytes: int = LOG_BYTES) -> None:
        self._log_length, self._log_bytes = log_length, log_bytes
        if isinstance(path, Path):
            path.touch(mode=0o600)  # Secrets are in it; SQLite's side files take the mode over
            path.chmod(0o600)
        self._db = sqlite3.connect(str(path), isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        bring_up_to_date(self._db)
        (last,) = self._db.execute("SELECT version FROM counter").fetchone()
        (newest,) = self._db.execute("SELECT coalesce(max(version), 0) FROM objects").fetchone()
        self._version = max(last, newest) + START_JUMP
        self._db.execute("UPDATE counter SET version = ?", (self._version,))
        self._objects: dict[Collection, dict[str, dict[str, Entry]]] = defaultdict(lambda: defaultdict(dict))
        self._logs: dict[Collection, _Log] = {}
        #: Called after each change of a collection, within the write.
        self.on_change: dict[Collection, Callable[[], None]] = {}
        self._floor = self._version
        for group, plural, namespace, name, version, body in self._db.execute(
            "SELECT grp, plural, namespace, name, version, body FROM objects"
        ):
            entry = Entry(Key(namespace, name), version, msgspec.json.decode(body), bytes(body))
            self._objects[group, plural][namespace][name] = entry

    def close(self) -> None:
        """Close the database; the write-ahead log is folded in, and empty."""
        # SQLite folds it in by itself, but leaves it as it is where it may not remove it: in a folder of root's.
        with contextlib.suppress(sqlite3.OperationalError):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    @property
    def version(self) -> int:
        """The newest resourceVersion."""
        return int(self._version)

    def get(self, collection: Collection, key: Key) -> Entry | None:
        """The object, if it exists."""
        return self._objects[collection][key.namespace].get(key.name)

    def entries(self, collection: Collection, namespace: str = "") -> Iterator[Entry]:
        """Objects by namespace and name; those of one namespace if one is given."""
        spaces = self._objects[collection]
        for space in [namespace] if namespace else sorted(spaces):
            found = spaces.get(space, {})
            for name in sorted(found):
                yield found[name]

    def count(self, collection: Collection) -> int:
        """Number of objects of the collection."""
        return sum(len(space) for space in self._objects[collection].values())

    def put(self, collection: Collection, obj: Json) -> Entry:
        """Store an object under a new version, which is written into its metadata. The store owns `obj` from now on."""
        version = self._version + 1
        meta = obj["metadata"]
        meta["resourceVersion"] = str(version)
        key = Key(meta.get("namespace", ""), meta["name"])
        entry = Entry(key, version, obj, msgspec.json.encode(obj))
        self._commit(
            version,
            "INSERT INTO objects VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET version=excluded.version, "
            "body=excluded.body",
            (*collection, *key, version, entry.raw),
        )
        old = self.get(collection, key)
        self._objects[collection][key.namespace][key.name] = entry
        self._log(collection).append(Change("MODIFIED" if old else "ADDED", version, entry, old))
        self._tell(collection)
        return entry

    def delete(self, collection: Collection, key: Key) -> Entry:
        """Remove an object; the answer is its last state with the version of the deletion. Raises KeyError."""
        old = self._objects[collection][key.namespace][key.name]
        version = self._version + 1
        self._commit(
            version, "DELETE FROM objects WHERE grp=? AND plural=? AND namespace=? AND name=?", (*collection, *key)
        )
        space = self._objects[collection][key.namespace]
        del space[key.name]
        if not space:
            del self._objects[collection][key.namespace]
        obj = {**old.obj, "metadata": {**old.obj["metadata"], "resourceVersion": str(version)}}
        entry = Entry(key, version, obj, msgspec.json.encode(obj))
        self._log(collection).append(Change("DELETED", version, entry, old))
        self._tell(collection)
        return entry

    def floor(self, collection: Collection) -> int:
        """The oldest version from which changes of the collection are still known."""
        return self._log(collection).floor

    def changes(self, collection: Collection, after: int) -> list[Change]:
        """Changes of the collection after a version, oldest first; complete only if `after` is not below the floor."""
        log = self._log(collection).changes
        return log[bisect_right(log, after, key=lambda change: change.version) :]

    async def wait(self, collection: Collection, seconds: float) -> None:
        """Return at the next change of the collection, or after some time."""
        await self.wait_for_any((collection,), seconds)

    async def wait_for_any(self, collections: Iterable[Collection], seconds: float) -> None:
        """Return at the next change of one of the collections, or after some time."""
        logs = [self._log(collection) for collection in collections]
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for log in logs:
            log.waiting.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return
        finally:
            for log in logs:
                log.waiting.discard(waiter)

    def _tell(self, collection: Collection) -> None:
        if (told := self.on_change.get(collection)) is not None:
            told()

    def _commit(self, version: int, statement: str, values: tuple[Any, ...]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(statement, values)
            self._db.execute("UPDATE counter SET version = ?", (version,))
            self._db.execute("COMMIT")
        except BaseException as error:
            # A full disk ends the transaction by itself.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise StoreWriteError(f"the store cannot be written ({error}); what runs goes on") from error
            raise
        self._version = version

    def _log(self, collection: Collection) -> _Log:
        log = self._logs.get(collection)
        if log is None:
            log = self._logs[collection] = _Log(self._floor, self._log_length, self._log_bytes)
        return log
