"""A client for MongoDB's wire protocol: a real MongoDB from 3.6 on, or the shop's own document server."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from sockshop.mongo import message
from sockshop.mongo.scram import authenticate
from sockshop.mongo.values import BsonError

Document = dict[str, Any]

CONNECTIONS = 10
DIAL_SECONDS = 5.0
SELECT_SECONDS = 10.0
"""How long an operation waits for a server that is not there, as the original's drivers do."""
_RETRY_SECONDS = 0.1


class MongoError(Exception):
    """The server refused a command, or cannot be asked (`code` 0)."""

    def __init__(self, text: str, *, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Mongo:
    """A pool of connections to one server.

    A connection is made when it is needed. Where the server cannot be reached an operation tries again for
    `select_seconds`; once a command has been sent it is not repeated, for it may have been carried out.
    """

    def __init__(
        self, host: str, port: int, *, user: str = "", password: str = "", select_seconds: float = SELECT_SECONDS
    ) -> None:
        self._host, self._port = host, port
        self._user, self._password = user, password
        self._select_seconds = select_seconds
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(CONNECTIONS)

    @classmethod
    def at(cls, address: str, *, user: str = "", password: str = "") -> Mongo:
        """For `HOST` or `HOST:PORT`. Raises ValueError."""
        host, colon, port = address.rpartition(":")
        if not colon:
            host, port = address, "27017"
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{address!r} is no database: give HOST or HOST:PORT")
        return cls(host, int(port), user=user, password=password)

    async def close(self) -> None:
        """Ends all idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def alive(self, seconds: float = 1.0) -> bool:
        """Whether the server answers within that time."""
        try:
            async with asyncio.timeout(seconds):
                await self.command("admin", {"ping": 1})
        except (MongoError, TimeoutError):
            return False
        return True

    async def command(self, db: str, document: Document) -> Document:
        """The answer to a command. Raises MongoError."""
        async with self._slots:
            connection = await self._connection()
            try:
                answer = await connection.ask({**document, "$db": db})
            except (OSError, EOFError, BsonError) as error:
                connection.close()
                raise MongoError(f"{self._host}:{self._port}: connection lost: {error}") from error
            except BaseException:
                connection.close()  # cancelled half way: the next answer on it would be this command's
                raise
            self._idle.append(connection)
        if not answer.get("ok"):
            raise MongoError(str(answer.get("errmsg")), code=int(answer.get("code") or 0))
        for refused in answer.get("writeErrors") or ():
            raise MongoError(str(refused.get("errmsg")), code=int(refused.get("code") or 0))
        return answer

    async def find(
        self, db: str, collection: str, wanted: Document, *, limit: int = 0, skip: int = 0
    ) -> list[Document]:
        """All documents that a filter means."""
        command: Document = {"find": collection, "filter": wanted}
        command |= ({"limit": limit} if limit else {}) | ({"skip": skip} if skip else {})
        cursor = (await self.command(db, command))["cursor"]
        found: list[Document] = list(cursor["firstBatch"])
        while cursor["id"]:
            cursor = (await self.command(db, {"getMore": cursor["id"], "collection": collection}))["cursor"]
            found += cursor["nextBatch"]
        return found

    async def find_one(self, db: str, collection: str, wanted: Document) -> Document | None:
        """One of the documents that a filter means, or None."""
        found = await self.find(db, collection, wanted, limit=1)
        return found[0] if found else None

    async def insert(self, db: str, collection: str, document: Document) -> None:
        """Adds a document."""
        await self.command(db, {"insert": collection, "documents": [document]})

    async def update(self, db: str, collection: str, wanted: Document, update: Document, *, many: bool = False) -> int:
        """Changes one document, or all with `many`; how many were meant."""
        one = {"q": wanted, "u": update, "multi": many}
        answer = await self.command(db, {"update": collection, "updates": [one]})
        return int(answer["n"])

    async def delete(self, db: str, collection: str, wanted: Document) -> int:
        """Removes all documents that a filter means; how many there were."""
        answer = await self.command(db, {"delete": collection, "deletes": [{"q": wanted, "limit": 0}]})
        return int(answer["n"])

    async def create_index(self, db: str, collection: str, field: str, *, unique: bool = False) -> None:
        """Makes an index on a field unless it is there."""
        index: Document = {"key": {field: 1}, "name": f"{field}_1"}
        await self.command(db, {"createIndexes": collection, "indexes": [index | ({"unique": True} if unique else {})]})

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._select_seconds
        while True:
            try:
                async with asyncio.timeout(DIAL_SECONDS):
                    return await self._dial()
            except (OSError, EOFError, BsonError, TimeoutError) as error:
                # A sidecar accepts every connection and closes it when nobody is behind it: EOF is "not there" too.
                if loop.time() + _RETRY_SECONDS > end:
                    raise MongoError(f"{self._host}:{self._port}: no reachable servers: {error}") from error
            await asyncio.sleep(_RETRY_SECONDS)

    async def _dial(self) -> _Connection:
        connection = _Connection(*await asyncio.open_connection(self._host, self._port))
        try:
            await connection.ask({"hello": 1, "$db": "admin"})
            if self._user:
                await authenticate(connection.ask, self._user, self._password)
        except PermissionError as error:
            connection.close()
            raise MongoError(f"{self._host}:{self._port}: {error}", code=18) from error
        except BaseException:
            connection.close()
            raise
        return connection


class _Connection:
    """One connection: a question, its answer, the next question."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = count(1)

    @property
    def usable(self) -> bool:
        """False once the server has closed its side."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    async def ask(self, document: Document) -> Document:
        """The server's answer, be it a refusal. Raises OSError, EOFError and BsonError."""
        self._writer.write(message.write_command(next(self._numbers), document))
        await self._writer.drain()
        header = await self._reader.readexactly(message.HEADER.size)
        rest = await self._reader.readexactly(message.length_of(header) - len(header))
        return message.read_answer(header + rest)

    def close(self) -> None:
        """Ends the connection."""
        self._writer.close()
