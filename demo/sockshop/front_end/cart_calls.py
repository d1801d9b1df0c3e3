"""API calls that go to the carts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sockshop.front_end import reply
from sockshop.front_end.shopfault import ShopError
from sockshop.front_end.visit import segment

if TYPE_CHECKING:
    from aiohttp import web

    from sockshop.front_end.backend import Backends
    from sockshop.front_end.routing import Route
    from sockshop.front_end.settings import Endpoints
    from sockshop.front_end.visit import Visit

_LEADING_INT = re.compile(r"\s*([+-]?[0-9]+)", re.ASCII)


class CartCalls:
    """The cart of this customer, or of this anonymous session."""

    def __init__(self, backends: Backends, endpoints: Endpoints) -> None:
        self._backends = backends
        self._catalogue = endpoints.catalogue
        self._carts = endpoints.carts

    def routes(self) -> tuple[Route, ...]:
        """What is answered here."""
        return (
            ("GET", "/cart", self.show),
            ("POST", "/cart", self.add),
            ("DELETE", "/cart", self.discard),
            ("POST", "/cart/update", self.update),
            ("DELETE", "/cart/{id}", self.remove),
        )

    async def show(self, visit: Visit) -> web.StreamResponse:
        """The items in the cart."""
        answer = await self._backends.call("GET", f"{self._cart(visit)}/items", headers=visit.trace)
        return reply.passed(answer.status, answer.body)

    async def discard(self, visit: Visit) -> web.StreamResponse:
        """Empties the cart."""
        answer = await self._backends.call("DELETE", self._cart(visit), headers=visit.trace)
        return reply.empty(answer.status)

    async def remove(self, visit: Visit) -> web.StreamResponse:
        """Takes one item out."""
        item = visit.request.match_info["id"]
        answer = await self._backends.call("DELETE", f"{self._cart(visit)}/items/{segment(item)}", headers=visit.trace)
        return reply.empty(answer.status)

    async def add(self, visit: Visit) -> web.StreamResponse:
        """Puts one piece into the cart at the catalogue's price; a quantity in the body has no effect."""
        item = await self._article(visit, "Must pass id of item to add")
        await self._write(visit, "POST", item, expected=201)
        return reply.empty(201)

    async def update(self, visit: Visit) -> web.StreamResponse:
        """Sets how many of an item are wanted."""
        if visit.field("id") is not None and visit.field("quantity") is None:
            raise ShopError("Must pass quantity to update")
        item = await self._article(visit, "Must pass id of item to update")
        item["quantity"] = whole_number(visit.field("quantity"))
        await self._write(visit, "PATCH", item, expected=202)
        return reply.empty(202)

    async def _article(self, visit: Visit, complaint: str) -> dict[str, Any]:
        """The item as the carts want it. Of an unknown sock nothing is known: an empty object, which the carts take."""
        wanted = visit.field("id")
        if wanted is None:
            raise ShopError(complaint)
        answer = await self._backends.call("GET", f"{self._catalogue}/catalogue/{segment(wanted)}", headers=visit.trace)
        sock = answer.json()
        if not isinstance(sock, dict):
            return {}
        names = (("itemId", "id"), ("unitPrice", "price"))
        return {ours: sock[theirs] for ours, theirs in names if theirs in sock}

    async def _write(self, visit: Visit, method: str, item: dict[str, Any], *, expected: int) -> None:
        answer = await self._backends.call(method, f"{self._cart(visit)}/items", headers=visit.trace, body=item)
        if answer.status != expected:
            raise ShopError(f"Unable to add to cart. Status code: {answer.status}")

    def _cart(self, visit: Visit) -> str:
        return f"{self._carts}/{segment(visit.cart)}"


def whole_number(value: object) -> int | None:
    """JavaScript's parseInt: the digits at the start of the text; None for NaN, which JSON writes as null."""
    match = _LEADING_INT.match(str(value))
    return int(match[1]) if match else None
