"""A NACK, told to people: in the log, and as a Warning Event on the objects it comes from."""

from __future__ import annotations

import logging
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Protocol

from plait.delivery.metrics import SHORT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plait.delivery.builder import Refusal
    from plait.delivery.objects import Objects

log = logging.getLogger(__name__)

_WORDS = {
    "cds": "cluster",
    "eds": "endpoints",
    "lds": "listener",
    "rds": "route configuration",
    "ecds": "filter",
    "sds": "secret",
}
REASON = "ProxyRejected"
_SHOWN = 3


class Records(Protocol):
    """The part of `plait.kube.recorder.Recorder` that is needed."""

    def record(self, obj: Mapping[str, Any], *, reason: str, message: str, type: str, field: str = "") -> None:  # noqa: A002
        """See Recorder."""
        ...


def tell(refusal: Refusal, objects: Objects, recorder: Records) -> None:
    """Log it and note the Events. The Event does not name the proxy: a hundred proxies make one Event, counted."""
    short = SHORT.get(refusal.type_url, refusal.type_url)
    what = f"{_WORDS.get(short, short)} {_named(refusal.names)}"
    log.warning(
        "NACK: proxy %s refused %s from %s: %s",
        refusal.proxy,
        what,
        ", ".join(f"{origin} {path}".rstrip() for origin, path in _places(refusal)) or "no object",
        refusal.message,
    )
    for origin, path in _places(refusal):
        obj = objects.find(origin)
        if obj is not None:
            where = f"{path}: " if path else ""
            message = f"{where}Envoy refused {what}, the version before stays in use: {refusal.message}"
            recorder.record(obj, reason=REASON, message=message, type="Warning", field=path)


def _named(names: Sequence[str]) -> str:
    """The first few: the end of a long Event is cut off, and at the end stand Envoy's own words."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "") or "(unnamed)"


def _places(refusal: Refusal) -> list[tuple[str, str]]:
    """Each object, with the place in it as far as it is known."""
    return list(zip_longest(refusal.origins, refusal.paths, fillvalue=""))
