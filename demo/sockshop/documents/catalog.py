"""Commands about databases, collections and indexes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sockshop.documents.failure import CommandError
from sockshop.documents.matching import compile_filter
from sockshop.documents.store import Store
from sockshop.mongo.values import Int64

Document = dict[str, Any]

_INDEX_OPTIONS = frozenset({"key", "name", "unique", "sparse", "background", "dropDups", "v", "ns"})


class Catalog:
    """Handlers over a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> dict[str, Callable[[str, Document], Document]]:
        """By the command's name."""
        return {
            "create": self._create,
            "createIndexes": self._create_indexes,
            "drop": self._drop,
            "dropDatabase": self._drop_database,
            "dropIndexes": self._drop_indexes,
            "listCollections": self._list_collections,
            "listDatabases": self._list_databases,
            "listIndexes": self._list_indexes,
        }

    def _create(self, db: str, body: Document) -> Document:
        name = _name(body)
        for option in ("capped", "viewOn", "timeseries", "validator"):
            if body.get(option):
                raise CommandError(115, f"collections with '{option}' are not served here")
        if self._store.exists(db, name):
            raise CommandError(48, f"Collection {db}.{name} already exists.")
        self._store.create(db, name)
        return {"ok": 1.0}

    def _create_indexes(self, db: str, body: Document) -> Document:
        name, indexes = _name(body), body.get("indexes")
        if not isinstance(indexes, list) or not indexes:
            raise CommandError(2, "Must specify at least one index to create")
        created = not self._store.exists(db, name)
        before = 1 if created else len(self._store.indexes(db, name))
        made = 0
        for index in indexes:
            pattern = _pattern(index)
            index_name = index.get("name") or "_".join(f"{field}_{way}" for field, way in pattern.items())
            unique, sparse = bool(index.get("unique")), bool(index.get("sparse"))
            made += self._store.create_index(db, name, index_name, pattern, unique=unique, sparse=sparse)
        answer: Document = {
            "numIndexesBefore": before,
            "numIndexesAfter": before + made,
            "createdCollectionAutomatically": created,
        }
        return {**answer, **({} if made else {"note": "all indexes already exist"}), "ok": 1.0}

    def _drop(self, db: str, body: Document) -> Document:
        name = _name(body)
        if not self._store.exists(db, name):
            raise CommandError(26, "ns not found")
        indexes = len(self._store.indexes(db, name))
        self._store.drop(db, name)
        return {"nIndexesWas": indexes, "ns": f"{db}.{name}", "ok": 1.0}

    def _drop_database(self, db: str, _body: Document) -> Document:
        for name in self._store.collections(db):
            self._store.drop(db, name)
        return {"dropped": db, "ok": 1.0}

    def _drop_indexes(self, db: str, body: Document) -> Document:
        name, index = _name(body), body.get("index")
        if isinstance(index, dict):
            found = [one.name for one in self._store.indexes(db, name) if one.pattern == index]
            index = found[0] if found else str(index)
        before = len(self._store.indexes(db, name))
        for one in index if isinstance(index, list) else [index]:
            self._store.drop_index(db, name, str(one))
        return {"nIndexesWas": before, "ok": 1.0}

    def _list_collections(self, db: str, body: Document) -> Document:
        test = compile_filter(body.get("filter") or {})
        found = []
        for name in self._store.collections(db):
            about: Document = {"name": name, "type": "collection"}
            if not body.get("nameOnly"):
                key = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
                about |= {"options": {}, "info": {"readOnly": False}, "idIndex": key}
            if test(about):
                found.append(about)
        return _whole_cursor(f"{db}.$cmd.listCollections", found)

    def _list_databases(self, _db: str, body: Document) -> Document:
        test = compile_filter(body.get("filter") or {})
        found = [{"name": name, "sizeOnDisk": Int64(0), "empty": False} for name in self._store.databases()]
        return {"databases": [one for one in found if test(one)], "totalSize": Int64(0), "ok": 1.0}

    def _list_indexes(self, db: str, body: Document) -> Document:
        name = _name(body)
        found: list[Document] = []
        for index in self._store.indexes(db, name):
            about: Document = {"v": 2, "key": index.pattern, "name": index.name}
            if index.unique and index.name != "_id_":
                about["unique"] = True
            found.append(about | ({"sparse": True} if index.sparse else {}))
        return _whole_cursor(f"{db}.{name}", found)


def _pattern(index: Any) -> Document:
    """An index's fields; refuses what would change what it means."""
    pattern = index.get("key") if isinstance(index, dict) else None
    if not isinstance(pattern, dict) or not pattern:
        raise CommandError(67, "an index needs a key: a document of fields and directions")
    if unknown := sorted(set(index) - _INDEX_OPTIONS):
        raise CommandError(67, f"index options that are not served here: {', '.join(unknown)}")
    if not all(isinstance(way, (int, float)) and way in {1, -1} for way in pattern.values()):
        raise CommandError(67, f"index fields go up (1) or down (-1): {pattern}")
    return pattern


def _name(body: Document) -> str:
    value = body[next(iter(body))]
    if not isinstance(value, str) or not value:
        raise CommandError(73, f"a collection's name must be a string, not {value!r}")
    return value


def _whole_cursor(namespace: str, documents: list[Document]) -> Document:
    return {"cursor": {"id": Int64(0), "ns": namespace, "firstBatch": documents}, "ok": 1.0}
