"""How an order comes about: calls to the services that know its parts."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from sockshop.mongo.values import DateTime, ObjectId
from sockshop.service.gojson import Float32

SHIPPING = 4.99
"""What shipping costs, whatever is shipped."""

_CUSTOMER_ID = re.compile(r"[\w-]+$", re.ASCII)
_CONTROLLER = "works.weave.socks.orders.controllers.OrdersController$"
_CLASS = "works.weave.socks.orders.entities.CustomerOrder"

Document = dict[str, Any]


class PlacingError(Exception):
    """The order does not come about; status and Java class of the answer."""

    def __init__(self, status: int, exception: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.exception = exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where payment and shipping are; the other addresses come with the order."""

    payment: str = "http://payment/paymentAuth"
    shipping: str = "http://shipping/shipping"


class Placing:
    """Makes orders. Each wait for another service takes `timeout` seconds at most; nothing is tried twice."""

    def __init__(self, endpoints: Endpoints, *, timeout: float) -> None:
        self._endpoints = endpoints
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Makes the pool of connections; nothing is connected yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=256, keepalive_timeout=15, ttl_dns_cache=5),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()

    async def place(self, wanted: Mapping[str, Any], trace: Mapping[str, str]) -> Document:
        """The order, paid and handed to shipping but not stored yet. Raises PlacingError."""
        links = [wanted.get(name) for name in ("address", "customer", "card", "items")]
        if not all(isinstance(link, str) and link for link in links):
            message = "Invalid order request. Order requires customer, address, card and items."
            raise PlacingError(406, f"{_CONTROLLER}InvalidOrderException", message)
        hal, plain = "application/hal+json", "application/json"
        accepts = (hal, hal, hal, plain)
        calls = [self._get(str(link), accept, trace) for link, accept in zip(links, accepts, strict=True)]
        async with self._waited():
            address, customer, card, items = await asyncio.gather(*calls)
        order = _order(address, customer, card, items)
        total = _total(order["items"])
        await self._pay({"address": address, "card": card, "customer": customer, "amount": total}, trace)
        shipment = {"id": str(uuid.uuid4()), "name": order["customerId"]}
        async with self._waited():
            answer = await self._post(self._endpoints.shipping, shipment, trace)
        if not isinstance(answer, dict):
            raise _io_error()
        order |= {"shipment": {"_id": answer.get("id"), "name": answer.get("name")}, "date": DateTime.now()}
        return {**order, "total": total}

    async def _pay(self, payment: Document, trace: Mapping[str, str]) -> None:
        async with self._waited():
            answer = await self._post(self._endpoints.payment, payment, trace)
        declined = f"{_CONTROLLER}PaymentDeclinedException"
        if not isinstance(answer, dict):
            raise PlacingError(406, declined, "Unable to parse authorisation packet")
        if answer.get("authorised") is not True:
            raise PlacingError(406, declined, str(answer.get("message")))

    @asynccontextmanager
    async def _waited(self) -> AsyncIterator[None]:
        """Puts a wait's limit and failures into the original's words."""
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as error:
            message = "Unable to create order due to timeout from one of the services."
            raise PlacingError(500, "java.lang.IllegalStateException", message) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _io_error() from error

    async def _get(self, address: str, accept: str, trace: Mapping[str, str]) -> Any:
        return await self._call("GET", address, {**trace, "Accept": accept}, None)

    async def _post(self, address: str, body: Document, trace: Mapping[str, str]) -> Any:
        headers = {**trace, "Accept": "application/json", "Content-Type": "application/json;charset=UTF-8"}
        return await self._call("POST", address, headers, json.dumps(body, ensure_ascii=False).encode())

    async def _call(self, method: str, address: str, headers: Mapping[str, str], data: bytes | None) -> Any:
        if self._session is None:
            raise RuntimeError("the connections are not open")
        url = URL(address, encoded=True)
        if url.scheme not in {"http", "https"}:
            raise ValueError(f"{address!r} is no HTTP address")
        async with self._session.request(method, url, headers=headers, data=data) as response:
            response.raise_for_status()
            return json.loads(await response.read())


def _io_error() -> PlacingError:
    message = "Unable to create order due to unspecified IO error."
    return PlacingError(500, "java.lang.IllegalStateException", message)


def _order(address: Any, customer: Any, card: Any, items: Any) -> Document:
    """The parts as they are stored: no ids but the items', no links."""
    if not all(isinstance(one, dict) for one in (address, customer, card)) or not isinstance(items, list):
        raise _io_error()
    link = (customer.get("_links") or {}).get("self") or {}
    found = _CUSTOMER_ID.search(str(link.get("href", "")))
    if found is None:
        raise _io_error()

    def chosen(source: Document, *names: str) -> Document:
        return {name: source.get(name) for name in names}

    return {
        "_id": ObjectId.new(),
        "_class": _CLASS,
        "customerId": found[0],
        "customer": {**chosen(customer, "firstName", "lastName", "username"), "addresses": [], "cards": []},
        "address": chosen(address, "number", "street", "city", "postcode", "country"),
        "card": chosen(card, "longNum", "expires", "ccv"),
        "items": [
            {"_id": item.get("id"), **chosen(item, "itemId", "quantity", "unitPrice")}
            for item in items
            if isinstance(item, dict)
        ],
    }


def _total(items: list[Document]) -> float:
    """What is to be paid, as float32."""
    try:
        goods = sum((item["quantity"] or 0) * (item["unitPrice"] or 0) for item in items)
        return Float32(goods + SHIPPING).nearest()
    except (TypeError, OverflowError) as error:
        raise _io_error() from error
