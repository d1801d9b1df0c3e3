"""Carts and their items in database `data`, as the original stores them."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakValueDictionary

from sockshop.mongo.client import Mongo, MongoError
from sockshop.mongo.values import ObjectId
from sockshop.service.gojson import Float32

_DB = "data"
_CART_CLASS = "works.weave.socks.cart.entities.Cart"
_ITEM_CLASS = "works.weave.socks.cart.entities.Item"
_BAD_VALUE = 2
"""MongoDB's code for a document that it does not take."""

Document = dict[str, Any]


class NoItemError(Exception):
    """The cart does not hold this."""


class Baskets:
    """Every customer's cart. Requests for one customer take turns here, so none of two clicks is lost."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._indexed = False

    async def close(self) -> None:
        """Ends the connections."""
        await self._mongo.close()

    async def alive(self) -> bool:
        """Whether the database answers."""
        return await self._mongo.alive()

    async def cart(self, customer: str) -> Document:
        """The customer's cart, a new one if there is none. Raises MongoError."""
        if not self._indexed:
            await self._mongo.create_index(_DB, "cart", "customerId")
            self._indexed = True
        found = await self._mongo.find_one(_DB, "cart", {"customerId": customer})
        if found is not None:
            return found
        new = {"$setOnInsert": {"_class": _CART_CLASS, "items": []}}
        command = {"findAndModify": "cart", "query": {"customerId": customer}, "update": new}
        made: Document = (await self._mongo.command(_DB, {**command, "upsert": True, "new": True}))["value"]
        return made

    async def discard(self, customer: str) -> None:
        """Removes the cart and its items, if there is one."""
        async with self._turn(customer):
            for cart in await self._mongo.find(_DB, "cart", {"customerId": customer}):
                await self._mongo.delete(_DB, "item", {"_id": {"$in": _references(cart)}})
                await self._mongo.delete(_DB, "cart", {"_id": cart["_id"]})

    async def merge(self, customer: str, session: str) -> None:
        """Appends the items of a session's cart to the customer's, then forgets the former."""
        if customer == session:
            return
        async with self._turn(customer):
            theirs, ours = await self.cart(session), await self.cart(customer)
            items = {"$push": {"items": {"$each": theirs.get("items") or []}}}
            await self._mongo.update(_DB, "cart", {"_id": ours["_id"]}, items)
            await self._mongo.delete(_DB, "cart", {"_id": theirs["_id"]})

    async def items(self, customer: str) -> list[Document]:
        """What is in the cart, in the order in which it was put there."""
        references = _references(await self.cart(customer))
        if not references:
            return []
        found = {one["_id"]: one for one in await self._mongo.find(_DB, "item", {"_id": {"$in": references}})}
        return [found[number] for number in references if number in found]

    async def item(self, customer: str, item_id: str) -> Document:
        """One item. Raises NoItemError."""
        for item in await self.items(customer):
            if item.get("itemId") == item_id:
                return item
        raise NoItemError(item_id)

    async def add(self, customer: str, item_id: str, quantity: int, unit_price: float) -> Document:
        """Puts an item in; one that is there already becomes one more, and keeps its price."""
        async with self._turn(customer):
            try:
                item = await self.item(customer, item_id)
            except NoItemError:
                item = {"_id": ObjectId.new(), "_class": _ITEM_CLASS, "itemId": item_id}
                item |= {"quantity": quantity, "unitPrice": Float32(unit_price).nearest()}
                await self._mongo.insert(_DB, "item", item)
                await self._refer(await self.cart(customer), item["_id"])
                return item
            return await self._count(item, item["quantity"] + 1)

    async def change(self, customer: str, item_id: str, quantity: int) -> None:
        """Sets how many of an item are wanted. Raises NoItemError."""
        async with self._turn(customer):
            await self._count(await self.item(customer, item_id), quantity)

    async def remove(self, customer: str, item_id: str) -> None:
        """Takes an item out. Raises NoItemError."""
        async with self._turn(customer):
            item = await self.item(customer, item_id)
            cart = await self.cart(customer)
            for reference in cart.get("items") or []:
                if _meant(reference) == item["_id"]:
                    await self._mongo.update(_DB, "cart", {"_id": cart["_id"]}, {"$pull": {"items": reference}})
            await self._mongo.delete(_DB, "item", {"_id": item["_id"]})

    async def _refer(self, cart: Document, number: ObjectId) -> None:
        """Puts a reference into a cart: a DBRef as the original has it, or the id alone where DBRefs are refused."""
        for reference in ({"$ref": "item", "$id": number}, number):
            try:
                await self._mongo.update(_DB, "cart", {"_id": cart["_id"]}, {"$push": {"items": reference}})
            except MongoError as error:
                # FerretDB's words: invalid key: "$ref" (key must not start with '$' sign)
                if error.code != _BAD_VALUE or reference is number:
                    raise
            else:
                return

    async def _count(self, item: Document, quantity: int) -> Document:
        await self._mongo.update(_DB, "item", {"_id": item["_id"]}, {"$set": {"quantity": quantity}})
        return {**item, "quantity": quantity}

    def _turn(self, customer: str) -> asyncio.Lock:
        return self._turns.setdefault(customer, asyncio.Lock())


def _references(cart: Document) -> list[ObjectId]:
    return [number for one in cart.get("items") or [] if (number := _meant(one)) is not None]


def _meant(reference: Any) -> ObjectId | None:
    found = reference.get("$id") if isinstance(reference, dict) else reference
    return found if isinstance(found, ObjectId) else None
