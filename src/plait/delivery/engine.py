"""What the builder needs of the core, so that it can be fed by another than `plait.xds.engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plait.mesh.node import ProxyNode
    from plait.xds.resource import ViewUpdate


class Engine(Protocol):
    """Objects in, changes of views out; pure and synchronous."""

    def apply(self, changes: Iterable[Any]) -> None:
        """Take in `plait.xds.engine` changes."""
        ...

    def attach(self, node: ProxyNode) -> tuple[str, ...]:
        """The views of a proxy; they live until as many `detach`."""
        ...

    def detach(self, node: ProxyNode) -> None:
        """One proxy less."""
        ...

    def moved(self) -> tuple[tuple[ProxyNode, tuple[str, ...]], ...]:
        """Attached proxies whose views are others since the last call; to be called before `take`."""
        ...

    def take(self) -> tuple[ViewUpdate, ...]:
        """What changed in live views since the last take; the first for a view is complete."""
        ...

    def origin_of(self, type_url: str, name: str) -> tuple[str, ...]:
        """Objects that contributed to a resource, as `Kind/namespace/name`."""
        ...
