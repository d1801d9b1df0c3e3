"""Web sessions. They live in this process, as in the original: another replica does not know who logged in."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

from sockshop.front_end import cookie

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGIN_COOKIE = "logged_in"
MOST_LOGINS = 50_000
"""Sessions with a customer that are remembered; beyond, the one unused for longest is forgotten."""


class Sessions:
    """Who is logged in. Only a session with a customer takes memory: the cookie itself says which session it is.

    A validly signed id that this process has never seen is taken as it is. The original makes a new one there, so two
    replicas keep throwing each other's carts away; taking it, the cart survives and only the login is unknown.
    """

    def __init__(self) -> None:
        self._customers: OrderedDict[str, str] = OrderedDict()

    def find(self, cookies: Mapping[str, str]) -> tuple[str, bool]:
        """The session's id, and whether it is new and so has to be told to the browser."""
        known = cookie.read(cookies.get(cookie.NAME, ""))
        if known is not None:
            return known, False
        return cookie.new_id(secrets.token_bytes(24)), True

    def log_in(self, session_id: str, customer: str) -> None:
        """Remembers whose session this is."""
        self._customers[session_id] = customer
        self._customers.move_to_end(session_id)
        if len(self._customers) > MOST_LOGINS:
            self._customers.popitem(last=False)

    def customer(self, session_id: str) -> str | None:
        """Who logged in with this session, if anybody did here."""
        customer = self._customers.get(session_id)
        if customer is not None:
            self._customers.move_to_end(session_id)
        return customer

    def log_out(self, session_id: str) -> None:
        """Forgets whose session this was."""
        self._customers.pop(session_id, None)
