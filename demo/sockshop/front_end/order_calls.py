"""API calls that go to the orders."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sockshop.front_end import reply
from sockshop.front_end.pipe import pipe
from sockshop.front_end.shopfault import ShopError
from sockshop.front_end.user_calls import first_embedded
from sockshop.front_end.visit import segment

if TYPE_CHECKING:
    from aiohttp import web

    from sockshop.front_end.backend import Backends
    from sockshop.front_end.routing import Route
    from sockshop.front_end.settings import Endpoints
    from sockshop.front_end.visit import Visit


class OrderCalls:
    """The orders of the customer who is logged in."""

    def __init__(self, backends: Backends, endpoints: Endpoints) -> None:
        self._backends = backends
        self._endpoints = endpoints

    def routes(self) -> tuple[Route, ...]:
        """What is answered here."""
        return (("GET", "/orders", self.mine), ("POST", "/orders", self.place), ("GET", "/orders/{rest:.*}", self.one))

    async def mine(self, visit: Visit) -> web.StreamResponse:
        """The customer's orders: 201 and a bare array, `[]` when the order service knows of none."""
        _demand_login(visit)
        query = f"sort=date&custId={segment(visit.customer_text)}"
        address = f"{self._endpoints.orders}/orders/search/customerId?{query}"
        answer = await self._backends.call("GET", address, headers=visit.trace)
        if answer.status == 404:
            return reply.document(201, [])
        match answer.json():
            case {"_embedded": {"customerOrders": list(orders)}}:
                return reply.document(201, orders)
            case _:
                raise ShopError(f"orders answered {answer.status} without a list of orders")

    async def one(self, visit: Visit) -> web.StreamResponse:
        """Anything below `/orders/`, with status and headers."""
        return await pipe(self._backends, visit, self._endpoints.orders + visit.target)

    async def place(self, visit: Visit) -> web.StreamResponse:
        """Asks the user service for the links of customer, address and card; sends them and the cart's to orders."""
        _demand_login(visit)
        customer = segment(visit.customer_text)
        answer = await self._backends.call("GET", f"{self._endpoints.customers}/{customer}", headers=visit.trace)
        links = _links(answer.json())
        # Both calls end before a failure of either is told, so that none is left behind.
        found = await asyncio.gather(
            self._link_of_first(visit, links.get("addresses"), "address"),
            self._link_of_first(visit, links.get("cards"), "card"),
            return_exceptions=True,
        )
        for result in found:
            if isinstance(result, BaseException):
                raise result
        address, card = found
        if "customer" not in links:
            raise ShopError(f"user knows no customer {visit.customer_text!r}: log in again")
        order = {
            "customer": links["customer"],
            "address": address,
            "card": card,
            "items": f"{self._endpoints.carts}/{customer}/items",
        }
        placed = await self._backends.call("POST", f"{self._endpoints.orders}/orders", headers=visit.trace, body=order)
        return reply.document(placed.status, placed.json_or_text())

    async def _link_of_first(self, visit: Visit, address: str | None, member: str) -> str | None:
        if address is None:
            return None
        answer = await self._backends.call("GET", address, headers=visit.trace)
        return _links(first_embedded(answer.json(), member)).get("self")


def _links(value: Any) -> dict[str, str]:
    """The `_links` of a HAL object, name to address; empty when there are none."""
    match value:
        case {"_links": {**links}}:
            pairs = ((str(name), link.get("href")) for name, link in links.items() if isinstance(link, dict))
            return {name: href for name, href in pairs if isinstance(href, str)}
        case _:
            return {}


def _demand_login(visit: Visit) -> None:
    if not visit.logged_in:
        raise ShopError("User not logged in.")
