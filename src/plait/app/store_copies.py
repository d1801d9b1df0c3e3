"""The store's way back: a copy of its last good state, and a look at it before each start.

The copy is made after a start that went well, so it is at most one run old. A damaged store is never overwritten or
deleted: it is put aside, and the user is told where.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from plait.machine.api.store_format import StoreFormatError, check_format

SIDE_FILES = ("-wal", "-shm")


class DamagedStoreError(Exception):
    """The store cannot be used; says where it is, and the way back."""


class NoCopyError(Exception):
    """There is nothing to begin with."""


def examine(store: Path, command: str = "plait") -> None:
    """Raise DamagedStoreError if the store cannot be relied on. Reads all of it, a few MB. `command` is how one about
    the mesh begins.

    None at all, or an empty file, is a mesh that has not begun; beside a copy it is one that has lost its objects.
    """
    if not store.exists() or not store.stat().st_size:
        if copy_of(store).exists():
            words = "is empty" if store.exists() else "is gone"
            raise DamagedStoreError(f"the store {store} {words}\n{_way_back(store, command)}")
        return
    try:
        with closing(sqlite3.connect(store, timeout=5)) as database:
            found = [str(row[0]) for row in database.execute("PRAGMA quick_check(3)")]
            check_format(database)
            database.execute("SELECT count(*) FROM objects").fetchone()
    except StoreFormatError as error:
        raise DamagedStoreError(f"the store {store} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    if found == ["ok"]:
        return
    raise DamagedStoreError(f"the store {store} is damaged: {'; '.join(found)}\n{_way_back(store, command)}")


def _way_back(store: Path, command: str) -> str:
    copy = copy_of(store)
    if not copy.exists():
        return f"there is no copy of it: {command} down --wipe forgets the mesh's objects, {command} up begins anew"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(copy.stat().st_mtime))
    kept = f" and keeps this as {aside(store)}" if store.exists() else ""
    return f"a copy of {when} is beside it: {command} up --restore takes that{kept}"


def copy_of(store: Path) -> Path:
    """Where the copy is."""
    return store.with_name(store.name + ".copy")


def aside(store: Path) -> Path:
    """Where a damaged store is put."""
    return store.with_name(store.name + ".damaged")


def keep_copy(store: Path) -> None:
    """Copy the store as it is now, while it is in use. Raises sqlite3.Error, OSError; the last copy then stays."""
    copy = copy_of(store)
    # Two commands may wait for the same mesh.
    draft = copy.with_name(f"{copy.name}.draft-{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)  # Secrets are in it
    try:
        # Its side files belong to the user the API server runs as: reading only must not leave others there.
        with (
            closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(draft)) as target,
        ):
            source.backup(target)
        draft.replace(copy)
    finally:
        draft.unlink(missing_ok=True)


def restore(store: Path) -> None:
    """Put the store aside and the copy in its place. Raises NoCopyError; OSError, and the copy then stays."""
    copy, draft = copy_of(store), store.with_name(store.name + ".draft")
    try:
        data = copy.read_bytes()
    except FileNotFoundError as error:
        raise NoCopyError(f"there is no copy to begin with: {copy}") from error
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(data)
    if store.exists():
        store.replace(aside(store))
    for suffix in SIDE_FILES:
        store.with_name(store.name + suffix).unlink(missing_ok=True)
    draft.replace(store)
