"""A publication on its way to delivery, in pieces: delivery works on the first while the core is at the next."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from plait.delivery.frames import Fill
from plait.delivery.splices import Spliced, splice
from plait.xds.resource import Resource, ViewUpdate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plait.delivery.store import ViewStore

#: Bytes of resources, and views, after which a frame is large enough: delivery works on it while the next is made.
_PIECE = 256 << 10
_VIEWS = 8


def pieces(updates: Iterable[ViewUpdate], known: ViewStore, since: float | None) -> Iterator[Fill]:
    """A publication in pieces, at least one, each of whole views, with large resources as they differ from those in
    `known`, which is brought up to date. `updates` have those of a view together.
    """
    piece: list[ViewUpdate] = []
    parts: list[Spliced] = []
    size = views = 0
    for view, of_view in groupby(updates, key=lambda update: update.view):
        if size > _PIECE or views >= _VIEWS:
            yield Fill(tuple(piece), since, spliced=tuple(parts))
            piece, parts, size, views = [], [], 0, 0
        views += 1
        for update in of_view:
            before = known.view(view).head(update.type_url).resources
            whole: list[Resource] = []
            for resource in update.upserts:
                old = before.get(resource.name)
                if old is not None and (part := splice(view, old, resource)) is not None:
                    parts.append(part)
                    size += len(part.middle)
                else:
                    whole.append(resource)
                    size += len(resource.encoded)
            known.apply((update,))
            if len(whole) == len(update.upserts):
                piece.append(update)
            elif whole or update.removed:
                piece.append(ViewUpdate(view, update.type_url, tuple(whole), update.removed))
    yield Fill(tuple(piece), since, spliced=tuple(parts))
