"""`python -m bookinfo.httpbin [--strings] [PORT]`: tells callers what they sent, as go-httpbin does, or takes its time.

A header is a list of its values; with `--strings` it is one text, as in the httpbin of Python.
"""

from __future__ import annotations

import json
import math
import socket
import sys
import time
from collections.abc import Mapping
from urllib.parse import parse_qs

from bookinfo import web

LONGEST_DELAY = 10.0
METHODS = {"get": "GET", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE"}


class HttpBin:
    """Answers the paths of httpbin that people use to try a mesh."""

    def __init__(self, *, strings: bool = False) -> None:
        self._strings = strings

    def __call__(self, request: web.Request) -> web.Reply:
        """One request."""
        match request.path.strip("/").split("/"):
            case [""]:
                return web.text("httpbin: /get /post /anything /headers /ip /hostname /user-agent /status/N /delay/N\n")
            case ["headers"]:
                return web.document({"headers": self._headers(request)})
            case ["ip"]:
                return web.document({"origin": _origin(request)})
            case ["hostname"]:
                return web.document({"hostname": socket.gethostname()})
            case ["user-agent"]:
                return web.document({"user-agent": request.headers.get("user-agent", "")})
            case ["status", code]:
                return _status(code)
            case ["delay", seconds]:
                return self._delayed(request, seconds)
            case [name] if name in METHODS:
                if request.method not in {METHODS[name], "HEAD" if name == "get" else METHODS[name]}:
                    return web.document({"error": "Method Not Allowed"}, 405)
                return self._told(request)
            case ["anything", *_]:
                return self._told(request)
        return web.not_found(request)

    def _delayed(self, request: web.Request, text: str) -> web.Reply:
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= LONGEST_DELAY:
            return web.document({"error": f"a delay is a number of seconds from 0 to {LONGEST_DELAY:.0f}"}, 400)
        time.sleep(seconds)
        return self._told(request)

    def _told(self, request: web.Request) -> web.Reply:
        body = request.body.decode("utf-8", "replace")
        kind = request.headers.get("content-type", "")
        value: Mapping[str, object] = {
            "args": {name: self._value(text) for name, text in request.query.items()},
            "headers": self._headers(request),
            "method": request.method,
            "origin": _origin(request),
            "url": f"http://{request.headers.get('host', '')}{request.target}",
        }
        if request.method not in {"GET", "HEAD"}:
            form = parse_qs(body) if kind.startswith("application/x-www-form-urlencoded") else {}
            value = {**value, "data": body, "files": {}, "form": form, "json": _json(body)}
        return web.document(value)

    def _headers(self, request: web.Request) -> dict[str, object]:
        return {name.title(): self._value(text) for name, text in sorted(request.headers.items())}

    def _value(self, text: str) -> object:
        return text if self._strings else [text]


def _status(text: str) -> web.Reply:
    if not text.isdecimal() or not 200 <= int(text) <= 599:
        return web.document({"error": "a status is a number from 200 to 599"}, 400)
    return web.text("I'm a teapot!\n" if text == "418" else "", int(text))


def _origin(request: web.Request) -> str:
    return request.headers.get("x-forwarded-for", request.peer)


def _json(body: str) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


if __name__ == "__main__":
    rest = [word for word in sys.argv[1:] if word != "--strings"]
    web.serve(HttpBin(strings="--strings" in sys.argv), port=int(rest[0]) if rest else 8080, name="httpbin")
