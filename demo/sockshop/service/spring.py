"""How the shop's services that are Spring programs in the original answer over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from aiohttp import web

from sockshop.mongo.values import DateTime
from sockshop.service.gojson import shortest_float32
from sockshop.service.histogram import CONTENT_TYPE, Histogram
from sockshop.service.journal import Journal

JSON = "application/json;charset=UTF-8"
HAL = "application/hal+json;charset=UTF-8"
TEXT = "text/plain;charset=UTF-8"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SpringError(Exception):
    """Answered in the shape of Spring's error page; `exception` is the Java class it claims to be."""

    def __init__(self, status: int, exception: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.exception = exception
        self.message = message


@dataclass(frozen=True, slots=True)
class Float:
    """A number that Java holds as float: `18.0`, `99.99`."""

    value: float


def answer(status: int, value: object, kind: str = JSON) -> web.Response:
    """JSON with Spring's Content-Type."""
    return web.Response(status=status, body=encode(value), headers={"Content-Type": kind})


def empty(status: int) -> web.Response:
    """A status and nothing else."""
    return web.Response(status=status)


def text(value: str) -> web.Response:
    """200 and plain text."""
    return web.Response(body=value.encode(), headers={"Content-Type": TEXT})


def encode(value: object) -> bytes:
    """JSON as Jackson writes it."""
    return _text(value).encode()


def _text(value: object) -> str:
    match value:
        case Float():
            short = shortest_float32(value.value)
            return short if set(short) & set(".e") else f"{short}.0"
        case dict():
            return "{" + ",".join(f"{json.dumps(name)}:{_text(item)}" for name, item in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_text, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def health(parts: Mapping[str, bool]) -> web.Response:
    """What `/health` says of the service's parts."""
    stamp = DateTime.now().text("Z")
    entries = [{"service": name, "status": "OK" if well else "err", "date": stamp} for name, well in parts.items()]
    return answer(200, {"health": entries})


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body. Raises SpringError 400 when it is no JSON object."""
    raw = await request.read()
    try:
        value = json.loads(raw)
    except ValueError as error:
        what = f"Could not read document: {error}" if raw else "Required request body is missing"
        raise unreadable(what) from error
    if not isinstance(value, dict):
        raise unreadable("Could not read document: it is no object")
    return value


def unreadable(message: str) -> SpringError:
    """The body is not what it should be."""
    return SpringError(400, "org.springframework.http.converter.HttpMessageNotReadableException", message)


def application(name: str, *, metrics: str = "/metrics", access_log: TextIO | None = None) -> web.Application:
    """An application that measures, counts at `metrics` and fails as Spring does; `name` goes into every answer."""
    labels = ("method", "route", "status_code")
    durations = Histogram(
        name="request_duration_seconds", help="Request duration in seconds.", labels=labels, fixed={"service": name}
    )
    journal = Journal(durations, labels=_labels, access_log=access_log)
    app = web.Application(middlewares=[journal.middleware, _errors])

    async def measured(_request: web.Request) -> web.Response:
        return web.Response(body=durations.text().encode(), headers={"Content-Type": CONTENT_TYPE})

    async def named(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Application-Context"] = f"{name}:80"

    app.router.add_get(metrics, measured)
    app.on_response_prepare.append(named)
    return app


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except SpringError as error:
        return _failure(request, error.status, error.message, error.exception)
    except web.HTTPNotFound:
        return _failure(request, 404, "No message available", None)
    except web.HTTPMethodNotAllowed as error:
        exception = "org.springframework.web.HttpRequestMethodNotSupportedException"
        answer = _failure(request, 405, f"Request method '{request.method}' not supported", exception)
        answer.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return answer


def _failure(request: web.Request, status: int, message: str, exception: str | None) -> web.Response:
    reason = {400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable"}
    document: dict[str, object] = {"timestamp": time.time_ns() // 1_000_000, "status": status}
    document["error"] = reason.get(status, "Internal Server Error")
    if exception is not None:
        document["exception"] = exception
    return answer(status, {**document, "message": message, "path": request.path})


def _labels(request: web.Request, status: int) -> tuple[str, ...]:
    resource = request.match_info.route.resource
    return request.method, resource.canonical if resource is not None else "other", str(status)
