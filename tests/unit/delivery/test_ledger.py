"""The bookkeeping of what is in effect where."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from plait.api.meta import ObjectKey
from plait.delivery.objects import Objects
from plait.delivery.settled.ledger import Ledger
from plait.delivery.settled.settling import Settling
from plait.delivery.settled.verdict import Blame
from plait.xds.carriage import Carried
from plait.xds.engine import Engine

KEY = ObjectKey("VirtualService", "shop", "web")
OTHER = ObjectKey("VirtualService", "shop", "other")
LDS = "lds"


def carried(generation: int, *views: str, key: ObjectKey = KEY, endpoints_only: bool = False) -> Carried:
    return Carried(key, generation, frozenset(views), endpoints_only)


def begun(*proxies: str, away: float = 3.0) -> Ledger:
    """Proxies 1, 2, … with one view each, all up to batch 0."""
    ledger = Ledger(away=away)
    for connection, view in enumerate(proxies, 1):
        ledger.roll.connected(connection, f"p{connection}", (view,))
    ledger.roll.acknowledged(dict.fromkeys(range(1, len(proxies) + 1), 0))
    ledger.begin(lambda _: frozenset(), lambda *_: False)
    return ledger


def state(ledger: Ledger, key: ObjectKey = KEY, now: float = 0.0):
    found = ledger.verdicts(now).get(key)
    return (found.state, found.proxies, found.acknowledged, found.settled) if found else None


def test_an_acknowledgement_is_not_enough():
    ledger = begun("a", "a", "b")
    ledger.published(1, [carried(2, "a")])
    assert state(ledger) == ("Progressing", 2, 0, 0)
    assert ledger.due() == {}
    ledger.roll.acknowledged({1: 1, 3: 1})
    assert state(ledger) == ("Progressing", 2, 1, 0)
    # Only who acknowledged is asked, and nobody who is not concerned.
    assert ledger.due() == {1: 1}
    ledger.roll.probed(1, 1)
    ledger.roll.acknowledged({2: 1})
    assert state(ledger) == ("Progressing", 2, 2, 1)
    assert ledger.due() == {2: 1}
    ledger.roll.probed(2, 1)
    assert state(ledger) == ("Settled", 2, 2, 2)
    assert (ledger.pending, ledger.due(), state(ledger)) == ((), {}, None)


async def test_a_move_that_the_builder_tells_of_takes_what_is_owed_along():
    settling = Settling(Engine(), Objects(), SimpleNamespace(put=lambda *_: None, remove=lambda _: None))
    settling.ledger = begun("a")
    settling.ledger.published(1, [carried(1, "a")])
    settling.placed(SimpleNamespace(connection=1, views=("b",)), 2)
    settling.ledger.published(2, [])
    assert state(settling.ledger) == ("Progressing", 1, 0, 0)


def test_what_changes_nothing_is_settled_at_once_and_endpoints_are_not_probed():
    ledger = begun("a")
    ledger.published(0, [carried(2)])
    assert state(ledger) == ("Settled", 0, 0, 0)
    ledger.published(1, [carried(3, "a", endpoints_only=True)])
    ledger.roll.acknowledged({1: 1})
    assert ledger.due() == {}
    assert state(ledger) == ("Settled", 1, 1, 1)


def test_a_generation_waits_for_what_the_one_before_changed():
    ledger = begun("a", "b")
    ledger.published(1, [carried(2, "a")])
    ledger.published(2, [carried(3, "b")])
    ledger.roll.acknowledged({2: 2})
    ledger.roll.probed(2, 2)
    assert state(ledger) == ("Progressing", 2, 1, 1)
    # The second publication had nothing for the first proxy, which says no more of it.
    ledger.roll.acknowledged({1: 1})
    assert ledger.due() == {1: 1}
    ledger.roll.probed(1, 1)
    assert state(ledger) == ("Settled", 2, 2, 2)


def test_a_proxy_that_goes_to_other_views_owes_there_what_it_owed_before():
    ledger = begun("a", "a", "b")
    ledger.published(1, [carried(1, "a"), carried(1, "a", key=OTHER)])
    for connection in (1, 2):
        ledger.placed(connection, ("a/web",), 2)
    ledger.published(2, [])
    assert state(ledger) == ("Progressing", 2, 0, 0)
    ledger.roll.acknowledged({1: 2, 2: 2})
    assert ledger.due() == {1: 2, 2: 2}
    for connection in (1, 2):
        ledger.roll.probed(connection, 2)
    assert ledger.verdicts(0.0).keys() == {KEY, OTHER}
    assert ledger.pending == ()


def test_what_was_read_again_is_no_news():
    ledger = begun("a")
    ledger.published(1, [carried(2, "a")])
    ledger.roll.acknowledged({1: 1})
    ledger.roll.probed(1, 1)
    assert state(ledger) == ("Settled", 1, 1, 1)
    ledger.published(1, [carried(2)])
    assert ledger.pending == ()


def test_warming_and_unreachable_proxies_are_told_apart():
    ledger = begun("a", "a")
    ledger.published(1, [carried(2, "a")])
    ledger.roll.acknowledged({1: 1, 2: 1})
    ledger.roll.unproved(1, 1, warming=True)
    ledger.roll.unproved(2, 1, failure="connection refused")
    assert state(ledger) == ("Warming", 2, 2, 0)
    ledger.roll.probed(1, 1)
    (verdict,) = ledger.verdicts(0.0).values()
    assert (verdict.state, verdict.examples) == ("ProbeFailed", ("p2 (connection refused)",))
    # It is asked again, and may answer yet.
    assert ledger.due() == {2: 1}
    ledger.roll.probed(2, 1)
    assert state(ledger) == ("Settled", 2, 2, 2)


def test_a_lost_stream_is_waited_for_and_then_leaves_the_count():
    ledger = begun("a", "a", away=3.0)
    ledger.published(1, [carried(2, "a")])
    ledger.roll.acknowledged({1: 1})
    ledger.roll.probed(1, 1)
    ledger.disconnected(2, now=10.0)
    (verdict,) = ledger.verdicts(12.9).values()
    assert (verdict.state, verdict.examples) == ("Progressing", ("p2 (lost its stream)",))
    ledger.roll.connected(3, "p2", ("a",))
    assert state(ledger, now=12.9) == ("Progressing", 2, 1, 1), "it is counted once"
    assert state(ledger, now=13.1) == ("Progressing", 2, 1, 1)
    ledger.disconnected(3, now=20.0)
    assert state(ledger, now=23.0) == ("Settled", 1, 1, 1)


def test_levels_about_other_views_do_not_count():
    ledger = begun("a")
    ledger.roll.acknowledged({1: 5})
    ledger.published(6, [carried(2, "b")])
    ledger.placed(1, ("b",), 6)
    # Reported before it heard of its new view.
    ledger.roll.acknowledged({1: 5})
    assert state(ledger) == ("Progressing", 1, 0, 0)
    ledger.roll.acknowledged({1: 6})
    assert state(ledger) == ("Progressing", 1, 1, 0)


def test_what_a_proxy_has_of_its_views_before_counts_for_nothing_in_the_next():
    ledger = begun("a")
    ledger.published(5, [carried(2, "b")])
    ledger.placed(1, ("b",), 6)
    ledger.roll.acknowledged({1: 5})
    assert state(ledger) == ("Progressing", 1, 0, 0)


def test_a_proxy_of_two_views_needs_the_later_of_what_the_two_bring():
    ledger = begun("a")
    ledger.placed(1, ("a", "b"), -1)
    ledger.published(1, [carried(2, "a", "b")])
    for view in ("a", "b"):
        ledger.published(ledger.batch + 1, [carried(2, view)])
        ledger.roll.acknowledged({1: ledger.batch - 1})
        assert state(ledger) == ("Progressing", 1, 0, 0)
    ledger.roll.acknowledged({1: 3})
    assert state(ledger) == ("Progressing", 1, 1, 0)


def test_before_the_proxies_are_back_nothing_is_settled_and_what_was_stays_so():
    ledger = Ledger()
    ledger.published(0, [carried(2), carried(1, key=OTHER)])
    ledger.roll.connected(1, "p1", ("a",))
    assert {verdict.state for verdict in ledger.verdicts(0.0).values()} == {"Progressing"}
    ledger.begin(
        lambda key: frozenset({"a"} if key == KEY else ()), lambda key, generation: (key, generation) == (OTHER, 1)
    )
    assert ledger.pending == (KEY,)
    assert state(ledger) == ("Progressing", 1, 0, 0)
    ledger.roll.acknowledged({1: 0})
    assert ledger.due() == {1: 0}
    ledger.roll.probed(1, 0)
    assert state(ledger) == ("Settled", 1, 1, 1)


def refuse(ledger: Ledger, connection: int, name: str, *keys: ObjectKey, withdrawn: bool = False) -> None:
    blame = Blame(proxy=f"p{connection}", message="no", path="spec.http[0]")
    ledger.refused(connection, (LDS, name), dict.fromkeys(keys, blame), withdrawn=withdrawn)


def test_a_refusal_is_of_its_object_alone_and_ends_when_the_proxy_takes_it_back():
    ledger = begun("a", "a")
    ledger.published(1, [carried(2, "a"), carried(1, "a", key=OTHER)], frozenset({(LDS, "80"), (LDS, "81")}))
    refuse(ledger, 1, "80", KEY)
    ledger.roll.acknowledged({1: 1, 2: 1})
    for connection in (1, 2):
        ledger.roll.probed(connection, 1)
    found = ledger.verdicts(0.0)
    assert (found[OTHER].state, found[KEY].state, found[KEY].rejected) == ("Settled", "Rejected", 1)
    assert found[KEY].blame.path == "spec.http[0]"
    ledger.still_refused(1, {LDS: ("80",)})
    assert ledger.pending == ()
    ledger.still_refused(1, {LDS: ()})
    assert state(ledger) == ("Settled", 2, 2, 2)


def test_a_new_generation_is_refused_no_more_if_what_was_refused_is_on_its_way():
    ledger = begun("a")
    ledger.published(1, [carried(2, "a")], frozenset({(LDS, "80")}))
    refuse(ledger, 1, "80", KEY)
    assert state(ledger)[0] == "Rejected"
    ledger.published(2, [carried(3)])
    assert state(ledger)[0] == "Rejected"
    ledger.published(3, [carried(4, "a")], frozenset({(LDS, "80")}))
    assert state(ledger)[0] == "Progressing"


def test_a_withdrawn_object_stays_refused_until_it_changes():
    ledger = begun("a", "a")
    ledger.published(1, [carried(2, "a")])
    for connection in (1, 2):
        # Each refuses two listeners, and is one proxy.
        refuse(ledger, connection, "80", KEY, withdrawn=True)
        refuse(ledger, connection, "81", KEY, withdrawn=True)
    ledger.still_refused(1, {})
    (verdict,) = ledger.verdicts(0.0).values()
    assert (verdict.state, verdict.rejected) == ("Rejected", 2)
    ledger.published(2, [carried(3, "a")])
    assert state(ledger)[0] == "Progressing"


VIEWS = ("a", "b", "c")
STEPS = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from((KEY, OTHER)), st.frozensets(st.sampled_from(VIEWS))),
    st.tuples(st.just("ack"), st.integers(1, 4), st.integers(0, 3)),
    st.tuples(st.just("probe"), st.integers(1, 4)),
    st.tuples(st.just("go"), st.integers(1, 4)),
    st.tuples(st.just("come"), st.integers(1, 4), st.sampled_from(VIEWS)),
    st.tuples(st.just("look")),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_settled_means_that_every_proxy_concerned_has_acknowledged_and_answered(steps):
    """Against a model that keeps everything, for any order of events."""
    ledger = Ledger(away=0.0)
    ledger.begin(lambda _: frozenset(), lambda *_: False)
    batch, now, generations = 0, 0.0, {}
    proxies: dict[int, dict] = {}
    waits: dict[ObjectKey, tuple[int, dict[str, int]]] = {}
    for step in steps:
        now += 1
        match step:
            case ("publish", key, views):
                batch += 1
                generations[key] = generations.get(key, 0) + 1
                before = waits.get(key, (0, {}))[1]
                waits[key] = (generations[key], {**before, **dict.fromkeys(views, batch)})
                ledger.published(batch, [Carried(key, generations[key], views)])
            case ("ack", connection, behind) if connection in proxies:
                proxy = proxies[connection]
                proxy["level"] = max(proxy["level"], batch - behind)
                ledger.roll.acknowledged({connection: proxy["level"]})
            case ("probe", connection) if connection in ledger.due():
                due = ledger.due()[connection]
                assert due <= proxies[connection]["level"]
                proxies[connection]["probed"] = due
                ledger.roll.probed(connection, due)
            case ("go", connection) if connection in proxies:
                del proxies[connection]
                ledger.disconnected(connection, now)
            case ("come", connection, view) if connection not in proxies:
                proxies[connection] = {"view": view, "level": -1, "probed": -1}
                ledger.roll.connected(connection, f"p{connection}", (view,))
            case ("look",):
                for key, verdict in ledger.verdicts(now).items():
                    generation, wanted = waits[key]
                    mine = [proxy for proxy in proxies.values() if proxy["view"] in wanted]
                    done = [p for p in mine if min(p["level"], p["probed"]) >= wanted[p["view"]]]
                    assert verdict.generation == generation
                    assert (verdict.proxies, verdict.settled) == (len(mine), len(done))
                    assert (verdict.state == "Settled") == (len(done) == len(mine))
                    if verdict.state == "Settled":
                        del waits[key]
        one_by_one = {each: found for each in range(5) if (found := ledger.due_of(each)) is not None}
        assert one_by_one == ledger.due()
    assert set(ledger.pending) == set(waits)
