"""A customer of the shop who speaks HTTP: logs in, fills a cart, orders."""

from __future__ import annotations

import base64
import http.client
import http.cookies
import json
from typing import Any
from urllib.parse import urlsplit

COLOURFUL = "3395a43e-2d88-40de-b95f-e00e1502085b"


class Customer:
    """Keeps the cookies that the shop at `url` gives."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc
        self._cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, *, basic: str = "") -> tuple[int, Any]:
        """Status and body of a request; the body as JSON where it is some. `basic` is NAME:PASSWORD."""
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if basic:
            headers["authorization"] = f"Basic {base64.b64encode(basic.encode()).decode()}"
        if body is not None:
            headers["content-type"] = "application/json"
        connection = http.client.HTTPConnection(self._netloc, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        for line in answer.msg.get_all("set-cookie") or ():
            self._cookies |= {name: each.value for name, each in http.cookies.SimpleCookie(line).items()}
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def log_in(self, name: str = "user", password: str = "password") -> bool:
        """Whether the shop knows this customer."""
        return self.ask("GET", "/login", basic=f"{name}:{password}")[0] == 200

    def buy(self, sock: str = COLOURFUL) -> tuple[int, Any]:
        """Order one pair of socks and nothing else: what `POST /orders` answers."""
        self.ask("DELETE", "/cart")
        status, said = self.ask("POST", "/cart", {"id": sock})
        assert status == 201, said
        return self.ask("POST", "/orders", {})
