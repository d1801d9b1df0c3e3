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
from typing import Any, Final, TypeAlias

from plait.kit.alike import alike

Key: TypeAlias = tuple[Hashable, ...]
"""Names a fragment or an entry of the source; the first element is its kind."""

_CLEAN, _SUSPECT, _DIRTY = 0, 1, 2

_Run: TypeAlias = "tuple[Sequence[Key], list[_Cell]]"
"""Fragments that were asked for together, and their cells."""

_NO_RUN: Final[_Run] = ((), [])


class Tracker:
    """What a fragment's function sees: everything it looks at is written down."""

    __slots__ = ("_before", "_memo", "keys", "needs", "run")

    def __init__(self, memo: Memo, before: _Run) -> None:
        self._memo = memo
        self._before = before
        self.keys: dict[Key, None] = {}
        self.needs: dict[_Cell, None] = {}
        self.run: _Run = _NO_RUN

    def read(self, key: Key) -> Any:
        """The source's entry for `key`, or None."""
        self.keys[key] = None
        return self._memo.source(key)

    def need(self, fragment: Key) -> Any:
        """The up-to-date value of another fragment."""
        cell = self._memo.current(fragment)
        self.needs[cell] = None
        return cell.value

    def need_all(self, fragments: Sequence[Key]) -> list[Any]:
        """The up-to-date values of many fragments: what a join of a thousand parts is made from."""
        cells = self._memo.current_run(fragments, self._before)
        self.run = fragments, cells
        self.needs.update(dict.fromkeys(cells))
        return [cell.value for cell in cells]


@dataclass(slots=True, eq=False)
class _Cell:
    """A fragment's value. Cells refer to each other, since keys are deep tuples, and hashing one costs more than most
    else that is done with it. `run` is what the last `need_all` asked for.
    """

    key: Key
    value: Any
    computed: int
    changed: int
    keys: tuple[Key, ...] = ()
    needs: tuple[_Cell, ...] = ()
    run: _Run = _NO_RUN
    state: int = _CLEAN
    pins: int = 0
    parents: set[_Cell] = field(default_factory=set)


