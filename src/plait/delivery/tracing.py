"""What a proxy refused, traced to the objects that it was made from."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, TypeAlias

from plait.api.meta import ObjectKey
from plait.delivery.follower import Refusal
from plait.proxy.words import together

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.delivery.engine import Engine
    from plait.delivery.frames import Refused

#: Envoy's words for a port that it cannot have.
_TAKEN: Final = "cannot bind"
#: Refusals remembered, for proxies that are slower to refuse the same.
_TRACES: Final = 64

Found: TypeAlias = tuple[tuple[str, str], ...]
"""Name and version of each resource."""


class Tracer:
    """Asks the engine, and has it take an EnvoyFilter out of service that made what is refused."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        #: By what was refused, the latest last.
        self._traces: OrderedDict[tuple[str, Found], Refusal] = OrderedDict()

    def refusal(
        self, frame: Refused, who: str, culprits: Callable[[str, Found, tuple[str, ...]], tuple[str, ...]] | None
    ) -> Refusal:
        """What to say of a NACK. `culprits` chooses, of the objects that resources were made from, those at fault."""
        found = _found(frame)
        known = {o: None for name, version in found for o in self._engine.origin_of(frame.type_url, name, version)}
        origins: tuple[str, ...] = tuple(known)
        if culprits is not None:
            origins = culprits(frame.type_url, found, origins)
        paths = {origin: self._path(origin, frame.type_url, found) for origin in known}
        message = " ".join(together(frame.message, frame.names).split())
        # A port that somebody else has is no fault of what is said about it.
        taken = _TAKEN in message
        if withdrawn := "" if taken else self._engine.refused(frame.type_url, found, message):
            message += f" ({withdrawn} is out of service until it changes)"
            origins = (withdrawn,)
        return Refusal(
            proxy=who,
            type_url=frame.type_url,
            names=frame.names,
            message=message,
            origins=origins,
            paths=tuple(paths.get(origin, "") for origin in origins),
            withdrawn=bool(withdrawn),
        )

    def as_first_told(self, refusal: Refusal, frame: Refused) -> Refusal:
        """With the objects that another proxy's refusal of the same versions was traced to, where these are gone.

        Only for those who read of it: by now the objects may be others, which no proxy has refused yet.
        """
        key = (refusal.type_url, _found(frame))
        if refusal.origins:
            self._traces[key] = refusal
            self._traces.move_to_end(key)
            if len(self._traces) > _TRACES:
                self._traces.popitem(last=False)
        elif (first := self._traces.get(key)) is not None:
            return replace(refusal, origins=first.origins, paths=first.paths)
        return refusal

    def _path(self, origin: str, type_url: str, found: Found) -> str:
        key = ObjectKey.parse(origin)
        paths = (self._engine.path_of(key, type_url, name, version) for name, version in found)
        return next((path for path in paths if path), "")


def _found(frame: Refused) -> Found:
    return tuple(zip_longest(frame.names, frame.versions, fillvalue=""))
