"""A large resource that is much as it was goes to delivery as what is new in it: delivery has the rest.

A route table is one resource, and a change touches one of its hundred virtual hosts; with a hundred views that made
10 MB of one change. One that is made in parts says itself which are new; of others the bytes are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from plait.xds.resource import Resource, ViewUpdate

if TYPE_CHECKING:
    from plait.delivery.store import ViewStore

#: Bytes from which on it is worth a look.
_LARGE: Final = 4 << 10
#: A resource's beginning has its version and sizes, which are never as they were.
_HEAD: Final = 256
_STEP: Final = 4 << 10


class Spliced(msgspec.Struct, frozen=True):
    """A resource of a view: `head`, what the one before has after that up to `start`, `middle`, and its last `end`
    bytes.
    """

    view: str
    type_url: str
    name: str
    version: str
    head: bytes
    start: int
    middle: bytes
    end: int


class Woven(msgspec.Struct, frozen=True):
    """A resource of a view in parts: the number of one that the resource of this name in the view `base` has, which may
    be another view, or one of those that have come with it, counted from -1 down.
    """

    view: str
    base: str
    type_url: str
    name: str
    version: str
    parts: tuple[int, ...]


class Fresh:
    """Parts that are new in some resources that travel together, each once."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self._numbers: dict[int, int] = {}

    def number(self, part: bytes) -> int:
        """The number of a part, which is the same object wherever it is in."""
        found = self._numbers.get(id(part))
        if found is None:
            self.parts.append(part)
            self.size += len(part)
            found = self._numbers[id(part)] = -len(self.parts)
        return found


def weave(view: str, base: str, old: Resource, new: Resource, fresh: Fresh) -> Woven | None:
    """`new` as it is made from `old`, which is in `base`; None where it is not in parts that both have."""
    if isinstance(old.content, bytes) or isinstance(new.content, bytes):
        return None
    numbers = {id(part): number for number, part in enumerate(old.content)}
    if not any(id(part) in numbers for part in new.content):
        return None
    parts = tuple([numbers[id(p)] if id(p) in numbers else fresh.number(p) for p in new.content])
    return Woven(view, base, new.type_url, new.name, new.version, parts)


def unwoven(store: ViewStore, woven: Woven, fresh: tuple[bytes, ...]) -> ViewUpdate:
    """The update of its view that has the resource whole."""
    old = store.view(woven.base).head(woven.type_url).resources[woven.name].parts
    parts = tuple([old[number] if number >= 0 else fresh[-1 - number] for number in woven.parts])
    return ViewUpdate(woven.view, woven.type_url, (Resource(woven.type_url, woven.name, woven.version, parts),))


def splice(view: str, old: Resource, new: Resource) -> Spliced | None:
    """`new` as it is made from `old`; None where it is small, or mostly new."""
    before, now = old.encoded, new.encoded
    most = min(len(before), len(now)) - _HEAD
    if most < _LARGE:
        return None
    start = _HEAD + _alike(before, now, _HEAD, most)
    end = _alike(before, now, -1, most + _HEAD - start)
    middle = now[start : len(now) - end]
    if len(middle) > len(now) // 2:
        return None
    return Spliced(view, new.type_url, new.name, new.version, now[:_HEAD], start, middle, end)


def restored(store: ViewStore, spliced: Spliced) -> ViewUpdate:
    """The update of its view that has the resource whole."""
    old = store.view(spliced.view).head(spliced.type_url).resources[spliced.name].encoded
    whole = memoryview(old)
    encoded = b"".join((spliced.head, whole[_HEAD : spliced.start], spliced.middle, whole[len(old) - spliced.end :]))
    return ViewUpdate(
        spliced.view, spliced.type_url, (Resource(spliced.type_url, spliced.name, spliced.version, encoded),)
    )


def _alike(one: bytes, two: bytes, start: int, most: int) -> int:
    """How many bytes, at most `most`, are the same from `start` on; with -1 from the end backwards."""
    found, step = 0, _STEP
    while step:
        if found + step > most:
            step //= 2
        elif start >= 0:
            at = start + found
            if one[at : at + step] == two[at : at + step]:
                found += step
            else:
                step //= 2
        elif one[len(one) - found - step : len(one) - found] == two[len(two) - found - step : len(two) - found]:
            found += step
        else:
            step //= 2
    return found
