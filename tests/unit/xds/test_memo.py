"""The memo: recompute what depends on a change, stop where a result is equal, keep what is needed, drop the rest."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from plait.kit.memo import Key, Memo, Tracker


class Sheet:
    """A tiny spreadsheet: `sum` adds two cells, `sign` looks at the sum, `text` writes the sign."""

    def __init__(self) -> None:
        self.cells: dict[Key, int] = {("a",): 1, ("b",): 2}
        self.memo = Memo(self.compute, self.cells.get)

    def compute(self, key: Key, tracker: Tracker) -> Any:
        match key[0]:
            case "sum":
                return (tracker.read(("a",)) or 0) + (tracker.read(("b",)) or 0)
            case "sign":
                return tracker.need(("sum",)) > 0
            case "text":
                return "positive" if tracker.need(("sign",)) else f"not: {tracker.read(('c',))}"
        raise AssertionError(key)

    def set(self, name: str, value: int) -> None:
        self.cells[name,] = value
        self.memo.invalidate([(name,)])


def test_an_equal_result_stops_propagation() -> None:
    sheet = Sheet()
    assert sheet.memo.get(("text",)) == "positive"
    sheet.set("a", 5)
    assert sheet.memo.get(("text",)) == "positive"
    assert sheet.memo.computed == {"sum": 2, "sign": 2, "text": 1}


def test_what_is_read_may_change_from_one_computation_to_the_next() -> None:
    sheet = Sheet()
    sheet.memo.get(("text",))
    sheet.set("c", 1)
    assert sheet.memo.computed["text"] == 1
    sheet.set("a", -9)
    assert sheet.memo.get(("text",)) == "not: 1"
    sheet.set("c", 2)
    assert sheet.memo.get(("text",)) == "not: 2"
    assert sheet.memo.computed["sum"] == 2


def test_several_changes_before_a_look_cost_one_computation() -> None:
    sheet = Sheet()
    sheet.memo.get(("text",))
    for value in range(5):
        sheet.set("a", value)
    sheet.memo.get(("text",))
    assert sheet.memo.computed["sum"] == 2


def test_only_what_is_pinned_or_needed_survives_a_sweep() -> None:
    sheet = Sheet()
    sheet.memo.pin(("sign",))
    sheet.memo.get(("text",))
    sheet.memo.sweep()
    assert ("text",) not in sheet.memo
    assert ("sum",) in sheet.memo
    sheet.memo.unpin(("sign",))
    sheet.memo.sweep()
    assert len(sheet.memo) == 0
    sheet.set("a", 7)
    assert sheet.memo.get(("sum",)) == 9


def test_sources_are_found_through_other_fragments() -> None:
    sheet = Sheet()
    sheet.memo.get(("text",))
    assert set(sheet.memo.sources(("text",))) == {("a",), ("b",)}


class Row:
    """Columns, in the order that `order` says, and their squares: asked for together."""

    def __init__(self) -> None:
        self.cells: dict[Key, Any] = {("order",): (1, 2, 3)}
        self.memo = Memo(self.compute, self.cells.get)

    def compute(self, key: Key, tracker: Tracker) -> Any:
        if key[0] == "square":
            return (tracker.read(("value", key[1])) or 0) ** 2
        return tracker.need_all([("square", number) for number in tracker.read(("order",))])

    def set(self, key: Key, value: Any) -> None:
        self.cells[key] = value
        self.memo.invalidate([key])


ORDERS = st.lists(st.integers(0, 6), max_size=8).map(tuple)


@given(st.lists(st.one_of(ORDERS, st.tuples(st.integers(0, 6), st.integers(0, 2), st.just("value"))), max_size=20))
def test_what_is_asked_for_together_is_as_if_made_anew(changes: list[tuple[Any, ...]]) -> None:
    row = Row()
    row.memo.pin(("row",))
    for change in changes:
        if change and change[-1] == "value":
            row.set(("value", change[0]), change[1])
        else:
            row.set(("order",), change)
        order = row.cells["order",]
        assert row.memo.get(("row",)) == [(row.cells.get(("value", number)) or 0) ** 2 for number in order]
        row.memo.sweep()
        assert len(row.memo) == 1 + len({*order})
    row.memo.unpin(("row",))
    row.memo.sweep()
    assert len(row.memo) == 0
