"""What the builder needs of the core, so that it can be fed by another than `plait.xds.engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plait.api.meta import ObjectKey
    from plait.api.problem import Problem
    from plait.mesh.node import ProxyNode
    from plait.xds.carriage import Carried
    from plait.xds.resource import ViewUpdate


class Engine(Protocol):
    """Objects in, changes of views out; pure and synchronous."""

    def apply(self, changes: Iterable[Any], *, patient: bool = False) -> None:
        """Take in `plait.xds.engine` changes; with `patient` those of which the other half is missing wait."""
        ...

    @property
    def held(self) -> frozenset[Any]:
        """The keys of what waits for its other half."""
        ...

    def release(self, keys: Iterable[Any]) -> None:
        """Let these wait no longer."""
        ...

    def keys_came(self, source: Any, keys: str | None) -> None:
        """Keys for tokens were fetched; None: in vain."""
        ...

    def keys_forgotten(self, source: Any) -> None:
        """Nobody wants them any more."""
        ...

    def attach(self, node: ProxyNode) -> tuple[str, ...]:
        """The views of a proxy; they live until as many `detach`."""
        ...

    def detach(self, node: ProxyNode) -> None:
        """One proxy less."""
        ...

    def moved(self) -> tuple[tuple[ProxyNode, tuple[str, ...]], ...]:
        """Attached proxies whose views are others since the last call; to be called before `taking`."""
        ...

    def taking(self) -> Iterable[ViewUpdate]:
        """What changed in live views since the last take, those of a view together and as they become known; the first
        for a view is complete. To be used up before anything else is asked.
        """
        ...

    def carried(self) -> tuple[Carried, ...]:
        """The objects that changed before the last take, and the views it told of because of them; told once."""
        ...

    def concerned(self, key: ObjectKey) -> frozenset[str]:
        """The live views that an object has a part in."""
        ...

    def problems_of(self, key: ObjectKey) -> tuple[Problem, ...]:
        """What is wrong with an object in itself."""
        ...

    def path_of(self, key: ObjectKey, type_url: str, name: str, version: str = "") -> str:
        """The path in an object that a resource comes from, if it can be told."""
        ...

    def refused(self, type_url: str, resources: Iterable[tuple[str, str]], reason: str) -> str:
        """A proxy refused resources (name and version): the object taken out of service for it, if there is one."""
        ...

    def origin_of(self, type_url: str, name: str, version: str = "") -> tuple[str, ...]:
        """Objects that contributed to a resource, as `Kind/namespace/name`."""
        ...
