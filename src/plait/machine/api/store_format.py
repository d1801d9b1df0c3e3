"""Which form a store has, and how one of an older plait becomes one of this."""

from __future__ import annotations

import sqlite3
from typing import Final

#: What brings a store from one format to the next, from format 0, an empty file, on. Never changed, only added to.
_STEPS: Final = (
    """
    CREATE TABLE IF NOT EXISTS objects(
      grp TEXT, plural TEXT, namespace TEXT, name TEXT, version INTEGER NOT NULL, body BLOB NOT NULL,
      PRIMARY KEY (grp, plural, namespace, name)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS counter(id INTEGER PRIMARY KEY CHECK (id = 0), version INTEGER NOT NULL);
    INSERT OR IGNORE INTO counter VALUES (0, 0);
    """,
)
FORMAT: Final = len(_STEPS)


class StoreFormatError(Exception):
    """The store is of a newer plait; says so, and what to do."""


def check_format(database: sqlite3.Connection) -> int:
    """The store's format; raises StoreFormatError where this plait does not know it."""
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found > FORMAT:
        raise StoreFormatError(
            f"it has format {found}, and this plait knows up to {FORMAT}: a newer plait has written it. "
            "Use that one, or let another mesh begin anew: plait --name OTHER up"
        )
    return int(found)


def bring_up_to_date(database: sqlite3.Connection) -> None:
    """Take the steps that are missing, each whole or not at all. Raises StoreFormatError, sqlite3.Error."""
    for number in range(check_format(database), FORMAT):
        try:
            database.executescript(f"BEGIN IMMEDIATE; {_STEPS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
        except sqlite3.Error:
            if database.in_transaction:
                database.rollback()
            raise
