"""One API request with its web session: who asks, and for which customer."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

from aiohttp import web

from sockshop.front_end.session import LOGIN_COOKIE, Sessions
from sockshop.front_end.shopfault import ShopError
from sockshop.service.handover import trace_headers

LOGIN_SECONDS = 3600
LARGEST_BODY = 100 * 1024


@dataclass(slots=True, kw_only=True)
class Visit:
    """A request to the API with all that the calls need to know of it."""

    request: web.Request
    session_id: str
    customer: str | None
    """The customer who logged in with this session on this replica."""
    body: Any
    """The JSON body, `{}` without one."""
    override: str | None = None

    @property
    def logged_in(self) -> bool:
        """Whether the browser believes to be logged in; this replica may know nothing of it."""
        return LOGIN_COOKIE in self.request.cookies

    @property
    def customer_text(self) -> str:
        """The customer as the original puts it into an address: a missing one is JavaScript's word for that."""
        if self.customer is not None:
            return self.customer
        return "undefined" if self.logged_in else "null"

    @property
    def cart(self) -> str:
        """Whose cart, cards and addresses are meant: the customer's, or those of an anonymous session."""
        if self.override is not None:
            return self.override
        return self.customer_text if self.logged_in else self.session_id

    @property
    def target(self) -> str:
        """Path and query as they came, escapes and all."""
        return self.request.rel_url.raw_path_qs

    @property
    def collection(self) -> str:
        """The first part of the path: `cards` of `/cards/57a9`."""
        return self.request.path.split("/")[1]

    @property
    def trace(self) -> dict[str, str]:
        """The headers that go on every call made for this request."""
        return trace_headers(self.request.headers)

    def field(self, name: str) -> Any:
        """A member of the body; None when it is absent or the body is no object."""
        return self.body.get(name) if isinstance(self.body, dict) else None


async def open_visit(request: web.Request, sessions: Sessions, *, customer_override: bool) -> tuple[Visit, bool]:
    """The visit, and whether its session is new. Raises ShopError (400, 413) for a body that cannot be read."""
    session_id, new = sessions.find(request.cookies)
    if LOGIN_COOKIE not in request.cookies:
        sessions.log_out(session_id)
    visit = Visit(
        request=request,
        session_id=session_id,
        customer=sessions.customer(session_id),
        body=await _body(request),
        override=request.query.get("custId") if customer_override else None,
    )
    return visit, new


async def _body(request: web.Request) -> Any:
    """The body when it says that it is JSON; the original's parser passes over everything else."""
    if not request.can_read_body or request.content_type != "application/json":
        return {}
    raw = await request.content.read(LARGEST_BODY + 1)
    while len(raw) <= LARGEST_BODY and not request.content.at_eof():
        raw += await request.content.read(LARGEST_BODY + 1 - len(raw))
    if len(raw) > LARGEST_BODY:
        raise ShopError("request entity too large", status=413)
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ShopError(f"request body is not JSON: {error}", status=400) from error
    if not isinstance(body, (dict, list)):
        raise ShopError("request body is not a JSON object or array", status=400)
    return body


def login_cookie(session_id: str) -> str:
    """The Set-Cookie line that tells the pages that somebody is logged in."""
    expires = formatdate(time.time() + LOGIN_SECONDS, usegmt=True)
    return f"{LOGIN_COOKIE}={session_id}; Max-Age={LOGIN_SECONDS}; Path=/; Expires={expires}"


def segment(value: object) -> str:
    """A value as one segment of a path or one value of a query: nothing in it can lead elsewhere."""
    return quote(str(value), safe="!~*'()$@,:=")
