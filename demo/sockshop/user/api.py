"""The HTTP side of the users: routes, and how results and failures look on the wire."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TextIO

from aiohttp import web

from sockshop.service import gohttp
from sockshop.service.histogram import CONTENT_TYPE, Histogram
from sockshop.service.journal import Journal
from sockshop.user.people import People, RefusedError, UnauthorizedError
from sockshop.user.shown import embedded, fields_of, shown

HAL = "application/hal+json"
"""Without it the original's order service does not find the links."""

_COLLECTIONS = ("customers", "addresses", "cards")
_KINDS = {bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


class Users:
    """Handlers over the people; `host` is the name in every link, whatever host was asked."""

    def __init__(self, people: People, *, host: str = "user", access_log: TextIO | None = None) -> None:
        self._people = people
        self._host = host
        labels = ("method", "route", "status_code", "isWS")
        text = "Time (in seconds) spent serving HTTP requests."
        self._durations = Histogram(name="request_duration_seconds", help=text, labels=labels)
        self._requests: dict[str, tuple[int, float]] = {}
        self._journal = Journal(self._durations, labels=_labels, access_log=access_log)

    def app(self) -> web.Application:
        """The service as an aiohttp application, which opens only when the database answers."""
        app = web.Application(middlewares=[self._journal.middleware, gohttp.plain_refusals])
        router = app.router
        router.add_get("/login", self._counted("Login", self._log_in), allow_head=False)
        router.add_post("/register", self._counted("Register", self._register))
        router.add_get("/health", self._health, allow_head=False)
        router.add_route("*", "/metrics", self._metrics)
        for name in _COLLECTIONS:
            # By prefix, as in the original: whatever begins so.
            path = f"/{name}{{rest:.*}}"
            router.add_get(path, self._counted(f"Get{name}", self._get), allow_head=False)
            router.add_post(f"/{name}", self._counted(f"Post{name}", self._post))
        router.add_delete("/{path:.*}", self._counted("Delete", self._delete))
        app.cleanup_ctx.append(self._opened)
        return app

    async def _opened(self, _app: web.Application) -> AsyncIterator[None]:
        await self._people.open()
        yield
        await self._people.close()

    def _counted(
        self, name: str, work: Callable[[web.Request], Awaitable[dict[str, Any]]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A handler that counts, and puts what `work` gives or raises into words."""

        async def handle(request: web.Request) -> web.StreamResponse:
            started = time.perf_counter()
            try:
                return gohttp.document(await work(request), HAL)
            except UnauthorizedError:
                return gohttp.failure(401, "Unauthorized")
            except RefusedError as error:
                return gohttp.failure(500, str(error))
            finally:
                count, seconds = self._requests.get(name, (0, 0.0))
                self._requests[name] = count + 1, seconds + time.perf_counter() - started

        return handle

    async def _log_in(self, request: web.Request) -> dict[str, Any]:
        username, password = _basic(request.headers.get("Authorization", ""))
        return {"user": shown("customers", await self._people.log_in(username, password), self._host)}

    async def _register(self, request: web.Request) -> dict[str, Any]:
        body = await _body(request)
        password, email = body.get("password", ""), body.get("email", "")
        return {"id": await self._people.add_customer(body, password=password, email=email)}

    async def _get(self, request: web.Request) -> dict[str, Any]:
        collection = _collection(request)
        _, _, number, below = _parts(request)
        if not number:
            return embedded(collection, await self._people.all(collection), self._host)
        if collection == "customers" and below in {"addresses", "cards"}:
            return embedded(below, await self._people.of_customer(number, below), self._host)
        return shown(collection, await self._people.one(collection, number), self._host)

    async def _post(self, request: web.Request) -> dict[str, Any]:
        collection, body = _collection(request), await _body(request)
        if collection == "customers":
            return {"id": await self._people.add_customer(body)}
        return {"id": await self._people.add(collection, fields_of(collection, body), body.get("userID", ""))}

    async def _delete(self, request: web.Request) -> dict[str, Any]:
        _, collection, number, _ = _parts(request)
        if collection not in _COLLECTIONS or not number:
            raise web.HTTPNotFound
        await self._people.delete(collection, number)
        return {"status": True}

    async def _health(self, _request: web.Request) -> web.Response:
        parts = {"user": True, "user-db": await self._people.alive()}
        return gohttp.document(gohttp.health(parts, now_ns=time.time_ns()), HAL)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return gohttp.response(200, (self._durations.text() + self._counts()).encode(), CONTENT_TYPE)

    def _counts(self) -> str:
        """The original's own metrics; the second one's values are seconds in spite of its name."""
        count, latency = "microservices_demo_user_request_count", "microservices_demo_user_request_latency_microseconds"
        lines = [f"# HELP {count} Number of requests received.", f"# TYPE {count} counter"]
        lines += [f'{count}{{method="{name}"}} {number}' for name, (number, _) in self._requests.items()]
        lines += [f"# HELP {latency} Total duration of requests, in seconds.", f"# TYPE {latency} summary"]
        for name, (number, seconds) in self._requests.items():
            lines.append(f'{latency}_sum{{method="{name}"}} {seconds!r}')
            lines.append(f'{latency}_count{{method="{name}"}} {number}')
        return "\n".join(lines) + "\n"


def _parts(request: web.Request) -> list[str]:
    """The path cut at its slashes: nothing, collection, id, what is below; missing ones are empty."""
    return [*request.path.split("/"), "", "", ""][:4]


def _collection(request: web.Request) -> str:
    return next(name for name in _COLLECTIONS if request.path.startswith(f"/{name}"))


def _basic(header: str) -> tuple[str, str]:
    """Name and password of Basic authentication. Raises UnauthorizedError for any other header."""
    scheme, _, value = header.partition(" ")
    try:
        username, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise UnauthorizedError from error
    if scheme.lower() != "basic" or not colon:
        raise UnauthorizedError
    return username, password


async def _body(request: web.Request) -> dict[str, str]:
    """The body's fields, all of them text. Raises RefusedError in the words of Go's JSON reader."""
    raw = await request.read()
    try:
        value = json.loads(raw)
    except ValueError as error:
        text = raw.decode("utf-8", "replace").strip()
        if not text:
            raise RefusedError("EOF") from error
        at = getattr(error, "pos", 0)
        wrong = text[at : at + 1]
        complaint = f"invalid character {wrong!r} looking for beginning of value" if wrong else "unexpected EOF"
        raise RefusedError(complaint) from error
    if not isinstance(value, dict):
        kind = _KINDS.get(type(value), "string")
        raise RefusedError(f"json: cannot unmarshal {kind} into Go value")
    for name, field in value.items():
        if field is not None and not isinstance(field, str):
            kind = _KINDS[type(field)]
            raise RefusedError(f"json: cannot unmarshal {kind} into Go struct field {name} of type string")
    return {name: field for name, field in value.items() if isinstance(field, str)}


def _labels(request: web.Request, status: int) -> tuple[str, ...]:
    first = _parts(request)[1]
    known = first in {*_COLLECTIONS, "login", "register", "health", "metrics"}
    return request.method, first if known else "other", str(status), "false"
