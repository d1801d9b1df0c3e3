"""What each command does to the store, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from sockshop.documents import handshake, pipeline
from sockshop.documents.catalog import Catalog
from sockshop.documents.cursors import Cursors
from sockshop.documents.failure import CommandError
from sockshop.documents.projecting import compile_projection, in_order
from sockshop.documents.store import Store
from sockshop.documents.updating import is_operators, updated, upserted
from sockshop.mongo.values import BsonError, ObjectId

Document = dict[str, Any]
Handler = Callable[[str, Document], Document]

_IGNORED = ("startSession", "endSessions", "killSessions", "refreshSessions", "logout")
"""Commands that drivers send in passing and that have nothing to do here."""


class Commands:
    """The command set over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cursors = Cursors()
        catalog = Catalog(store)
        handlers: dict[str, Handler] = {
            **dict.fromkeys(("hello", "isMaster", "ismaster"), handshake.hello),
            "buildInfo": handshake.build_info,
            "buildinfo": handshake.build_info,
            "ping": _fine,
            **dict.fromkeys(_IGNORED, _fine),
            **catalog.handlers(),
            "insert": self._insert,
            "find": self._find,
            "getMore": self._more,
            "killCursors": self._kill,
            "update": self._update,
            "delete": self._delete,
            "findAndModify": self._find_and_modify,
            "findandmodify": self._find_and_modify,
            "count": self._count,
            "distinct": self._distinct,
            "aggregate": self._aggregate,
        }
        self._handlers: Mapping[str, Handler] = handlers

    def run(self, body: Document) -> Document:
        """The answer to a command, or to its failure."""
        try:
            db, handler = self._found(body)
            concern = body.get("writeConcern")
            flush = isinstance(concern, dict) and bool(concern.get("j"))
            with self._store.transaction(flush=flush):
                return handler(db, body)
        except CommandError as error:
            return error.answer()
        except (BsonError, RecursionError) as error:
            return CommandError(2, str(error)).answer()

    def _found(self, body: Document) -> tuple[str, Handler]:
        """The database that a command is for, and what carries it out."""
        name, db = next(iter(body), ""), body.get("$db")
        if not isinstance(db, str) or not db:
            raise CommandError(40414, "OP_MSG requests require a $db argument")
        handler = self._handlers.get(name)
        if handler is None:
            raise CommandError(59, f"no such command: '{name}'")
        return db, handler

    def _insert(self, db: str, body: Document) -> Document:
        name, done = _collection(body), 0
        errors: list[Document] = []
        for number, document in enumerate(_documents(body, "documents")):
            given = document if "_id" in document else {"_id": ObjectId.new(), **document}
            try:
                self._store.insert(db, name, given)
                done += 1
            except CommandError as error:
                errors.append(error.write_error(number))
                if body.get("ordered", True):
                    break
        return {"n": done, **({"writeErrors": errors} if errors else {}), "ok": 1.0}

    def _find(self, db: str, body: Document) -> Document:
        limit, skip = _whole(body, "limit"), _whole(body, "skip")
        project = compile_projection(body.get("projection"))
        wanted = _filter(body, "filter")
        found: Iterator[Document] = (document for _, document in self._store.find(db, _collection(body), wanted))
        if body.get("sort"):
            found = iter(in_order(list(found), body["sort"]))
        chosen = [project(one) for one in islice(found, skip, skip + abs(limit) if limit else None)]
        size = body.get("batchSize")
        single = bool(body.get("singleBatch")) or limit < 0
        return self._cursors.begin(f"{db}.{_collection(body)}", chosen, size=size, single=single)

    def _more(self, db: str, body: Document) -> Document:
        return self._cursors.more(body["getMore"], f"{db}.{_named(body, 'collection')}", body.get("batchSize"))

    def _kill(self, _db: str, body: Document) -> Document:
        return self._cursors.kill(list(body.get("cursors") or ()))

    def _update(self, db: str, body: Document) -> Document:
        name, matched, modified = _collection(body), 0, 0
        errors: list[Document] = []
        made: list[Document] = []
        for number, one in enumerate(_documents(body, "updates")):
            try:
                wanted, update = _change(one)
                hits, changes = self._update_found(db, name, wanted, update, many=bool(one.get("multi")))
                if not hits and one.get("upsert"):
                    document = upserted(wanted, update)
                    self._store.insert(db, name, document)
                    made.append({"index": number, "_id": document["_id"]})
                    hits = 1
                matched, modified = matched + hits, modified + changes
            except CommandError as error:
                errors.append(error.write_error(number))
                if body.get("ordered", True):
                    break
        answer: Document = {"n": matched, "nModified": modified, "ok": 1.0}
        return {**answer, **({"upserted": made} if made else {}), **({"writeErrors": errors} if errors else {})}

    def _update_found(self, db: str, name: str, wanted: Document, update: Any, *, many: bool) -> tuple[int, int]:
        found = list(islice(self._store.find(db, name, wanted), None if many else 1))
        changes = 0
        for place, old in found:
            new = updated(old, update)
            if new != old or list(new) != list(old):
                self._store.replace(db, name, place, new)
                changes += 1
        return len(found), changes

    def _delete(self, db: str, body: Document) -> Document:
        name, done = _collection(body), 0
        for one in _documents(body, "deletes"):
            found = self._store.find(db, name, _filter(one, "q"))
            for place, _ in list(islice(found, 1 if one.get("limit") else None)):
                self._store.remove(place)
                done += 1
        return {"n": done, "ok": 1.0}

    def _find_and_modify(self, db: str, body: Document) -> Document:
        name, wanted, update = _collection(body), _filter(body, "query"), body.get("update")
        removing = bool(body.get("remove"))
        if removing == (update is not None):
            raise CommandError(9, "Either an update or remove=true must be specified")
        project = compile_projection(body.get("fields"))
        found = list(self._store.find(db, name, wanted))
        if body.get("sort"):
            order = in_order([document for _, document in found], body["sort"])
            found = [next(pair for pair in found if pair[1] is order[0])] if order else []
        last: Document = {"n": min(len(found), 1)}
        old = new = None
        if found and removing:
            place, old = found[0]
            self._store.remove(place)
        elif found:
            place, old = found[0]
            new = updated(old, update)
            self._store.replace(db, name, place, new)
            last["updatedExisting"] = True
        elif not removing and body.get("upsert"):
            new = upserted(wanted, update)
            self._store.insert(db, name, new)
            last |= {"n": 1, "updatedExisting": False, "upserted": new["_id"]}
        elif not removing:
            last["updatedExisting"] = False
        value = new if body.get("new") and not removing else old
        return {"lastErrorObject": last, "value": None if value is None else project(value), "ok": 1.0}

    def _count(self, db: str, body: Document) -> Document:
        found = sum(1 for _ in self._store.find(db, _collection(body), _filter(body, "query")))
        found = max(0, found - _whole(body, "skip"))
        limit = abs(_whole(body, "limit"))
        return {"n": min(found, limit) if limit else found, "ok": 1.0}

    def _distinct(self, db: str, body: Document) -> Document:
        field = _named(body, "key")
        documents = [document for _, document in self._store.find(db, _collection(body), _filter(body, "query"))]
        return {"values": pipeline.distinct(documents, field), "ok": 1.0}

    def _aggregate(self, db: str, body: Document) -> Document:
        if not isinstance(body["aggregate"], str):
            raise CommandError(115, "aggregation over a database is not served here")
        options = body.get("cursor")
        if not isinstance(options, dict):
            raise CommandError(9, "The 'cursor' option is required")
        stages = body.get("pipeline")
        first: Document = {}
        # A leading $match goes to the store, which may have an index for it.
        if isinstance(stages, list) and stages and isinstance(stages[0], dict) and list(stages[0]) == ["$match"]:
            first, stages = _filter(stages[0], "$match"), stages[1:]
        name = _collection(body)
        documents = [document for _, document in self._store.find(db, name, first)]
        found = pipeline.run(documents, stages)
        return self._cursors.begin(f"{db}.{name}", found, size=options.get("batchSize"), single=False)


def _change(one: Document) -> tuple[Document, Any]:
    """Filter and update of one of a command's updates. Raises CommandError for what is not served."""
    if one.get("arrayFilters"):
        raise CommandError(2, "arrayFilters are not served here")
    if one.get("multi") and not is_operators(one.get("u")):
        raise CommandError(9, "multi update is not supported for replacement-style update")
    return _filter(one, "q"), one.get("u")


def _fine(_db: str, _body: Document) -> Document:
    return {"ok": 1.0}


def _collection(body: Document) -> str:
    """The collection that a command's first field names."""
    return _named(body, next(iter(body)))


def _named(body: Document, field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise CommandError(73, f"'{field}' must name a collection or field, not {value!r}")
    return value


def _documents(body: Document, field: str) -> list[Document]:
    value = body.get(field)
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise CommandError(9, f"'{field}' must be an array of at least one document")
    return value


def _filter(body: Document, field: str) -> Document:
    value = body.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandError(14, f"'{field}' must be a document")
    return value


def _whole(body: Document, field: str) -> int:
    value = body.get(field) or 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or int(value) != value:
        raise CommandError(14, f"'{field}' must be a whole number")
    return int(value)
