"""The HTTP side of payment: one decision."""

from __future__ import annotations

import json
import time
from typing import TextIO

from aiohttp import web

from sockshop.service import gohttp
from sockshop.service.gojson import Float32
from sockshop.service.histogram import CONTENT_TYPE, Histogram
from sockshop.service.journal import Journal

_ROUTES = {"/paymentAuth": "paymentauth", "/health": "health", "/metrics": "metrics"}


class Payment:
    """Authorises every amount up to `limit`."""

    def __init__(self, *, limit: float, access_log: TextIO | None = None) -> None:
        self._limit = limit
        labels = ("method", "route", "status_code", "isWS")
        text = "Time (in seconds) spent serving HTTP requests."
        self._durations = Histogram(name="request_duration_seconds", help=text, labels=labels)
        self._journal = Journal(self._durations, labels=_labels, access_log=access_log)

    def app(self) -> web.Application:
        """The service as an aiohttp application."""
        app = web.Application(middlewares=[self._journal.middleware, gohttp.plain_refusals])
        app.router.add_post("/paymentAuth", self._authorise)
        app.router.add_get("/health", self._health, allow_head=False)
        app.router.add_route("*", "/metrics", self._metrics)
        return app

    async def _authorise(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            value = json.loads(raw)
        except ValueError as error:
            return gohttp.failure(500, f"cannot read the request: {error}")
        amount = value.get("amount") if isinstance(value, dict) else None
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or amount == 0:
            body = raw.decode("utf-8", "replace")
            return gohttp.failure(500, f'Cannot unmarshal object key "amount" from JSON: {body}')
        if amount < 0:
            return gohttp.failure(500, "Invalid payment amount")
        return gohttp.document(decision(float(amount), self._limit))

    async def _health(self, _request: web.Request) -> web.Response:
        return gohttp.document(gohttp.health({"payment": True}, now_ns=time.time_ns()))

    async def _metrics(self, _request: web.Request) -> web.Response:
        return gohttp.response(200, self._durations.text().encode(), CONTENT_TYPE)


def decision(amount: float, limit: float) -> dict[str, object]:
    """Both are taken as float32, as the original computes: exactly the limit passes."""
    if Float32(amount).nearest() <= Float32(limit).nearest():
        return {"authorised": True, "message": "Payment authorised"}
    return {"authorised": False, "message": f"Payment declined: amount exceeds {limit:.2f}"}


def _labels(request: web.Request, status: int) -> tuple[str, ...]:
    return request.method, _ROUTES.get(request.path, "other"), str(status), "false"
