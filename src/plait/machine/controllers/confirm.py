"""Objects that the cache knows from an own write alone, and that no watch confirmed in time, are asked for again.

It takes a write, a lost watch and a deletion in one moment for such an object to stay for ever; then this removes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.kube.errors import NotFound
from plait.machine.controllers.controller import WritingController

if TYPE_CHECKING:
    from plait.kube.kinds import Kind
    from plait.kube.reflect import Ref
    from plait.machine.controllers.cache import Cache
    from plait.machine.controllers.writes import Writes

#: Seconds; a watch takes milliseconds.
PATIENCE = 2.0


class Confirmer(WritingController):
    """Keys are (kind, ref)."""

    name = "confirm"
    workers = 1

    def __init__(self, *, cache: Cache, writes: Writes, patience: float = PATIENCE) -> None:
        super().__init__(cache=cache, writes=writes)
        self._patience = patience
        cache.on_unconfirmed = self.expect

    def expect(self, kind: Kind, ref: Ref) -> None:
        """Look after this object."""
        self.queue.add_after((kind, ref), self._patience)

    async def reconcile(self, key: tuple[Kind, Ref]) -> float | None:
        """Ask for it, unless a watch has told of it meanwhile."""
        kind, ref = key
        if not self._cache.is_unconfirmed(kind, ref):
            return None
        try:
            found = await self._writes.api.get(kind, ref.name, ref.namespace or None)
        except NotFound:
            self._cache.confirm(kind, ref, None)
        else:
            self._cache.confirm(kind, ref, found)
        return None
