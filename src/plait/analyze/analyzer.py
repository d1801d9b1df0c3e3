"""What every analyzer is: which objects it judges, what it can say, and a function of one object and the world."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from plait.analyze.finding import Finding
from plait.analyze.kinds import Kind
from plait.analyze.messages import Message
from plait.analyze.world import Item, World

Check: TypeAlias = Callable[[World, Item], Iterable[Finding]]
"""The findings about one object, by the whole world."""


@dataclass(frozen=True, kw_only=True)
class Analyzer:
    """One rule or a few that belong together. `name` is Istio's where Istio has it.

    `subjects` are the kinds of objects `check` is called for. `about` has findings that belong to no object of the
    API (settings of the mesh). An analyzer that is not `usual` runs only when it is named.
    """

    name: str
    messages: tuple[Message, ...]
    subjects: tuple[Kind, ...] = ()
    check: Check | None = None
    about: Callable[[World], Iterable[Finding]] | None = None
    usual: bool = True

    def run(self, world: World) -> Iterator[Finding]:
        """Its findings about every object."""
        if self.check is not None:
            for item in world.all(*self.subjects):
                yield from self.check(world, item)
        if self.about is not None:
            yield from self.about(world)


def found(
    message: Message,
    item: Item,
    path: str = "",
    *,
    fix: str = "",
    value: object = None,
    also: Iterable[str] = (),
    **fields: object,
) -> Finding:
    """A finding about `item`, its text filled in with `fields`."""
    return Finding(
        message=message,
        object=item.key,
        text=message.text.format(**fields),
        path=path,
        fix=fix,
        value=value,
        also=tuple(also),
        cluster=item.cluster,
        group=item.kind[0],
    )
