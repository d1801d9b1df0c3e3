"""Proxies that go to other views: for whom of them this makes a difference.

A rule that begins to look at a label moves every proxy of its namespace to a view of another name. Most of these views
hold what the proxies had before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from plait.xds.views import ViewKey

Picture: TypeAlias = Mapping[str, Mapping[str, str]]
"""What a view holds: versions by name, by type; empty before it was told."""


class Moves:
    """Notes who goes where between two publications."""

    def __init__(self) -> None:
        self._came: dict[ViewKey, set[ViewKey]] = {}
        self._before: dict[ViewKey, Picture] = {}
        self._old: set[ViewKey] = set()

    def note(self, before: Iterable[ViewKey], after: Iterable[ViewKey], picture: Callable[[ViewKey], Picture]) -> None:
        """A proxy goes from some views to others; `picture` shows one as it was last told."""
        left = {view.side: view for view in before}
        for view in after:
            old = left.get(view.side)
            if old is not None and old != view:
                if view not in self._came and picture(view):
                    self._old.add(view)
                self._came.setdefault(view, set()).add(old)
                if old not in self._before:
                    self._before[old] = picture(old)

    def take(self, picture: Callable[[ViewKey], Picture]) -> tuple[frozenset[str], frozenset[str]]:
        """The names of views that proxies came to since the last call: those new ones that hold what all of them had
        before, and those, new or not, that do not.
        """
        came, self._came = self._came, {}
        before, self._before = self._before, {}
        old, self._old = self._old, set()
        alike = {view for view, sources in came.items() if all(before[each] == picture(view) for each in sources)}
        return frozenset(view.name for view in alike - old), frozenset(view.name for view in came.keys() - alike)
