"""The store: versions never go back, what is committed stays, and the log tells watchers what happened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from plait.machine.api.store import START_JUMP, Key, Store, StoreWriteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PODS = ("", "pods")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store.db")
    yield made
    made.close()


def pod(name: str, namespace: str = "a", **more: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": name, "namespace": namespace}, **more}


def test_each_write_gets_the_next_version(store: Store) -> None:
    before = store.version
    first, second = store.put(PODS, pod("x")), store.put(PODS, pod("y"))
    assert (first.version, second.version) == (before + 1, before + 2)
    assert first.obj["metadata"]["resourceVersion"] == str(first.version)


def test_entries_come_by_namespace_and_name(store: Store) -> None:
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "y")):
        store.put(PODS, pod(name, namespace))
    assert [entry.key for entry in store.entries(PODS)] == [("a", "y"), ("a", "z"), ("b", "x")]
    assert [entry.key for entry in store.entries(PODS, "b")] == [("b", "x")]


def test_a_restart_keeps_objects_and_jumps_ahead(tmp_path: Path) -> None:
    first = Store(tmp_path / "store.db")
    entry = first.put(PODS, pod("x"))
    last = first.delete(PODS, first.put(PODS, pod("y")).key).version
    first.close()
    again = Store(tmp_path / "store.db")
    assert again.get(PODS, Key("a", "x")) == entry
    assert again.get(PODS, Key("a", "y")) is None
    assert again.version == last + START_JUMP
    again.close()


def test_after_a_restart_older_watchers_are_too_old(tmp_path: Path) -> None:
    first = Store(tmp_path / "store.db")
    version = first.put(PODS, pod("x")).version
    first.close()
    again = Store(tmp_path / "store.db")
    assert again.floor(PODS) > version
    again.close()


def test_kill_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from plait.machine.api.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    entry = store.put(('', 'pods'), {'metadata': {'name': f'p{number}', 'namespace': 'a'}})\n"
        "    print(entry.version, flush=True)\n"
    )
    path = tmp_path / "store.db"
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(50)]
        os.kill(process.pid, signal.SIGKILL)
        rest = [int(line) for line in process.stdout.read().split("\n")[:-1] if line.strip()]
    last = (seen + rest)[-1]
    store = Store(path)
    assert store.count(PODS) >= len(seen) + len(rest)
    assert store.version >= last + START_JUMP
    store.close()


def test_closing_folds_in_what_it_may_not_remove(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store(path)
    store.put(PODS, pod("x"))
    # As long as somebody else has it open, SQLite removes nothing.
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM objects").fetchone() == (1,)
        store.close()
        assert (tmp_path / "store.db-wal").stat().st_size == 0


def test_commits_are_synchronous(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_a_failed_commit_changes_nothing(store: Store) -> None:
    before = store.version
    with pytest.raises(StoreWriteError):
        store._commit(before + 1, "INSERT INTO nowhere VALUES (?)", (1,))
    assert store.version == before
    assert store.put(PODS, pod("x")).version == before + 1


def test_changes_are_told_from_any_known_version(store: Store) -> None:
    start = store.version
    store.put(PODS, pod("x"))
    middle = store.put(PODS, pod("x", spec=1)).version
    store.delete(PODS, Key("a", "x"))
    assert [change.type for change in store.changes(PODS, start)] == ["ADDED", "MODIFIED", "DELETED"]
    deleted = store.changes(PODS, middle)
    assert [change.type for change in deleted] == ["DELETED"]
    assert deleted[0].entry.obj["metadata"]["resourceVersion"] == str(store.version)


def test_the_log_forgets_and_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db", log_length=3)
    start = store.version
    versions = [store.put(PODS, pod("x", spec=number)).version for number in range(7)]
    assert store.floor(PODS) == versions[3] > start
    assert [change.version for change in store.changes(PODS, store.floor(PODS))] == versions[4:]
    store.close()


def test_the_log_forgets_large_objects_sooner_but_not_the_newest(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db", log_bytes=100_000)
    small = [store.put(PODS, pod("x", spec=number)).version for number in range(100)]
    assert len(store.changes(PODS, small[0])) == 99, "as long as they are small"
    large = [store.put(PODS, pod("x", spec="y" * 30_000)).version for _ in range(20)]
    kept = store.changes(PODS, store.floor(PODS))
    assert [change.version for change in kept] == large[-len(kept) :]
    assert sum(len(change.entry.raw) for change in kept) <= 125_000
    huge = [store.put(PODS, pod("x", spec="y" * 300_000)).version for _ in range(9)]
    assert [change.version for change in store.changes(PODS, store.floor(PODS))] == huge[-4:]
    store.close()


async def test_a_watcher_wakes_at_the_next_change(store: Store) -> None:
    waiting = asyncio.create_task(store.wait(PODS, 60))
    await asyncio.sleep(0)
    store.put(("", "secrets"), pod("s"))
    await asyncio.sleep(0)
    assert not waiting.done()
    store.put(PODS, pod("x"))
    await asyncio.wait_for(waiting, 60)


async def test_waiting_ends_with_its_time(store: Store) -> None:
    await asyncio.wait_for(store.wait(PODS, 0.0), 60)
