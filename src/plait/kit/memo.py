"""Results that know what they were made from, so that a change recomputes what depends on it and nothing else.

A *fragment* is a key (a tuple whose first element names its kind) and a pure function of what it reads: entries of a
*source* (the snapshot) and other fragments. The memo keeps each fragment's value with the keys it read, and an inverted
index from source keys to fragments. `invalidate(keys)` marks what read those keys as dirty and what stands on that as
suspect; `get` brings one fragment up to date. A recomputed fragment with an equal value counts as unchanged, so what
stands on it is not recomputed: that is where propagation stops.

Fragments live as long as something pins them or a living fragment needs them; `sweep` drops the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from plait.kit.alike import alike

Key: TypeAlias = tuple[Hashable, ...]
"""Names a fragment or an entry of the source; the first element is its kind."""

_CLEAN, _SUSPECT, _DIRTY = 0, 1, 2


class Tracker:
    """What a fragment's function sees: everything it looks at is written down."""

    __slots__ = ("_memo", "keys", "needs")

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self.keys: dict[Key, None] = {}
        self.needs: dict[Key, None] = {}

    def read(self, key: Key) -> Any:
        """The source's entry for `key`, or None."""
        self.keys[key] = None
        return self._memo.source(key)

    def need(self, fragment: Key) -> Any:
        """The up-to-date value of another fragment."""
        self.needs[fragment] = None
        return self._memo.get(fragment)

    def need_all(self, fragments: Sequence[Key]) -> list[Any]:
        """The up-to-date values of many fragments: what a join of a thousand parts is made from."""
        self.needs.update(dict.fromkeys(fragments))
        return self._memo.get_all(fragments)


@dataclass(slots=True, eq=False)
class _Cell:
    value: Any
    keys: tuple[Key, ...]
    needs: tuple[Key, ...]
    computed: int
    changed: int
    state: int = _CLEAN
    pins: int = 0
    parents: set[Key] = field(default_factory=set)


