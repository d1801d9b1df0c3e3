"""Where documents are kept: one SQLite file.

Every command is one transaction. What has been answered survives the death of the process; of the machine's, what
was written before the last checkpoint (with `j: true`, all).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from sockshop.documents.failure import CommandError, DuplicateKeyError
from sockshop.documents.matching import compile_filter, equalities, values_at
from sockshop.documents.ordering import MISSING, index_key
from sockshop.mongo import bson

_SCHEMA = """
CREATE TABLE IF NOT EXISTS collections (
  id INTEGER PRIMARY KEY, db TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (db, name));
CREATE TABLE IF NOT EXISTS indexes (
  id INTEGER PRIMARY KEY, collection INTEGER NOT NULL, name TEXT NOT NULL, pattern BLOB NOT NULL,
  is_unique INTEGER NOT NULL, is_sparse INTEGER NOT NULL, UNIQUE (collection, name));
CREATE TABLE IF NOT EXISTS documents (
  place INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS documents_of_collection ON documents (collection);
CREATE TABLE IF NOT EXISTS entries (
  index_id INTEGER NOT NULL, value BLOB NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (index_id, value, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_of_place ON entries (place);
"""

_LOOKUPS_AT_ONCE = 500

Document = dict[str, Any]
Placed = tuple[int, Document]
"""A document and where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index of a collection."""

    number: int
    name: str
    pattern: Document
    unique: bool
    sparse: bool

    def values(self, document: Document) -> dict[bytes, tuple[Any, ...]]:
        """What the index holds for a document, by key: a value, and for arrays one for each element too."""
        fields = [_indexed(document, path.split(".")) for path in self.pattern]
        if self.sparse and all(value is MISSING for values in fields for value in values):
            return {}
        return {index_key(values): values for values in product(*fields)}


def _indexed(document: Document, path: list[str]) -> list[Any]:
    found = []
    for value in values_at(document, path):
        found.append(value)
        if isinstance(value, list):
            found += value
    return found


class Store:
    """Databases, their collections and indexes. Not for several threads."""

    def __init__(self, path: Path | str) -> None:
        self._sql = sqlite3.connect(path, isolation_level=None)
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = NORMAL")
        self._sql.execute("PRAGMA cache_size = -2048")
        self._sql.executescript(_SCHEMA)
        self._collections: dict[tuple[str, str], int] = {
            (db, name): number for number, db, name in self._sql.execute("SELECT id, db, name FROM collections")
        }
        self._indexes: dict[int, list[Index]] = {number: [] for number in self._collections.values()}
        rows = self._sql.execute("SELECT collection, id, name, pattern, is_unique, is_sparse FROM indexes ORDER BY id")
        for collection, number, name, pattern, unique, sparse in rows:
            self._indexes[collection].append(
                Index(number=number, name=name, pattern=bson.decode(pattern), unique=bool(unique), sparse=bool(sparse))
            )

    def close(self) -> None:
        """Writes everything to its place."""
        self._sql.close()

    @contextmanager
    def transaction(self, *, flush: bool = False) -> Iterator[None]:
        """All or nothing; with `flush` it is on the disk afterwards."""
        self._sql.execute("BEGIN IMMEDIATE")
        collections, indexes = dict(self._collections), {key: list(value) for key, value in self._indexes.items()}
        try:
            yield
        except BaseException:
            self._sql.execute("ROLLBACK")
            self._collections, self._indexes = collections, indexes
            raise
        self._sql.execute("COMMIT")
        if flush:
            self._sql.execute("PRAGMA wal_checkpoint(FULL)")

    def databases(self) -> list[str]:
        """Names of the databases that have a collection."""
        return sorted({db for db, _ in self._collections})

    def collections(self, db: str) -> list[str]:
        """Names of a database's collections."""
        return [name for found, name in self._collections if found == db]

    def exists(self, db: str, name: str) -> bool:
        """Whether there is such a collection."""
        return (db, name) in self._collections

    def indexes(self, db: str, name: str) -> list[Index]:
        """A collection's indexes; the one on `_id` comes first. Raises CommandError without the collection."""
        number = self._collections.get((db, name))
        if number is None:
            raise CommandError(26, f"ns does not exist: {db}.{name}")
        return list(self._indexes[number])

    def create(self, db: str, name: str) -> int:
        """The collection's number; makes it if need be. Raises CommandError for names that no collection may have."""
        number = self._collections.get((db, name))
        if number is not None:
            return number
        if not db or not name or "$" in name or "\0" in db + name or set(db) & set('/\\. "$') or name.startswith("."):
            raise CommandError(73, f"Invalid namespace specified '{db}.{name}'")
        number = self._insert("INSERT INTO collections (db, name) VALUES (?, ?)", db, name)
        self._collections[db, name] = number
        self._indexes[number] = []
        self._add_index(number, "_id_", {"_id": 1}, unique=True, sparse=False)
        return number

    def create_index(
        self, db: str, name: str, index_name: str, pattern: Document, *, unique: bool, sparse: bool
    ) -> bool:
        """Whether the index is new. Raises CommandError if documents break it, or another one has its name."""
        collection = self.create(db, name)
        for index in self._indexes[collection]:
            if index.pattern == pattern:
                if (index.unique or index.name == "_id_", index.sparse) == (unique or index.name == "_id_", sparse):
                    return False
                raise CommandError(85, f"An equivalent index already exists with different options: {index.name}")
            if index.name == index_name:
                raise CommandError(86, f"An existing index has the same name as the requested index: {index_name}")
        index = self._add_index(collection, index_name, pattern, unique=unique, sparse=sparse)
        for place, document in self._all(collection):
            self._enter((db, name), index, place, document)
        return True

    def drop_index(self, db: str, name: str, index_name: str) -> None:
        """Removes an index, or all but the one on `_id` for `*`. Raises CommandError."""
        collection = self._collections.get((db, name))
        if collection is None:
            raise CommandError(26, f"ns not found {db}.{name}")
        if index_name == "_id_":
            raise CommandError(72, "cannot drop _id index")
        chosen = [index for index in self._indexes[collection][1:] if index_name in {"*", index.name}]
        if not chosen and index_name != "*":
            raise CommandError(27, f"index not found with name [{index_name}]")
        for index in chosen:
            self._sql.execute("DELETE FROM entries WHERE index_id = ?", (index.number,))
            self._sql.execute("DELETE FROM indexes WHERE id = ?", (index.number,))
            self._indexes[collection].remove(index)

    def drop(self, db: str, name: str) -> None:
        """Removes a collection with all that is in it."""
        collection = self._collections.pop((db, name))
        for index in self._indexes.pop(collection):
            self._sql.execute("DELETE FROM entries WHERE index_id = ?", (index.number,))
        for table, column in (("indexes", "collection"), ("documents", "collection"), ("collections", "id")):
            self._sql.execute(f"DELETE FROM {table} WHERE {column} = ?", (collection,))  # noqa: S608 - names of ours

    def insert(self, db: str, name: str, document: Document) -> None:
        """Adds a document that has an `_id`. Raises CommandError."""
        if isinstance(document["_id"], list):
            raise CommandError(53, "The '_id' value cannot be of type array")
        collection = self.create(db, name)
        body = _body(document)
        self._check((db, name), collection, document, place=None)
        place = self._insert("INSERT INTO documents (collection, body) VALUES (?, ?)", collection, body)
        for index in self._indexes[collection]:
            self._enter((db, name), index, place, document, checked=True)

    def replace(self, db: str, name: str, place: int, document: Document) -> None:
        """Puts a new document where an old one is. Raises CommandError."""
        collection = self._collections[db, name]
        body = _body(document)
        self._check((db, name), collection, document, place=place)
        self._sql.execute("UPDATE documents SET body = ? WHERE place = ?", (body, place))
        self._sql.execute("DELETE FROM entries WHERE place = ?", (place,))
        for index in self._indexes[collection]:
            self._enter((db, name), index, place, document, checked=True)

    def remove(self, place: int) -> None:
        """Takes a document away."""
        self._sql.execute("DELETE FROM entries WHERE place = ?", (place,))
        self._sql.execute("DELETE FROM documents WHERE place = ?", (place,))

    def find(self, db: str, name: str, wanted: Document) -> Iterator[Placed]:
        """The documents that a filter means, in the order of their insertion. Raises CommandError."""
        test = compile_filter(wanted)
        collection = self._collections.get((db, name))
        if collection is None:
            return
        for place, document in self._candidates(collection, wanted):
            if test(document):
                yield place, document

    def _candidates(self, collection: int, wanted: Document) -> Iterator[Placed]:
        """The documents that an index names for a filter, else all of them."""
        single = {next(iter(index.pattern)): index for index in self._indexes[collection] if len(index.pattern) == 1}
        for field, values in equalities(wanted):
            index = single.get(field)
            if index is None or (index.sparse and None in values) or len(values) > _LOOKUPS_AT_ONCE:
                continue
            keys = [index_key((value,)) for value in values]
            marks = ",".join("?" * len(keys))
            rows = self._sql.execute(
                "SELECT DISTINCT d.place, d.body FROM entries e JOIN documents d ON d.place = e.place "  # noqa: S608
                f"WHERE e.index_id = ? AND e.value IN ({marks}) ORDER BY d.place",
                (index.number, *keys),
            ).fetchall()
            return ((place, bson.decode(body)) for place, body in rows)
        return self._all(collection)

    def _all(self, collection: int) -> Iterator[Placed]:
        """Every document, read in portions, so that what is changed meanwhile disturbs nothing."""
        last = 0
        while rows := self._sql.execute(
            "SELECT place, body FROM documents WHERE collection = ? AND place > ? ORDER BY place LIMIT 200",
            (collection, last),
        ).fetchall():
            for place, body in rows:
                yield place, bson.decode(body)
            last = rows[-1][0]

    def _check(self, namespace: tuple[str, str], collection: int, document: Document, place: int | None) -> None:
        for index in self._indexes[collection]:
            if index.unique:
                self._refuse_twins(namespace, index, place, index.values(document))

    def _refuse_twins(
        self,
        namespace: tuple[str, str],
        index: Index,
        place: int | None,
        values: dict[bytes, tuple[Any, ...]],
    ) -> None:
        for key, shown in values.items():
            row = self._sql.execute(
                "SELECT 1 FROM entries WHERE index_id = ? AND value = ? AND place IS NOT ?", (index.number, key, place)
            ).fetchone()
            if row is not None:
                plain = tuple(None if value is MISSING else value for value in shown)
                raise DuplicateKeyError(".".join(namespace), index.name, tuple(index.pattern), plain)

    def _enter(
        self, namespace: tuple[str, str], index: Index, place: int, document: Document, *, checked: bool = False
    ) -> None:
        values = index.values(document)
        if index.unique and not checked:
            self._refuse_twins(namespace, index, place, values)
        rows: Sequence[tuple[int, bytes, int]] = [(index.number, key, place) for key in values]
        self._sql.executemany("INSERT INTO entries (index_id, value, place) VALUES (?, ?, ?)", rows)

    def _add_index(self, collection: int, name: str, pattern: Document, *, unique: bool, sparse: bool) -> Index:
        number = self._insert(
            "INSERT INTO indexes (collection, name, pattern, is_unique, is_sparse) VALUES (?, ?, ?, ?, ?)",
            collection, name, bson.encode(pattern), unique, sparse,
        )  # fmt: skip
        index = Index(number=number, name=name, pattern=pattern, unique=unique, sparse=sparse)
        self._indexes[collection].append(index)
        return index

    def _insert(self, statement: str, *values: object) -> int:
        number = self._sql.execute(statement, values).lastrowid
        if number is None:
            raise AssertionError("an INSERT without a row")
        return number


def _body(document: Document) -> bytes:
    body = bson.encode(document)
    if len(body) > bson.SIZE_LIMIT:
        raise CommandError(10334, f"BSONObj size: {len(body)} is invalid. Size must be at most {bson.SIZE_LIMIT}")
    return body