class Memo:
    """Fragments, their values, and who reads what.

    `compute(fragment, tracker)` is the one function that makes values; it must be pure and must not fail for any
    content of the source. `source` answers a source key with the current entry.
    """

    def __init__(self, compute: Callable[[Key, Tracker], Any], source: Callable[[Key], Any]) -> None:
        self.source = source
        self._compute = compute
        self._cells: dict[Key, _Cell] = {}
        self._readers: dict[Key, set[_Cell]] = {}
        self._epoch = 0
        self._touched: set[_Cell] = set()
        self._orphans: set[_Cell] = set()
        #: How often a fragment of each kind was computed: what the cost tests count.
        self.computed: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._cells)

    def invalidate(self, keys: Iterable[Key]) -> None:
        """Say that these entries of the source have changed."""
        self._epoch += 1
        pending: list[_Cell] = []
        for key in keys:
            for cell in self._readers.get(key, ()):
                if cell.state != _DIRTY:
                    if cell.state == _CLEAN:
                        pending.append(cell)
                    cell.state = _DIRTY
                    self._touched.add(cell)
        while pending:
            for parent in pending.pop().parents:
                if parent.state == _CLEAN:
                    parent.state = _SUSPECT
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
        return self._above(keys, since)

    def standing_on(self, keys: Iterable[Key]) -> set[Key]:
        """Every fragment that reads one of `keys`, directly or through others."""
        return self._above(keys, -1)

    def _above(self, keys: Iterable[Key], since: int) -> set[Key]:
        found: set[_Cell] = set()
        pending = [cell for key in keys for cell in self._readers.get(key, ())]
        while pending:
            cell = pending.pop()
            if cell not in found and cell.changed > since:
                found.add(cell)
                pending.extend(cell.parents)
        return {cell.key for cell in found}

    def take_touched(self) -> set[Key]:
        """Fragments that may have changed since the last call; some may be gone by now."""
        touched, self._touched = self._touched, set()
        return {cell.key for cell in touched}

    def __contains__(self, fragment: Key) -> bool:
        return fragment in self._cells

    def get(self, fragment: Key) -> Any:
        """The value of `fragment`, brought up to date."""
        return self.current(fragment).value

    def current(self, fragment: Key) -> _Cell:
        """The cell of `fragment`, brought up to date: for the Tracker."""
        cell = self._cells.get(fragment)
        if cell is None:
            return self._make(fragment)
        if cell.state != _CLEAN:
            self._update(cell)
        return cell

    def current_run(self, fragments: Sequence[Key], before: _Run) -> list[_Cell]:
        """The cells of many, brought up to date. What is as it was in `before` is not looked up again: who asks still
        holds it.
        """
        asked, known = before
        start, end = alike(asked, fragments)
        kept = [*known[:start], *known[len(known) - end :]]
        for cell in [cell for cell in kept if cell.state != _CLEAN]:
            self._update(cell)
        kept[start:start] = map(self.current, fragments[start : len(fragments) - end])
        return kept

    def _update(self, cell: _Cell) -> None:
        """Bring a cell up to date that may not be."""
        if cell.state == _SUSPECT and not self._needs_changed(cell):
            cell.state = _CLEAN
        else:
            self._remake(cell)

    def _needs_changed(self, cell: _Cell) -> bool:
        """Bring what a suspect stands on up to date, in the order it was read, until one proves to have changed."""
        computed = cell.computed
        for below in cell.needs:
            if below.state != _CLEAN:
                self._update(below)
            if below.changed > computed:
                return True
        return False

    def _make(self, fragment: Key) -> _Cell:
        tracker = Tracker(self, _NO_RUN)
        value = self._run(fragment, tracker)
        cell = _Cell(fragment, value, self._epoch, self._epoch)
        self._cells[fragment] = cell
        self._orphans.add(cell)
        self._bind(cell, tracker)
        return cell

    def _remake(self, cell: _Cell) -> None:
        tracker = Tracker(self, cell.run)
        value = self._run(cell.key, tracker)
        if value != cell.value:
            cell.value = value
            cell.changed = self._epoch
        cell.computed = self._epoch
        cell.state = _CLEAN
        self._bind(cell, tracker)

    def _run(self, fragment: Key, tracker: Tracker) -> Any:
        self.computed[str(fragment[0])] += 1
        return self._compute(fragment, tracker)

    def _bind(self, cell: _Cell, tracker: Tracker) -> None:
        """Write down what the last computation read, replacing what the one before had read."""
        keys, needs = tuple(tracker.keys), tuple(tracker.needs)
        cell.run = tracker.run
        if keys != cell.keys:
            self._unread(cell, [key for key in cell.keys if key not in tracker.keys])
            for key in keys:
                self._readers.setdefault(key, set()).add(cell)
            cell.keys = keys
        if needs != cell.needs:
            before, now = differing(cell.needs, needs)
            for need in now:
                need.parents.add(cell)
                self._orphans.discard(need)
            self._unneed(cell, [need for need in before if need not in tracker.needs])
            cell.needs = needs

    def _unread(self, cell: _Cell, keys: Iterable[Key]) -> None:
        for key in keys:
            readers = self._readers[key]
            readers.discard(cell)
            if not readers:
                del self._readers[key]

    def _unneed(self, cell: _Cell, needs: Iterable[_Cell]) -> None:
        for need in needs:
            need.parents.discard(cell)
            self._check_orphan(need)

    def _check_orphan(self, cell: _Cell) -> None:
        if not cell.parents and cell.pins == 0:
            self._orphans.add(cell)

    def pin(self, fragment: Key) -> None:
        """Keep `fragment` (computed now if need be) until as many `unpin` calls."""
        cell = self.current(fragment)
        cell.pins += 1
        self._orphans.discard(cell)

    def unpin(self, fragment: Key) -> None:
        """Undo one `pin`."""
        cell = self._cells[fragment]
        cell.pins -= 1
        self._check_orphan(cell)

    def sweep(self) -> None:
        """Drop every fragment that nothing pins and no living fragment needs."""
        while self._orphans:
            cell = self._orphans.pop()
            del self._cells[cell.key]
            self._unread(cell, cell.keys)
            self._unneed(cell, cell.needs)

    def sources(self, fragment: Key) -> Iterator[Key]:
        """Every key of the source that `fragment` was made from, directly or through others; may repeat."""
        first = self._cells.get(fragment)
        seen: set[_Cell] = set()
        pending = [first] if first is not None else []
        while pending:
            cell = pending.pop()
            if cell not in seen:
                seen.add(cell)
                yield from cell.keys
                pending.extend(cell.needs)


def differing(before: tuple[_Cell, ...], now: tuple[_Cell, ...]) -> tuple[tuple[_Cell, ...], tuple[_Cell, ...]]:
    """Both without what they begin and end with alike."""
    start, end = alike(before, now)
    return before[start : len(before) - end], now[start : len(now) - end]
