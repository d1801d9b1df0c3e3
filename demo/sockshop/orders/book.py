"""The orders placed, in database `data`."""

from __future__ import annotations

from typing import Any

from sockshop.mongo.client import Mongo
from sockshop.mongo.values import ObjectId

_DB, _COLLECTION = "data", "customerOrder"

Document = dict[str, Any]


class Book:
    """All orders in the order of their placing. Its methods raise MongoError."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._indexed = False

    async def close(self) -> None:
        """Ends the connections."""
        await self._mongo.close()

    async def alive(self) -> bool:
        """Whether the database answers."""
        return await self._mongo.alive()

    async def enter(self, order: Document) -> None:
        """Remembers an order."""
        if not self._indexed:
            await self._mongo.create_index(_DB, _COLLECTION, "customerId")
            self._indexed = True
        await self._mongo.insert(_DB, _COLLECTION, order)

    async def of_customer(self, customer: str) -> list[Document]:
        """All orders of a customer."""
        return await self._mongo.find(_DB, _COLLECTION, {"customerId": customer})

    async def one(self, number: str) -> Document | None:
        """An order by its id."""
        parsed = ObjectId.parse(number)
        return None if parsed is None else await self._mongo.find_one(_DB, _COLLECTION, {"_id": parsed})

    async def page(self, number: int, size: int) -> tuple[list[Document], int]:
        """The orders of a page (from 0), and how many there are in all."""
        found = await self._mongo.find(_DB, _COLLECTION, {}, skip=number * size, limit=size)
        total = (await self._mongo.command(_DB, {"count": _COLLECTION, "query": {}}))["n"]
        return found, int(total)
