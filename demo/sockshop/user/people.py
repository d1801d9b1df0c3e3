"""Customers, addresses and cards in database `users`."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any

from sockshop.mongo.client import Mongo, MongoError
from sockshop.mongo.values import ObjectId

_DB = "users"
_SALT_BYTES = 20
_RETRY_SECONDS = 0.2

Document = dict[str, Any]


class RefusedError(Exception):
    """A request that fails; the text is the answer's `error`."""


class UnauthorizedError(Exception):
    """The password is wrong."""


class People:
    """The three collections. Raises RefusedError where the original has an error."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def open(self) -> None:
        """Waits for the database, as long as it takes, and makes names unique."""
        while True:
            try:
                await self._mongo.create_index(_DB, "customers", "username", unique=True)
            except MongoError as error:
                if error.code:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def close(self) -> None:
        """Ends the connections."""
        await self._mongo.close()

    async def alive(self) -> bool:
        """Whether the database answers."""
        return await self._mongo.alive()

    async def log_in(self, username: str, password: str) -> Document:
        """The customer with this name and password. Raises UnauthorizedError."""
        try:
            found = await self._mongo.find_one(_DB, "customers", {"username": username})
        except MongoError as error:
            raise RefusedError(str(error)) from error
        if found is None:
            raise RefusedError("not found")
        if not hmac.compare_digest(_hash(found.get("salt", ""), password), str(found.get("password", ""))):
            raise UnauthorizedError
        return found

    async def all(self, collection: str) -> list[Document]:
        """Everything in a collection."""
        return await self._find(collection, {})

    async def one(self, collection: str, text: str) -> Document:
        """One document by its id."""
        number = _id(text)
        found = await self._find(collection, {"_id": number})
        if not found:
            raise RefusedError("not found")
        return found[0]

    async def of_customer(self, text: str, collection: str) -> list[Document]:
        """A customer's addresses or cards."""
        customer = await self.one("customers", text)
        return await self._find(collection, {"_id": {"$in": customer.get(collection) or []}})

    async def add_customer(self, fields: Mapping[str, str], *, password: str = "", email: str = "") -> str:
        """The new customer's id; a name that exists is refused in the database's words."""
        salt = secrets.token_hex(_SALT_BYTES)
        names = ("firstName", "lastName", "username")
        made: Document = {"_id": ObjectId.new(), **{name: fields.get(name, "") for name in names}, "email": email}
        made |= {"password": _hash(salt, password), "salt": salt, "addresses": [], "cards": []}
        try:
            await self._mongo.insert(_DB, "customers", made)
        except MongoError as error:
            raise RefusedError(str(error)) from error
        return str(made["_id"])

    async def add(self, collection: str, fields: Document, owner: str) -> str:
        """The id of a new address or card, which belongs to the customer `owner` if that is not empty."""
        customer = _id(owner) if owner else None
        made: Document = {"_id": ObjectId.new(), **fields}
        try:
            await self._mongo.insert(_DB, collection, made)
            if customer is not None:
                change = {"$addToSet": {collection: made["_id"]}}
                await self._mongo.update(_DB, "customers", {"_id": customer}, change)
        except MongoError as error:
            raise RefusedError(str(error)) from error
        return str(made["_id"])

    async def delete(self, collection: str, text: str) -> None:
        """Removes a document: with a customer what is theirs, with an address or card every reference to it."""
        found = await self.one(collection, text)
        try:
            if collection == "customers":
                for below in ("addresses", "cards"):
                    await self._mongo.delete(_DB, below, {"_id": {"$in": found.get(below) or []}})
            else:
                gone = {"$pull": {collection: found["_id"]}}
                await self._mongo.update(_DB, "customers", {}, gone, many=True)
            await self._mongo.delete(_DB, collection, {"_id": found["_id"]})
        except MongoError as error:
            raise RefusedError(str(error)) from error

    async def _find(self, collection: str, wanted: Document) -> list[Document]:
        try:
            return await self._mongo.find(_DB, collection, wanted)
        except MongoError as error:
            raise RefusedError(str(error)) from error


def _id(text: str) -> ObjectId:
    number = ObjectId.parse(text)
    if number is None:
        raise RefusedError("Invalid Id Hex")
    return number


def _hash(salt: str, password: str) -> str:
    # The original's way to keep passwords, which its seed data and its other programs share.
    return hashlib.sha1((salt + password).encode()).hexdigest()  # noqa: S324
