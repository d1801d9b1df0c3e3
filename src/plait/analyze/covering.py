"""Which earlier match of an HTTP route covers a later one, found without comparing each with each.

One object may have thousands of matches. What a wider match must have in common with a narrower one is looked up; only
those that are found so are compared in full.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from plait.analyze.fields import mapping, number, text


class Covering(NamedTuple):
    """An earlier match: the number of its rule, its own within that, and its prefix."""

    rule: int
    place: int
    prefix: str


class Prefixes:
    """Matches by a prefix of the path, as Istio compares them.

    Istio: an earlier match covers a later one whose prefix begins with its own, where both ask for the same port,
    headers and parameters by name, and each text of the earlier begins with that of the later.
    """

    def __init__(self) -> None:
        self._alike: dict[Hashable, _Alike] = {}

    def add(self, rule: int, place: int, match: dict[str, Any]) -> None:
        """A match that has a prefix."""
        names, forms = _wanted(match)
        self._alike.setdefault(names, _Alike()).add(forms, Covering(rule, place, text(match, "uri", "prefix")))

    def shorter(self, match: dict[str, Any]) -> Iterator[Covering]:
        """Those with a shorter prefix that cover `match`, in no order."""
        names, forms = _wanted(match)
        alike = self._alike.get(names)
        return iter(()) if alike is None else alike.shorter(text(match, "uri", "prefix"), forms)


class _Alike:
    """Matches that ask for the same things by name, by prefix and sorted by what they want of them."""

    def __init__(self) -> None:
        self._lengths = Lengths()
        self._sorted: dict[str, list[tuple[tuple[str, ...], Covering]]] = {}

    def add(self, forms: tuple[str, ...], one: Covering) -> None:
        self._lengths.add(one.prefix)
        insort(self._sorted.setdefault(one.prefix, []), (forms, one))

    def shorter(self, prefix: str, forms: tuple[str, ...]) -> Iterator[Covering]:
        for part in self._lengths.beginnings(prefix):
            known = self._sorted.get(part)
            if known is None or part == prefix:
                continue
            # Texts that begin with another one follow it in order.
            for place in range(bisect_left(known, (forms[:1],)), len(known)):
                wanted, one = known[place]
                if not wanted[0].startswith(forms[0]):
                    break
                if all(mine.startswith(other) for mine, other in zip(wanted, forms, strict=True)):
                    yield one


class Lengths:
    """Which lengths some texts have, so that of another only such beginnings are looked up."""

    def __init__(self) -> None:
        self._sorted: list[int] = []

    def add(self, content: str) -> None:
        """A text to be found by those that begin with it."""
        place = bisect_left(self._sorted, len(content))
        if self._sorted[place : place + 1] != [len(content)]:
            self._sorted.insert(place, len(content))

    def beginnings(self, content: str) -> Iterator[str]:
        """The beginnings of a text that have one of the lengths, itself included."""
        for length in self._sorted:
            if length > len(content):
                return
            yield content[:length]


_MAPS: Final = ("headers", "queryParams", "withoutHeaders")


def _wanted(match: dict[str, Any]) -> tuple[Hashable, tuple[str, ...]]:
    """What both sides must have the same, and the texts of which the earlier may say more.

    What tells most matches of one path apart comes first: a header or a parameter, if there is any.
    """
    maps = [sorted(mapping(match, field).items()) for field in _MAPS]
    forms = [form_of(value) for entries in maps for _, value in entries]
    forms += [form_of(mapping(match, "authority")), form_of(mapping(match, "method")) or "exact:GET"]
    return (number(match, "port"), *(tuple(name for name, _ in entries) for entries in maps)), tuple(forms)


def form_of(match: object) -> str:
    """A comparison as Istio compares it with others: one by a pattern is any."""
    if text(match, "exact"):
        return "exact:" + text(match, "exact")
    return "prefix:" + text(match, "prefix") if text(match, "prefix") else ""


class Conditions:
    """Single conditions on requests (a text each: path, header, …) and the texts that fulfil them for certain."""

    def __init__(self) -> None:
        self._lengths: dict[Hashable, Lengths] = {}

    def wanted(self, about: Hashable, match: object, *, blind: bool = False) -> Hashable | None:
        """What another comparison must be found by, if it is to be at least as narrow; None where any may be.

        `blind` keeps letters in lower case, for texts that may be compared so.
        """
        if not isinstance(match, dict) or not match or match.get("regex") == ".*":
            return None
        kind = next((kind for kind in ("regex", "exact") if kind in match), "prefix")
        content = text(match, kind)
        return about, kind, content.lower() if blind and kind != "regex" else content

    def learn(self, key: Hashable) -> None:
        """A condition that `wanted` gave is to be found from now on."""
        if isinstance(key, tuple) and key[1] == "prefix":
            self._lengths.setdefault(key[0], Lengths()).add(key[2])

    def fulfilled(self, about: Hashable, match: object, *, blind: bool = False) -> Iterator[Hashable]:
        """The conditions that whatever fulfils this comparison fulfils too, and maybe a few more."""
        if not isinstance(match, dict):
            return
        if "regex" in match:
            yield about, "regex", text(match, "regex")
        lengths = self._lengths.get(about)
        for kind in ("exact", "prefix"):
            if kind in match:
                content = text(match, kind).lower() if blind else text(match, kind)
                if kind == "exact":
                    yield about, kind, content
                yield from ((about, "prefix", part) for part in (lengths.beginnings(content) if lengths else ()))


def fewest(keys: Iterable[Hashable], table: dict[Hashable, list[Any]]) -> Hashable:
    """The key with the fewest entries in a table; None where there is no key."""
    return min(keys, key=lambda key: len(table.get(key, ())), default=None)
