"""Where the socks are: queries to the MySQL database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiomysql
import pymysql

from sockshop.catalogue.sock import Sock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sockshop.catalogue.dsn import Dsn

CONNECTIONS = 10
CONNECT_SECONDS = 10
PING_SECONDS = 1.0

# The original shows a sock's tags in the order in which they were put on it, which is that of the index on sock_id (the
# table has no other). The plan is therefore prescribed; it needs no temporary table either.
_SOCKS = """
SELECT sock.sock_id, sock.name, sock.description, sock.price, sock.count, sock.image_url_1, sock.image_url_2,
       GROUP_CONCAT(tag.name)
FROM sock FORCE INDEX (PRIMARY)
     STRAIGHT_JOIN sock_tag FORCE INDEX (sock_id) ON sock.sock_id = sock_tag.sock_id
     STRAIGHT_JOIN tag FORCE INDEX (PRIMARY) ON sock_tag.tag_id = tag.tag_id
"""
_COUNT = """
SELECT COUNT(DISTINCT sock.sock_id)
FROM sock JOIN sock_tag ON sock.sock_id = sock_tag.sock_id JOIN tag ON sock_tag.tag_id = tag.tag_id
"""


class DatabaseError(Exception):
    """The database cannot be asked: down, unreachable, or refusing."""


class NotFoundError(Exception):
    """No sock has this id."""


class Shelf:
    """The catalogue's tables. Connects at the first query and whenever needed, so the service outlives its database."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._pool: aiomysql.Pool | None = None

    async def open(self) -> None:
        """Makes the pool; makes no connection yet."""
        dsn = self._dsn
        self._pool = await aiomysql.create_pool(
            minsize=0,
            maxsize=CONNECTIONS,
            host=dsn.host,
            port=dsn.port,
            user=dsn.user,
            password=dsn.password,
            db=dsn.database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
        )

    async def close(self) -> None:
        """Ends all connections."""
        if self._pool is not None:
            self._pool.terminate()
            await self._pool.wait_closed()
            self._pool = None

    async def socks(self, tags: Sequence[str]) -> list[Sock]:
        """All socks by ascending id; with tags those that carry any of them, each showing only the tags asked for."""
        return [_sock(row) for row in await self._rows(f"{_SOCKS} {_any_of(tags)} GROUP BY sock.sock_id", tags)]

    async def size(self, tags: Sequence[str]) -> int:
        """How many socks there are, or carry any of the tags."""
        rows = await self._rows(f"{_COUNT} {_any_of(tags)}", tags)
        return int(rows[0][0])

    async def sock(self, sock_id: str) -> Sock:
        """One sock with all its tags. Raises NotFoundError."""
        rows = await self._rows(f"{_SOCKS} WHERE sock.sock_id = %s GROUP BY sock.sock_id", (sock_id,))
        if not rows:
            raise NotFoundError(sock_id)
        return _sock(rows[0])

    async def tags(self) -> list[str]:
        """The names of all tags in the order of their table."""
        return [name for (name,) in await self._rows("SELECT name FROM tag ORDER BY tag_id", ())]

    async def alive(self) -> bool:
        """Whether the database answers, within a second."""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._rows("SELECT 1", ())
        except (DatabaseError, TimeoutError):
            return False
        return True

    async def _rows(self, query: str, values: Sequence[str]) -> Sequence[tuple[Any, ...]]:
        """Runs a query, a second time on a fresh connection when the other end has closed the pooled one."""
        for last in (False, True):
            try:
                async with self._cursor() as cursor:
                    await cursor.execute(query, tuple(values))
                    rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
                    return rows
            except (pymysql.err.OperationalError, OSError, asyncio.IncompleteReadError) as error:
                lost = isinstance(error, pymysql.err.OperationalError) and error.args[:1] in ((2006,), (2013,), (2014,))
                if last or not lost:
                    raise DatabaseError(str(error)) from error
            except (pymysql.err.Error, RuntimeError) as error:
                raise DatabaseError(str(error)) from error
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _cursor(self) -> AsyncIterator[aiomysql.Cursor]:
        if self._pool is None:
            raise DatabaseError("not open")
        async with self._pool.acquire() as connection, connection.cursor() as cursor:
            yield cursor


def _any_of(tags: Sequence[str]) -> str:
    return "WHERE " + " OR ".join(["tag.name = %s"] * len(tags)) if tags else ""


def _sock(row: tuple[Any, ...]) -> Sock:
    sock_id, name, description, price, count, first, second, tags = row
    return Sock(
        id=sock_id,
        name=name or "",
        description=description or "",
        price=price or 0.0,
        count=count or 0,
        image_urls=(first or "", second or ""),
        tags=tuple((tags or "").split(",")),
    )
