"""`python -m bookinfo.productpage [PORT]`: the page of a book, made of what details and reviews say; and its API.

Environment: DETAILS_HOSTNAME, REVIEWS_HOSTNAME, RATINGS_HOSTNAME, each with _SERVICE_PORT instead of _HOSTNAME too, and
SERVICES_DOMAIN say where the others are.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from bookinfo import page, web

BOOK = {
    "id": 0,
    "title": "The Comedy of Errors",
    "descriptionHtml": "<a href='https://en.wikipedia.org/wiki/The_Comedy_of_Errors'>The Comedy of Errors</a> is "
    "a farce of mistaken identity by <b>William Shakespeare</b>, among his earliest plays and the shortest of them.",
}
SECONDS = 3.0
#: How often each service is asked before the page gives up. Asking reviews twice is the flaw that the sample was given
#: on purpose: a slow answer makes the page wait for twice `SECONDS`.
ATTEMPTS = {"reviews": 2}


class ProductPage:
    """Answers the page, sign in and out, the API and `/health`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        domain = environment.get("SERVICES_DOMAIN", "")
        self._bases = {}
        for name in ("details", "reviews", "ratings"):
            host = environment.get(f"{name.upper()}_HOSTNAME", name) + (f".{domain}" if domain else "")
            port = environment.get(f"{name.upper()}_SERVICE_PORT", "9080")
            self._bases[name] = f"http://{host}:{port}/{name}"

    def __call__(self, request: web.Request) -> web.Reply:
        """One request."""
        match request.path.strip("/").split("/"):
            case ["health"]:
                return web.text("Product page is healthy")
            case [""] | ["index.html"]:
                return web.Reply(page.front().encode(), kind=web.HTML)
            case ["productpage"]:
                return self._page(request)
            case ["login"] if request.method == "POST":
                name = parse_qs(request.body.decode("utf-8", "replace")).get("username", [""])[0]
                return _to_page(_session(name))
            case ["logout"]:
                return _to_page("session=; Max-Age=0; Path=/; HttpOnly")
            case ["api", "v1", "products", *rest]:
                return self._api(request, rest)
        return web.not_found(request)

    def _page(self, request: web.Request) -> web.Reply:
        user = signed_in(request)
        details, reviews = (self._ask(name, "0", request, user) for name in ("details", "reviews"))
        return web.Reply(page.of(BOOK, details, reviews, user=user).encode(), kind=web.HTML)

    def _api(self, request: web.Request, rest: list[str]) -> web.Reply:
        if rest in ([], [""]):
            return web.document([BOOK])
        number, name = rest[0], rest[1] if rest[1:] else "details"
        if rest[2:] or name not in self._bases:
            return web.not_found(request)
        if not number.isdecimal():
            return web.document({"error": "please provide numeric product ID"}, 400)
        status, value = self._ask(name, number, request, signed_in(request))
        return web.document(value, status)

    def _ask(self, name: str, number: str, request: web.Request, user: str) -> tuple[int, object]:
        headers = request.passed_on() | ({"end-user": user} if user else {})
        answer = None
        for _ in range(ATTEMPTS.get(name, 1)):
            answer = web.call(f"{self._bases[name]}/{number}", headers, seconds=SECONDS)
            if answer is not None and answer[0] == 200:
                return answer
        what = "product details" if name == "details" else f"product {name}"
        status = answer[0] if answer is not None else 500
        return status, {"error": f"Sorry, {what} are currently unavailable for this book."}


def signed_in(request: web.Request) -> str:
    """Who the session's cookie says it is; empty for nobody.

    Any name is taken without a password, so there is nothing that a signature would protect.
    """
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get("session")
        raw = morsel.value if morsel else ""
        user = json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))["user"]
    except (CookieError, ValueError, KeyError, TypeError):
        return ""
    # It becomes a header, and so must be one line of ASCII.
    return user if isinstance(user, str) and user.isascii() and user.isprintable() else ""


def _session(user: str) -> str:
    raw = base64.urlsafe_b64encode(json.dumps({"user": user}).encode()).decode().rstrip("=")
    return f"session={raw}; Path=/; HttpOnly"


def _to_page(cookie: str) -> web.Reply:
    return web.Reply(status=302, headers={"location": "/productpage", "set-cookie": cookie}, kind=web.TEXT)


if __name__ == "__main__":
    web.serve(ProductPage(os.environ), port=int(sys.argv[1]) if sys.argv[1:] else 9080, name="productpage")
