"""Objects that the cache knows from an own write alone, and that no watch confirmed in time, are asked for again.

It takes a write, a lost watch and a deletion before the next list for such an object to stay for ever: no watch ever
tells of the end of what it never told of. So it is asked for until a watch tells of it, however long that takes, or it
is gone.
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
        uid = self._cache.unconfirmed(kind, ref)
        if uid is None:
            return None
        try:
            await self._writes.fetch(kind, ref.name, ref.namespace or None)
        except NotFound:
            self._cache.lost(kind, ref, uid)
            return None
        return self._patience
