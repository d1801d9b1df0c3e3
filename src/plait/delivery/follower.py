"""What the builder tells about its publications and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from plait.delivery.frames import Alike
    from plait.delivery.proxies import Proxy
    from plait.xds.carriage import Carried
    from plait.xds.resource import ViewUpdate


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A NACK: which proxy refused which resources, why, and the objects (`Kind/namespace/name`) they come from.

    `paths` are the places in these objects, empty where unknown; `withdrawn` says that the object is out of service.
    """

    proxy: str
    type_url: str
    names: tuple[str, ...]
    message: str
    origins: tuple[str, ...]
    paths: tuple[str, ...] = ()
    withdrawn: bool = False


class Follower(Protocol):
    """Who follows what becomes of objects (`settled.settling.Settling`); must not wait."""

    def bind(self, send: Callable[[int, tuple[ViewUpdate, ...]], None]) -> None:
        """How to change the resources that only one proxy has."""
        ...

    def serving(self) -> None:
        """Delivery serves; every proxy will connect anew."""
        ...

    def published(self, batch: int, updates: Sequence[ViewUpdate], carried: Sequence[Carried]) -> None:
        """A publication went out, or turned out to change nothing."""
        ...

    def connected(self, proxy: Proxy) -> tuple[ViewUpdate, ...]:
        """A proxy came; its own resources."""
        ...

    def placed(self, proxy: Proxy, batch: int) -> None:
        """A proxy has other views."""
        ...

    def disconnected(self, connection: int) -> None:
        """A stream is over."""
        ...

    def progressed(self, streams: Iterable[Alike]) -> None:
        """Where streams stand."""
        ...

    def culprits(self, type_url: str, found: Iterable[tuple[str, str]], origins: Sequence[str]) -> tuple[str, ...]:
        """Of the objects that refused resources come from, those to be blamed."""
        ...

    def refused(self, connection: int, refusal: Refusal) -> None:
        """A proxy refused something."""
        ...


class Registers(Protocol):
    """Who keeps the objects that stand for connected proxies (`joining.Registrar`); must not wait."""

    def serving(self) -> None:
        """Delivery serves; every proxy will connect anew."""
        ...

    def connected(self, proxy: Proxy) -> None:
        """A proxy came."""
        ...

    def disconnected(self, connection: int) -> None:
        """A stream is over."""
        ...

    def reported(self, connection: int, fault: str) -> None:
        """A client said how the program beside it is; empty: well."""
        ...
