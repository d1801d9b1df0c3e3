"""API calls that go to the users: who somebody is, where they live, how they pay."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sockshop.front_end import reply
from sockshop.front_end.shopfault import ShopError
from sockshop.front_end.visit import login_cookie, segment

if TYPE_CHECKING:
    from aiohttp import web

    from sockshop.front_end.backend import Answer, Backends
    from sockshop.front_end.routing import Route
    from sockshop.front_end.session import Sessions
    from sockshop.front_end.settings import Endpoints
    from sockshop.front_end.visit import Visit

_NOTHING = {"status_code": 500}


class UserCalls:
    """Login, registration, customers, addresses and cards."""

    def __init__(self, backends: Backends, endpoints: Endpoints, sessions: Sessions) -> None:
        self._backends = backends
        self._endpoints = endpoints
        self._sessions = sessions
        self._collections = {
            "customers": endpoints.customers,
            "addresses": endpoints.addresses,
            "cards": endpoints.cards,
        }

    def routes(self) -> tuple[Route, ...]:
        """What is answered here."""
        every = tuple(self._collections)
        return (
            ("GET", "/login", self.log_in),
            ("POST", "/register", self.register),
            ("GET", "/card", self.card),
            ("GET", "/address", self.address),
            ("GET", "/customers/{id}", self.customer),
            ("GET", "/cards/{id}", self.one_card),
            *(("GET", f"/{name}", self.all) for name in every),
            *(("POST", f"/{name}", self.create) for name in every),
            *(("DELETE", f"/{name}/{{id}}", self.delete) for name in every),
        )

    async def log_in(self, visit: Visit) -> web.StreamResponse:
        """Asks the user service who this is (Basic authentication). 401 for every failure, also of that service."""
        headers = dict(visit.trace)
        if "Authorization" in visit.request.headers:
            headers["Authorization"] = visit.request.headers["Authorization"]
        try:
            customer = _logged_in_id(await self._backends.call("GET", self._endpoints.login, headers=headers))
        except ShopError as error:
            _complain("log in", error)
            customer = None
        if customer is None:
            return reply.empty(401)
        await self._welcome(visit, customer)
        response = reply.html(200, "Cookie is set")
        response.headers.add("Set-Cookie", login_cookie(visit.session_id))
        return response

    async def register(self, visit: Visit) -> web.StreamResponse:
        """Makes a customer and logs this session in; 500 without a body for every failure."""
        try:
            answer = await self._backends.call("POST", self._endpoints.register, headers=visit.trace, body=visit.body)
            customer = answer.json().get("id") if answer.status == 200 and answer.body else None
        except (ShopError, AttributeError) as error:
            _complain("register", error)
            customer = None
        if not isinstance(customer, str):
            return reply.empty(500)
        await self._welcome(visit, customer)
        response = reply.labelled(200, {"id": customer})
        response.headers.add("Set-Cookie", login_cookie(visit.session_id))
        return response

    async def customer(self, visit: Visit) -> web.StreamResponse:
        """The customer of this session; the id in the path has no effect."""
        return await self._passed(visit, f"{self._endpoints.customers}/{segment(visit.customer_text)}")

    async def one_card(self, visit: Visit) -> web.StreamResponse:
        """A card by its id."""
        return await self._passed(visit, f"{self._endpoints.cards}/{segment(visit.request.match_info['id'])}")

    async def all(self, visit: Visit) -> web.StreamResponse:
        """The whole collection of that name."""
        return await self._passed(visit, self._collection(visit))

    async def create(self, visit: Visit) -> web.StreamResponse:
        """Adds to a collection; an address or card goes to the customer of this session."""
        body = visit.body
        if visit.collection != "customers":
            body = {**(body if isinstance(body, dict) else {}), "userID": visit.cart}
        answer = await self._backends.call("POST", self._collection(visit), headers=visit.trace, body=body)
        return reply.document(200, answer.json_or_text())

    async def delete(self, visit: Visit) -> web.StreamResponse:
        """Answers with a JSON string that holds the JSON of the user service."""
        address = f"{self._collection(visit)}/{segment(visit.request.match_info['id'])}"
        answer = await self._backends.call("DELETE", address, headers=visit.trace)
        return reply.document(200, answer.body.decode("utf-8", "replace"))

    async def card(self, visit: Visit) -> web.StreamResponse:
        """The last four digits of the first card."""
        first = await self._first(visit, "cards", "card")
        number = first.get("longNum") if first else None
        return reply.document(200, {"number": number[-4:]} if isinstance(number, str) else _NOTHING)

    async def address(self, visit: Visit) -> web.StreamResponse:
        """The first address."""
        return reply.document(200, await self._first(visit, "addresses", "address") or _NOTHING)

    async def _first(self, visit: Visit, collection: str, member: str) -> dict[str, Any] | None:
        address = f"{self._endpoints.customers}/{segment(visit.cart)}/{collection}"
        answer = await self._backends.call("GET", address, headers=visit.trace)
        return first_embedded(answer.json_or_text(), member)

    async def _passed(self, visit: Visit, address: str) -> web.StreamResponse:
        answer = await self._backends.call("GET", address, headers=visit.trace)
        return reply.passed(200, answer.body)

    async def _welcome(self, visit: Visit, customer: str) -> None:
        """Remembers the login and gives the customer the anonymous cart; without carts the login still counts."""
        self._sessions.log_in(visit.session_id, customer)
        address = f"{self._endpoints.carts}/{segment(customer)}/merge?sessionId={segment(visit.session_id)}"
        try:
            await self._backends.call("GET", address, headers=visit.trace)
        except ShopError as error:
            _complain("merge the carts", error)

    def _collection(self, visit: Visit) -> str:
        return self._collections[visit.collection]


def first_embedded(value: Any, member: str) -> dict[str, Any] | None:
    """The first of `_embedded.MEMBER` in a HAL collection, or None when the answer has another shape."""
    embedded = value.get("_embedded") if isinstance(value, dict) else None
    members = embedded.get(member) if isinstance(embedded, dict) else None
    first = members[0] if isinstance(members, list) and members else None
    return first if isinstance(first, dict) else None


def _logged_in_id(answer: Answer) -> str | None:
    if answer.status != 200 or not answer.body:
        return None
    match answer.json():
        case {"user": {"id": str(customer)}}:
            return customer
        case _:
            return None


def _complain(what: str, error: Exception) -> None:
    sys.stderr.write(f"front-end: cannot {what}: {error}\n")
