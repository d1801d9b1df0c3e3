"""A publication on its way to delivery, in pieces: delivery works on the first while the core is at the next."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from plait.delivery.frames import Fill
from plait.delivery.splices import Fresh, Spliced, Woven, restored, splice, unwoven, weave
from plait.xds.resource import ViewUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plait.delivery.store import ViewStore
    from plait.xds.resource import Resource

#: Bytes of resources, and views, after which a frame is large enough: delivery works on it while the next is made.
_PIECE = 256 << 10
_VIEWS = 8


def pieces(updates: Iterable[ViewUpdate], known: ViewStore, since: float | None) -> Iterator[Fill]:
    """A publication in pieces, at least one, each of whole views, with large resources as they differ from those in
    `known`, which is brought up to date. `updates` have those of a view together.
    """
    piece = _Piece(known)
    for view, of_view in groupby(updates, key=lambda update: update.view):
        if piece.full:
            yield piece.fill(since)
            piece = _Piece(known)
        piece.views.add(view)
        for update in of_view:
            piece.add(update)
            known.apply((update,))
    yield piece.fill(since)


def updates_of(piece: Fill, known: ViewStore) -> tuple[ViewUpdate, ...]:
    """What a piece says, for who has what went before in `known`."""
    return (
        *piece.updates,
        *(restored(known, each) for each in piece.spliced),
        *(unwoven(known, each, piece.fresh) for each in piece.woven),
    )


class _Piece:
    """What becomes one frame. What is in it is to be made from what went before it."""

    def __init__(self, known: ViewStore) -> None:
        self.views: set[str] = set()
        self._known = known
        self._size = 0
        self._updates: list[ViewUpdate] = []
        self._spliced: list[Spliced] = []
        self._woven: list[Woven] = []
        self._fresh = Fresh()

    @property
    def full(self) -> bool:
        """Whether it is large enough."""
        return self._size + self._fresh.size > _PIECE or len(self.views) >= _VIEWS

    def add(self, update: ViewUpdate) -> None:
        """What is new in a type of a view."""
        before = self._known.view(update.view).head(update.type_url).resources
        whole: list[Resource] = []
        for resource in update.upserts:
            old = before.get(resource.name)
            if (woven := self._weave(update.view, old, resource)) is not None:
                self._woven.append(woven)
            elif old is not None and (spliced := self._splice(update.view, old, resource)) is not None:
                self._spliced.append(spliced)
                self._size += len(spliced.middle)
            else:
                whole.append(resource)
                self._size += sum(map(len, resource.parts))
        if len(whole) == len(update.upserts):
            self._updates.append(update)
        elif whole or update.removed:
            self._updates.append(ViewUpdate(update.view, update.type_url, tuple(whole), update.removed))

    def _weave(self, view: str, old: Resource | None, new: Resource) -> Woven | None:
        """From the resource before, or from that of another view that has already gone."""
        if isinstance(new.content, bytes):
            return None
        if old is not None:
            return weave(view, view, old, new, self._fresh)
        found = self._known.relative(new.type_url, new.name)
        return weave(view, *found, new, self._fresh) if found is not None and found[0] not in self.views else None

    @staticmethod
    def _splice(view: str, old: Resource, new: Resource) -> Spliced | None:
        """Only of one that is in no parts: delivery must have the same parts as we, to be told of them next time."""
        return splice(view, old, new) if isinstance(new.content, bytes) else None

    def fill(self, since: float | None) -> Fill:
        """The frame."""
        return Fill(
            tuple(self._updates),
            since,
            spliced=tuple(self._spliced),
            woven=tuple(self._woven),
            fresh=tuple(self._fresh.parts),
        )