class Memo:
    """Fragments, their values, and who reads what.

    `compute(fragment, tracker)` is the one function that makes values; it must be pure and must not fail for any
    content of the source. `source` answers a source key with the current entry.
    """

    def __init__(self, compute: Callable[[Key, Tracker], Any], source: Callable[[Key], Any]) -> None:
        self.source = source
        self._compute = compute
        self._cells: dict[Key, _Cell] = {}
        self._readers: dict[Key, set[Key]] = {}
        self._epoch = 0
        self._touched: set[Key] = set()
        self._orphans: set[Key] = set()
        #: How often a fragment of each kind was computed: what the cost tests count.
        self.computed: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._cells)

    def invalidate(self, keys: Iterable[Key]) -> None:
        """Say that these entries of the source have changed."""
        self._epoch += 1
        pending: list[Key] = []
        for key in keys:
            for fragment in self._readers.get(key, ()):
                cell = self._cells[fragment]
                if cell.state != _DIRTY:
                    if cell.state == _CLEAN:
                        pending.append(fragment)
                    cell.state = _DIRTY
                    self._touched.add(fragment)
        while pending:
            for parent in self._cells[pending.pop()].parents:
                cell = self._cells[parent]
                if cell.state == _CLEAN:
                    cell.state = _SUSPECT
                    self._touched.add(parent)
                    pending.append(parent)

    @property
    def epoch(self) -> int:
        """How often something was invalidated: a point in time for `changed_by`."""
        return self._epoch

    def changed_by(self, keys: Iterable[Key], *, since: int) -> set[Key]:
        """The fragments that came out different, or are new, after epoch `since`, and that stand on `keys`.

        They must be up to date. Only what changed is walked through, so it costs what the change did.
        """
        found: set[Key] = set()
        pending = [fragment for key in keys for fragment in self._readers.get(key, ())]
        while pending:
            fragment = pending.pop()
            cell = self._cells.get(fragment)
            if fragment not in found and cell is not None and cell.changed > since:
                found.add(fragment)
                pending.extend(cell.parents)
        return found

    def standing_on(self, keys: Iterable[Key]) -> set[Key]:
        """Every fragment that reads one of `keys`, directly or through others."""
        found: set[Key] = set()
        pending = [fragment for key in keys for fragment in self._readers.get(key, ())]
        while pending:
            fragment = pending.pop()
            if fragment not in found:
                found.add(fragment)
                pending.extend(self._cells[fragment].parents)
        return found

    def take_touched(self) -> set[Key]:
        """Fragments that may have changed since the last call; some may be gone by now."""
        touched, self._touched = self._touched, set()
        return touched

    def __contains__(self, fragment: Key) -> bool:
        return fragment in self._cells

    def get(self, fragment: Key) -> Any:
        """The value of `fragment`, brought up to date."""
        cell = self._cells.get(fragment)
        if cell is None:
            return self._make(fragment).value
        if cell.state == _SUSPECT and not self._needs_changed(cell):
            cell.state = _CLEAN
        elif cell.state != _CLEAN:
            self._remake(fragment, cell)
        return cell.value

    def get_all(self, fragments: Sequence[Key]) -> list[Any]:
        """The values of many fragments, brought up to date."""
        cells, get = self._cells, self.get
        return [
            cell.value if (cell := cells.get(fragment)) is not None and cell.state == _CLEAN else get(fragment)
            for fragment in fragments
        ]

    def _needs_changed(self, cell: _Cell) -> bool:
        """Bring what a suspect stands on up to date, in the order it was read, until one proves to have changed."""
        cells = self._cells
        for need in cell.needs:
            below = cells[need]
            if below.state != _CLEAN:
                self.get(need)
            if below.changed > cell.computed:
                return True
        return False

    def _make(self, fragment: Key) -> _Cell:
        tracker = Tracker(self)
        value = self._run(fragment, tracker)
        cell = _Cell(value, (), (), self._epoch, self._epoch)
        self._cells[fragment] = cell
        self._orphans.add(fragment)
        self._bind(fragment, cell, tracker)
        return cell

    def _remake(self, fragment: Key, cell: _Cell) -> None:
        tracker = Tracker(self)
        value = self._run(fragment, tracker)
        if value != cell.value:
            cell.value = value
            cell.changed = self._epoch
        cell.computed = self._epoch
        cell.state = _CLEAN
        self._bind(fragment, cell, tracker)

    def _run(self, fragment: Key, tracker: Tracker) -> Any:
        self.computed[str(fragment[0])] += 1
        return self._compute(fragment, tracker)

    def _bind(self, fragment: Key, cell: _Cell, tracker: Tracker) -> None:
        """Write down what the last computation read, replacing what the one before had read."""
        keys, needs = tuple(tracker.keys), tuple(tracker.needs)
        if keys != cell.keys:
            self._unread(fragment, [key for key in cell.keys if key not in tracker.keys])
            for key in keys:
                self._readers.setdefault(key, set()).add(fragment)
            cell.keys = keys
        if needs != cell.needs:
            # Of a thousand needs one is new: keys cost more to hash than to compare.
            before, now = differing(cell.needs, needs)
            for need in now:
                self._cells[need].parents.add(fragment)
                self._orphans.discard(need)
            self._unneed(fragment, [need for need in before if need not in tracker.needs])
            cell.needs = needs

    def _unread(self, fragment: Key, keys: Iterable[Key]) -> None:
        for key in keys:
            readers = self._readers[key]
            readers.discard(fragment)
            if not readers:
                del self._readers[key]

    def _unneed(self, fragment: Key, needs: Iterable[Key]) -> None:
        for need in needs:
            cell = self._cells[need]
            cell.parents.discard(fragment)
            self._check_orphan(need, cell)

    def _check_orphan(self, fragment: Key, cell: _Cell) -> None:
        if not cell.parents and cell.pins == 0:
            self._orphans.add(fragment)

    def pin(self, fragment: Key) -> None:
        """Keep `fragment` (computed now if need be) until as many `unpin` calls."""
        self.get(fragment)
        self._cells[fragment].pins += 1
        self._orphans.discard(fragment)

    def unpin(self, fragment: Key) -> None:
        """Undo one `pin`."""
        cell = self._cells[fragment]
        cell.pins -= 1
        self._check_orphan(fragment, cell)

    def sweep(self) -> None:
        """Drop every fragment that nothing pins and no living fragment needs."""
        while self._orphans:
            fragment = self._orphans.pop()
            cell = self._cells.pop(fragment)
            self._unread(fragment, cell.keys)
            self._unneed(fragment, cell.needs)

    def sources(self, fragment: Key) -> Iterator[Key]:
        """Every key of the source that `fragment` was made from, directly or through others; may repeat."""
        seen: set[Key] = set()
        pending = [fragment]
        while pending:
            current = pending.pop()
            cell = self._cells.get(current)
            if cell is None or current in seen:
                continue
            seen.add(current)
            yield from cell.keys
            pending.extend(cell.needs)


def differing(before: tuple[Key, ...], now: tuple[Key, ...]) -> tuple[tuple[Key, ...], tuple[Key, ...]]:
    """Both without what they begin and end with alike."""
    start, end = alike(before, now)
    return before[start : len(before) - end], now[start : len(now) - end]
