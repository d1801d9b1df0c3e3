"""Routes to subsets and the DestinationRules that define them, as changes that need each other."""

from __future__ import annotations

import random

import pytest

from plait.api.decode import decode
from plait.mesh.halves import Halves
from plait.snapshot.snapshot import ObjectChange

API = "networking.istio.io/v1"


def route(*subsets, host="web", name="route", namespace="shop"):
    destinations = [{"destination": {"host": host, "subset": subset}, "weight": 1} for subset in subsets]
    spec = {"hosts": [host], "http": [{"route": destinations}]}
    return change("VirtualService", name, namespace, spec)


def rule(*subsets, host="web", name="rule", namespace="shop"):
    spec = {"host": host, "subsets": [{"name": subset, "labels": {"version": subset}} for subset in subsets]}
    return change("DestinationRule", name, namespace, spec)


def change(kind, name, namespace, spec):
    meta = {"name": name, "namespace": namespace}
    found = decode({"apiVersion": API, "kind": kind, "metadata": meta, "spec": spec})
    return ObjectChange(found.key, found.value)


def gone(of):
    return ObjectChange(of.key, None)


@pytest.fixture
def halves():
    return Halves("cluster.local")


def told(halves, *changes):
    """Which objects' states take effect at once, of `changes` and of those that waited."""
    return {change.key: change.value for change in halves.admit(changes, patient=True)}


def states(*changes):
    return {change.key: change.value for change in changes}


def test_a_route_waits_for_its_subset(halves):
    first, second = route("v1"), rule("v1")
    assert told(halves, first) == {}
    assert halves.held == {first.key}
    assert told(halves, second) == states(first, second)
    assert not halves.held


def test_a_subset_stays_until_no_route_names_it(halves):
    told(halves, rule("v1", "v2"), route("v1"))
    fewer = rule("v2")
    assert told(halves, fewer) == {}
    shifted = route("v2")
    assert told(halves, shifted) == states(fewer, shifted)


@pytest.mark.parametrize("rule_first", [True, False])
def test_a_subset_takes_anothers_place(halves, rule_first):
    told(halves, rule("v1"), route("v1"))
    both = [rule("v2"), route("v2")]
    if not rule_first:
        both.reverse()
    assert told(halves, both[0]) == {}
    assert told(halves, both[1]) == states(*both)


@pytest.mark.parametrize("rule_first", [True, False])
def test_deleting_both(halves, rule_first):
    told(halves, rule("v1"), route("v1"))
    first, second = (gone(rule()), gone(route())) if rule_first else (gone(route()), gone(rule()))
    assert told(halves, first) == ({} if rule_first else states(first))
    assert told(halves, second) == (states(first, second) if rule_first else states(second))


def test_what_needs_no_other_half_never_waits(halves):
    told(halves, rule("v1", "v2"), route("v1"))
    for harmless in (
        route("v2"),
        route("v1", "v2"),
        rule("v1", "v2", "v3"),
        route("", host="elsewhere", name="other"),
        rule("a", host="elsewhere", name="else"),
        change("Gateway", "door", "shop", {"servers": []}),
    ):
        assert told(halves, harmless) == states(harmless)


def test_a_route_without_its_subset_holds_up_nothing_later(halves):
    dangling = route("nowhere")
    assert told(halves, dangling) == {}
    assert halves.release([dangling.key]) == [dangling]
    again = route("nowhere", "")
    assert told(halves, again) == states(again), "it was without its subset before"
    unrelated = rule("v1")
    assert told(halves, unrelated) == states(unrelated)


def test_the_newest_state_of_what_waits_counts(halves):
    told(halves, rule("v1"), route("v1"))
    assert told(halves, route("v2")) == {}
    back = route("v1")
    assert told(halves, back) == states(back)
    assert not halves.held


def test_an_innocent_change_is_not_blamed(halves):
    told(halves, rule("v1"), route("v1"))
    fewer, same = rule(), route("v1", "v1")
    assert told(halves, fewer, same) == states(same)
    assert halves.held == {fewer.key}


def test_wildcards_and_other_namespaces(halves):
    told(halves, rule("v1", host="*.shop.svc.cluster.local", name="all", namespace="istio-system"))
    assert told(halves, named := route("v1")) == states(named)
    assert told(halves, gone(rule(name="all", namespace="istio-system"))) == {}
    instead = rule("v1", host="web.shop.svc.cluster.local", name="far", namespace="other")
    assert len(told(halves, instead)) == 2
    told(halves, rule("v2", host="*", name="any", namespace="istio-system"))
    assert told(halves, shifted := route("v2")) == states(shifted), "defined for every host"


def test_impatient_takes_everything(halves):
    told(halves, first := route("v1"))
    second = route("v2", name="more")
    assert states(*halves.admit([second], patient=False)) == states(first, second)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_no_route_loses_its_subset_and_all_arrives(seed):
    """Any course of changes: a subset that a route names is never taken from it, and letting go brings all in."""
    chance = random.Random(seed)
    halves, wanted, known = Halves("cluster.local"), {}, {}
    for _ in range(200):
        made = chance.choice((route, rule))(
            *chance.sample(("a", "b", "c"), chance.randrange(4)),
            host=chance.choice(("web", "api")),
            name=chance.choice("xy"),
        )
        made = chance.choice((made, made, made, gone(made)))
        wanted[made.key] = made.value
        before = dangling(known)
        known |= told(halves, made)
        assert dangling(known) <= before
        if chance.random() < 0.1:
            known |= states(*halves.release(halves.held))
            assert not halves.held
            assert known == wanted
    known |= states(*halves.release(halves.held))
    assert known == wanted


def dangling(known):
    """(route's object, host, subset) that no rule defines."""
    defined = {
        (value.spec.host, subset.name)
        for key, value in known.items()
        if value is not None and key.kind == "DestinationRule"
        for subset in value.spec.subsets
    }
    return {
        (key, item.destination.host, item.destination.subset)
        for key, value in known.items()
        if value is not None and key.kind == "VirtualService"
        for http in value.spec.http
        for item in http.route
        if item.destination.subset and (item.destination.host, item.destination.subset) not in defined
    }
