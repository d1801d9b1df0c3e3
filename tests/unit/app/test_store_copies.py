"""The store's copy and the look at it before a start."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from plait.app.store_copies import DamagedStoreError, NoCopyError, examine, keep_copy, restore
from plait.machine.api.store import Store
from plait.machine.api.store_format import FORMAT, StoreFormatError

COLLECTION = ("", "configmaps")


def stored(path: Path, name: str) -> None:
    store = Store(path)
    store.put(COLLECTION, {"metadata": {"name": name, "namespace": "default"}})
    store.close()


def names(path: Path) -> list[str]:
    store = Store(path)
    try:
        return sorted(entry.key.name for entry in store.entries(COLLECTION))
    finally:
        store.close()


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\x5a" * 8192)


def test_what_does_not_exist_or_is_whole_is_fine(tmp_path: Path) -> None:
    examine(tmp_path / "store.db")
    stored(tmp_path / "store.db", "a")
    examine(tmp_path / "store.db")


@pytest.mark.parametrize("how", [damage, lambda path: path.write_bytes(b"no database at all" * 500)])
def test_a_damaged_store_is_named_with_the_way_back_and_kept(tmp_path: Path, how) -> None:
    path = tmp_path / "store.db"
    stored(path, "a")
    keep_copy(path)
    assert (tmp_path / "store.db.copy").stat().st_mode & 0o777 == 0o600
    stored(path, "b")
    how(path)
    with pytest.raises(DamagedStoreError, match="plait up --restore"):
        examine(path)
    with pytest.raises(DamagedStoreError, match="plait --name two up --restore"):
        examine(path, "plait --name two")
    restore(path)
    examine(path)
    assert names(path) == ["a"]
    assert (tmp_path / "store.db.damaged").exists()
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_a_copy_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    stored(path, "a")
    damage(path)
    with pytest.raises(DamagedStoreError, match="no copy"):
        examine(path)
    with pytest.raises(NoCopyError):
        restore(path)
    assert path.exists()


def test_a_copy_can_be_made_while_the_store_is_written(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store(path)
    store.put(COLLECTION, {"metadata": {"name": "a", "namespace": "default"}})
    keep_copy(path)
    store.put(COLLECTION, {"metadata": {"name": "b", "namespace": "default"}})
    store.close()
    with closing(sqlite3.connect(tmp_path / "store.db.copy")) as copy:
        assert copy.execute("SELECT name FROM objects").fetchall() == [("a",)]


def test_a_store_of_an_older_plait_becomes_one_of_this(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    stored(path, "one")
    written(path, "PRAGMA user_version = 0")
    examine(path)
    assert names(path) == ["one"]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (FORMAT,)


def test_a_store_of_a_newer_plait_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    stored(path, "one")
    written(path, f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(DamagedStoreError, match=f"it has format {FORMAT + 1}.*a newer plait has written it"):
        examine(path)
    with pytest.raises(StoreFormatError):
        Store(path)
    written(path, f"PRAGMA user_version = {FORMAT}")
    assert names(path) == ["one"]


def written(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)


@pytest.mark.parametrize("loss", [Path.unlink, lambda store: store.write_bytes(b"")])
def test_a_store_that_is_lost_beside_its_copy_is_not_begun_anew(tmp_path: Path, loss: Callable[[Path], None]) -> None:
    store = tmp_path / "store.db"
    loss_of_nothing = tmp_path / "new.db"
    loss_of_nothing.touch()
    examine(loss_of_nothing)
    stored(store, "a")
    keep_copy(store)
    loss(store)
    with pytest.raises(DamagedStoreError, match="plait up --restore"):
        examine(store)
    restore(store)
    examine(store)
    assert names(store) == ["a"]


def test_what_a_crash_left_beside_the_store_is_not_mixed_into_the_copy(tmp_path: Path) -> None:
    path, log = tmp_path / "store.db", tmp_path / "store.db-wal"
    stored(path, "a")
    keep_copy(path)
    store = Store(path)
    store.put(COLLECTION, {"metadata": {"name": "b", "namespace": "default"}})
    crashed = log.read_bytes()
    store.close()
    log.write_bytes(crashed)
    restore(path)
    examine(path)
    assert names(path) == ["a"]
