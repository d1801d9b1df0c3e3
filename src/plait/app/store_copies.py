"""The store's way back: a copy of its last good state, and a look at it before each start.

The copy is made after a start that went well, so it is at most one run old. A damaged store is never overwritten or
deleted: it is put aside, and the user is told where.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from plait.machine.api.store_format import StoreFormatError, check_format

SIDE_FILES = ("-wal", "-shm")


class DamagedStoreError(Exception):
    """The store cannot be used; says where it is, and the way back."""


def examine(store: Path) -> None:
    """Raise DamagedStoreError if the store exists and cannot be relied on. Reads all of it, a few MB."""
    if not store.exists():
        return
    try:
        with closing(sqlite3.connect(store, timeout=5)) as database:
            found = [str(row[0]) for row in database.execute("PRAGMA quick_check(3)")]
            check_format(database)
            database.execute("SELECT count(*) FROM objects").fetchone()
    except StoreFormatError as error:
        raise DamagedStoreError(f"the store {store} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error) and store.stat().st_size == 0:
            return
        found = [str(error)]
    if found == ["ok"]:
        return
    copy = copy_of(store)
    words = f"the store {store} is damaged: {'; '.join(found)}\n"
    if copy.exists():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(copy.stat().st_mtime))
        words += f"a copy of {when} is beside it: plait up --restore takes that and keeps this as {aside(store)}"
    else:
        words += "there is no copy of it: plait down --wipe forgets the mesh's objects, plait up begins anew"
    raise DamagedStoreError(words)


def copy_of(store: Path) -> Path:
    """Where the copy is."""
    return store.with_name(store.name + ".copy")


def aside(store: Path) -> Path:
    """Where a damaged store is put."""
    return store.with_name(store.name + ".damaged")


def keep_copy(store: Path) -> None:
    """Copy the store as it is now, while it is in use. Raises sqlite3.Error, OSError; the last copy then stays."""
    copy = copy_of(store)
    draft = copy.with_name(copy.name + ".draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)  # Secrets are in it
    # Its side files belong to the user the API server runs as: reading only must not leave others there.
    with (
        closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(draft)) as target,
    ):
        source.backup(target)
    draft.replace(copy)


def restore(store: Path) -> None:
    """Put the store aside and the copy in its place. Raises FileNotFoundError if there is no copy."""
    copy = copy_of(store)
    copy.stat()
    if store.exists():
        store.replace(aside(store))
    for suffix in SIDE_FILES:
        store.with_name(store.name + suffix).unlink(missing_ok=True)
    data = copy.read_bytes()
    store.touch(mode=0o600)
    store.write_bytes(data)
