"""A NACK, told to people: in the log, and as a Warning Event on the objects it comes from."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from plait.delivery.metrics import SHORT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plait.delivery.builder import Refusal
    from plait.delivery.objects import Objects

log = logging.getLogger(__name__)

_WORDS = {"cds": "cluster", "eds": "endpoints", "lds": "listener", "rds": "route configuration", "sds": "secret"}
REASON = "ProxyRejected"


class Records(Protocol):
    """The part of `plait.kube.recorder.Recorder` that is needed."""

    def record(self, obj: Mapping[str, Any], *, reason: str, message: str, type: str, field: str = "") -> None:  # noqa: A002
        """See Recorder."""
        ...


def tell(refusal: Refusal, objects: Objects, recorder: Records) -> None:
    """Log it and note the Events. The Event does not name the proxy: a hundred proxies make one Event, counted."""
    short = SHORT.get(refusal.type_url, refusal.type_url)
    what = f"{_WORDS.get(short, short)} {', '.join(refusal.names) or '(unnamed)'}"
    log.warning(
        "NACK: proxy %s refused %s from %s: %s",
        refusal.proxy,
        what,
        ", ".join(refusal.origins) or "no object",
        refusal.message,
    )
    for origin in refusal.origins:
        obj = objects.find(origin)
        if obj is not None:
            message = f"Envoy refused {what}, the version before stays in use: {refusal.message}"
            recorder.record(obj, reason=REASON, message=message, type="Warning")
