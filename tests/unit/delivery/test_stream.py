"""The delta ADS state machine, table by table."""

from __future__ import annotations

import pytest

from plait.delivery.stream import ProxyStream
from plait.delivery.wire import Request, encode_element
from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, SDS, Resource, ViewUpdate
from plait.xds.slots import ALLOW, DENY, EMPTY, SLOTS


def versions(shop, type_url):
    return {name: r.version for name, r in shop.store.view("out").head(type_url).resources.items()}


class TestSubscribing:
    @pytest.mark.parametrize(
        ("subscribe", "sent"),
        [
            ((), ["cds +a +b"]),
            (("*",), ["cds +a +b"]),
            (("*", "b"), ["cds +a +b"]),
            (("b",), ["cds +b"]),
            (("b", "nobody"), ["cds +b -nobody"]),
            (("*", "nobody"), ["cds +a +b -nobody"]),
        ],
    )
    def test_first_request(self, shop, subscribe, sent):
        shop.assign()
        assert shop.ask(CDS, *subscribe) == sent

    def test_endpoints_know_no_wildcard_without_a_star(self, shop):
        shop.assign()
        assert shop.ask(EDS) == []
        assert shop.ask(EDS, "*") == ["eds +a +b"]

    def test_nothing_is_sent_before_the_views_are_known(self, shop):
        assert shop.ask(CDS) == []
        assert shop.ask(EDS, "a") == []
        assert shop.assign() == ["cds +a +b", "eds +a"]

    def test_empty_wildcard_is_answered_so_that_envoy_does_not_wait(self, empty):
        empty.assign()
        assert empty.ask(CDS) == ["cds"]
        assert empty.ask(LDS) == ["lds"]

    def test_known_name_is_answered_again_though_nothing_changed(self, shop):
        shop.start()
        assert shop.ask(EDS, "a") == ["eds +a"]

    def test_unknown_name_is_answered_as_removed_and_sent_when_it_appears(self, shop):
        shop.start()
        assert shop.ask(RDS, "9090") == ["rds -9090"]
        shop.settle()
        assert shop.change(RDS, "9090") == ["rds +9090"]

    def test_unsubscribed_names_are_not_sent(self, shop):
        shop.start()
        assert shop.ask(EDS, unsubscribe=("a",)) == []
        assert shop.change(EDS, "a=2", "b=2") == ["eds +b"]

    def test_unsubscribing_the_star_leaves_the_names(self, shop):
        shop.assign()
        shop.ask(CDS, "*", "b")
        shop.settle()
        assert shop.ask(CDS, unsubscribe=("*",)) == []
        assert shop.change(CDS, "a=2", "b=2") == ["cds +b"]

    def test_star_later_brings_only_the_rest(self, shop):
        shop.assign()
        shop.ask(CDS, "b")
        shop.settle()
        assert shop.ask(CDS, "*") == ["cds +a"]

    def test_name_given_up_under_a_wildcard_is_told_again(self, shop):
        shop.assign()
        shop.ask(CDS, "*", "b", "gone")
        shop.settle()
        assert shop.ask(CDS, unsubscribe=("b", "gone")) == ["cds +b -gone"]

    def test_several_views_make_one_first_response(self, shop):
        shop.have(CDS, "inbound", view="in")
        shop.assign("out", "in")
        assert shop.ask(CDS) == ["cds +a +b +inbound"]
        shop.settle()
        shop.have(CDS, "inbound=2", view="in")
        assert shop.change(CDS, "a=2") == ["cds +a +inbound"]

    def test_unknown_types_are_served_like_named_ones(self, shop):
        shop.assign()
        sent = shop.stream.on_request(Request(type_url=SDS, subscribe=("cert",)))
        assert [(p.type_url, p.removed) for p in sent] == [(SDS, ("cert",))]


class TestResuming:
    def test_nothing_equal_is_sent(self, shop):
        shop.assign()
        assert shop.ask(CDS, versions=versions(shop, CDS)) == []
        assert shop.ask(EDS, "a", "b", versions=versions(shop, EDS)) == []
        assert shop.ask(LDS, versions=versions(shop, LDS)) == []
        assert shop.ask(RDS, "80", versions=versions(shop, RDS)) == []
        assert {state for state, _ in shop.status().values()} == {"SYNCED"}

    def test_what_differs_is_sent_and_what_is_gone_removed_last(self, shop):
        known = versions(shop, CDS) | {"a": "old", "gone": "1"}
        shop.assign()
        assert shop.ask(CDS, versions=known) == ["cds +a"]
        assert shop.ask(LDS, versions=versions(shop, LDS)) == []
        assert shop.ask(RDS, "80", versions={"80": "old"}) == ["rds +80"]
        assert shop.ack(CDS) == []
        assert shop.ack(RDS) == ["cds -gone"]

    def test_removal_does_not_wait_for_ever_for_types_never_asked_for(self, shop):
        shop.assign()
        assert shop.ask(CDS, versions=versions(shop, CDS) | {"gone": "1"}) == []
        assert shop.stream.blocked
        assert [p.removed for p in shop.stream.flush(patience_over=True)] == [("gone",)]
        assert not shop.stream.blocked

    def test_removed_listener_is_removed_at_once(self, shop):
        shop.assign()
        assert shop.ask(LDS, versions=versions(shop, LDS) | {"81": "1"}) == ["lds -81"]

    def test_name_without_a_version_is_answered_others_not(self, shop):
        shop.assign()
        assert shop.ask(EDS, "a", "b", versions={"a": versions(shop, EDS)["a"]}) == ["eds +b"]

    def test_explicit_star_on_reconnect(self, shop):
        shop.assign()
        assert shop.ask(CDS, "*", "a", versions=versions(shop, CDS)) == []
        shop.have(CDS, "c")
        assert [p.versions.keys() for p in shop.stream.on_update()] == [{"c"}]

    def test_new_views_send_only_what_differs(self, shop):
        shop.start()
        shop.store.apply([])
        shop.have(CDS, "a", "c", view="other")
        shop.have(EDS, "a", "c", view="other")
        shop.have(LDS, "80", view="other")
        shop.have(RDS, "80", view="other")
        assert shop.assign("other") == ["cds +c"]
        assert shop.ask(EDS, "c") == ["eds +c"]
        assert shop.settle() == ["cds -b", "eds -b"]


class TestOrder:
    def test_one_change_travels_clusters_endpoints_listeners_routes(self, shop):
        shop.start()
        for type_url in (RDS, LDS, EDS, CDS):
            shop.have(type_url, *(f"{n}=2" for n in versions(shop, type_url)))
        sent = [push.type_url for push in shop.stream.on_update()]
        assert sent == [CDS, EDS, LDS, RDS]

    def test_endpoints_follow_their_cluster_though_unchanged(self, shop):
        shop.start()
        assert shop.change(CDS, "a=2") == ["cds +a", "eds +a"]

    def test_endpoints_follow_though_endpoints_are_unacknowledged(self, shop):
        shop.start()
        assert shop.change(EDS, "b=2") == ["eds +b"]
        assert shop.change(CDS, "a=2") == ["cds +a", "eds +a"]

    def test_routes_wait_for_clusters_that_are_new(self, shop):
        shop.start()
        shop.have(CDS, "c")
        shop.have(EDS, "c")
        assert shop.change(RDS, "80=to c") == ["cds +c"]
        assert shop.stream.blocked
        assert shop.ask(EDS, "c") == ["eds +c"]
        assert shop.ack(EDS) == []
        assert shop.ack(CDS) == ["rds +80"]
        assert not shop.stream.blocked

    def test_routes_do_not_wait_for_clusters_that_changed(self, shop):
        shop.start()
        shop.have(CDS, "a=2")
        assert shop.change(RDS, "80=2") == ["cds +a", "eds +a", "rds +80"]

    def test_routes_go_when_patience_is_over(self, shop):
        shop.start()
        shop.have(CDS, "c")
        shop.change(RDS, "80=2")
        assert [p.type_url for p in shop.stream.flush(patience_over=True)] == [RDS]

    def test_refused_clusters_do_not_hold_routes_back(self, shop):
        shop.start()
        shop.have(CDS, "c")
        shop.change(RDS, "80=2")
        assert shop.ack(CDS, error="c: bad") == ["rds +80"]

    def test_removals_go_after_routes_are_acknowledged(self, shop):
        shop.start()
        shop.have(CDS, removed=("b",))
        shop.have(EDS, removed=("b",))
        assert shop.change(RDS, "80=2") == ["rds +80"]
        assert shop.ack(RDS) == ["cds -b"]
        assert shop.ask(EDS, unsubscribe=("b",)) == []
        assert shop.ack(CDS) == []

    def test_removals_wait_while_old_routes_serve_after_a_refusal(self, shop):
        shop.start()
        shop.have(CDS, removed=("b",))
        shop.change(RDS, "80=bad")
        assert shop.ack(RDS, error="80: bad") == []
        assert shop.change(RDS, "80=good") == ["rds +80"]
        assert shop.ack(RDS) == ["cds -b"]

    def test_cluster_that_comes_back_before_its_removal_was_sent_is_not_sent(self, shop):
        shop.start()
        shop.have(CDS, removed=("b",))
        shop.change(RDS, "80=2")
        assert shop.change(CDS, "b") == []
        assert shop.ack(RDS) == []

    def test_route_table_is_removed_after_its_listener(self, shop):
        shop.start()
        shop.have(RDS, removed=("80",))
        assert shop.change(LDS, removed=("80",)) == ["lds -80"]
        assert shop.ask(RDS, unsubscribe=("80",)) == []
        assert shop.ack(LDS) == []


class TestAcknowledging:
    def test_newest_only_while_a_push_is_unacknowledged(self, shop):
        shop.start()
        assert shop.change(RDS, "80=2") == ["rds +80"]
        assert shop.change(RDS, "80=3") == []
        assert shop.change(RDS, "80=4") == []
        assert shop.ack(RDS) == ["rds +80"]
        assert shop.stream._types[RDS].outstanding[-1].push.versions == versions(shop, RDS)
        assert shop.ack(RDS) == []

    def test_other_types_do_not_wait(self, shop):
        shop.start()
        shop.change(RDS, "80=2")
        assert shop.change(EDS, "a=2") == ["eds +a"]

    def test_change_and_back_while_unacknowledged_sends_nothing(self, shop):
        shop.start()
        shop.change(EDS, "a=2")
        shop.change(EDS, "b=2")
        shop.change(EDS, "b")
        assert shop.ack(EDS) == []

    def test_refused_version_is_not_sent_again_the_next_is(self, shop):
        shop.start()
        shop.change(LDS, "80=bad", "81")
        assert shop.ack(LDS, error="Error adding/updating listener(s) 80: no") == []
        assert shop.status()["lds"] == ("NACK", "Error adding/updating listener(s) 80: no")
        assert shop.stream.status()[2].rejected == ("80",)
        assert shop.change(LDS, "81=2") == ["lds +81"]
        shop.ack(LDS)
        assert shop.status()["lds"][0] == "NACK"
        assert shop.change(LDS, "80=good") == ["lds +80"]
        shop.ack(LDS)
        assert shop.status()["lds"] == ("SYNCED", "")

    def test_going_back_to_the_accepted_version_clears_a_refusal(self, shop):
        shop.start()
        shop.change(LDS, "80=bad")
        shop.ack(LDS, error="80: no")
        assert shop.change(LDS, "80") == ["lds +80"]
        shop.ack(LDS)
        assert shop.status()["lds"] == ("SYNCED", "")

    def test_removing_what_was_refused_clears_it(self, shop):
        shop.start()
        shop.change(LDS, "81=bad")
        shop.ack(LDS, error="81: no")
        assert shop.change(LDS, removed=("81",)) == ["lds -81"]
        shop.ack(LDS)
        assert shop.status()["lds"] == ("SYNCED", "")

    def test_message_without_a_name_blames_the_whole_push(self, shop):
        shop.start()
        shop.change(CDS, "a=2", "b=2")
        shop.ack(CDS, error="something is wrong")
        assert shop.stream.status()[0].rejected == ("a", "b")

    def test_name_inside_another_name_is_not_blamed(self, shop):
        shop.start()
        shop.change(LDS, "80=2", "10.0.0.1_80")
        shop.ack(LDS, error="Error adding/updating listener(s) 10.0.0.1_80: no")
        assert shop.stream.status()[2].rejected == ("10.0.0.1_80",)

    def test_refused_route_tables_are_sent_again_one_by_one(self, shop):
        shop.have(RDS, "81", "82")
        shop.start()
        shop.change(RDS, "80=2", "81=bad", "82=2")
        assert shop.ack(RDS, error="duplicate domain") == ["rds +80", "rds +81", "rds +82"]
        assert shop.status()["rds"] == ("STALE", "")
        shop.ack(RDS)
        shop.ack(RDS, error="duplicate domain")
        shop.ack(RDS)
        assert shop.status()["rds"] == ("NACK", "duplicate domain")
        assert shop.stream.status()[3].rejected == ("81",)
        assert shop.change(RDS, "81=good") == ["rds +81"]
        shop.ack(RDS)
        assert shop.status()["rds"] == ("SYNCED", "")

    def test_foreign_nonce_changes_nothing(self, shop):
        shop.start()
        shop.change(RDS, "80=2")
        assert shop.stream.note(Request(type_url=RDS, nonce="run-before-1", error="old")) is None
        assert shop.status()["rds"] == ("STALE", "")

    def test_ack_and_subscription_in_one_request(self, shop):
        shop.assign()
        (push,) = shop.stream.on_request(Request(type_url=EDS, subscribe=("a",)))
        assert shop.ask(EDS, "b", nonce=push.nonce) == ["eds +b"]
        assert not [s for s in shop.stream._types[EDS].outstanding if s.push is push]

    def test_states(self, shop):
        shop.ask(CDS)
        assert shop.status() == {"cds": ("NOT SENT", "")}
        shop.assign()
        assert shop.status() == {"cds": ("STALE", "")}
        shop.ack(CDS)
        assert shop.status() == {"cds": ("SYNCED", "")}


class TestSharing:
    def test_proxies_in_step_get_the_same_bytes_and_hold_the_same_snapshot(self, shop):
        streams = [ProxyStream(shop.store) for _ in range(3)]
        for stream in streams:
            stream.assign(("out",))
        firsts = [stream.on_request(Request(type_url=CDS)) for stream in streams]
        assert len({id(push) for (push,) in firsts}) == 1
        for stream, (push,) in zip(streams, firsts, strict=True):
            stream.on_request(Request(type_url=CDS, nonce=push.nonce))
        shop.have(CDS, "a=2")
        pushes = [stream.on_update() for stream in streams]
        assert len({id(push) for (push,) in pushes}) == 1
        assert len({id(stream._types[CDS].bases[0]) for stream in streams}) == 1

    def test_who_reads_later_is_sent_what_the_quick_had_in_several_pushes(self, shop):
        quick, late = streams = [ProxyStream(shop.store) for _ in range(2)]
        shop.have(LDS, "l")
        shop.have(CDS, "a")
        for stream in streams:
            stream.assign(("out",))
            for type_url in (CDS, LDS):
                (push,) = stream.on_request(Request(type_url=type_url))
                stream.on_request(Request(type_url=type_url, nonce=push.nonce))
        shop.have(CDS, "a=2")
        assert [push.type_url for push in quick.on_update()] == [CDS]
        shop.have(LDS, "l=2")
        assert [push.type_url for push in quick.on_update()] == [LDS]
        assert [push.type_url for push in late.on_update()] == [CDS, LDS]

    def test_what_only_one_has_changes_nothing_for_the_others(self, shop):
        one, other = streams = [ProxyStream(shop.store) for _ in range(2)]
        shop.have(LDS, "l")
        for stream in streams:
            stream.assign(("out",))
            (push,) = stream.on_request(Request(type_url=LDS))
            stream.on_request(Request(type_url=LDS, nonce=push.nonce))
        own = Resource(LDS, "own", "1", encode_element(type_url=LDS, name="own", version="1", value=b""))
        one.amend([ViewUpdate("", LDS, (own,))])
        assert (one.pending, other.pending) == (True, False)
        assert [list(push.versions) for push in one.on_update()] == [["own"]]
        assert other.on_update() == ()
        assert [status.state for stream in streams for status in stream.status()] == ["STALE", "SYNCED"]

    def test_equal_update_makes_no_push(self, shop):
        shop.start()
        revision = shop.store.revision
        assert shop.change(CDS, "a", "b") == []
        assert shop.store.revision == revision

    def test_slow_proxy_beyond_the_log_still_gets_exactly_what_differs(self, shop):
        shop.start()
        shop.change(EDS, "a=0")
        for i in range(200):
            shop.change(EDS, f"b={i}", f"x{i}")
        assert shop.ask(EDS, "x7") == ["eds +x7"]
        shop.ack(EDS)
        assert shop.ack(EDS) == ["eds +b"]


def test_a_level_is_reached_when_everything_of_a_batch_is_answered(shop):
    assert shop.stream.level == -1
    shop.store.batch = 3
    shop.start()
    assert shop.stream.level == 3
    shop.store.batch = 4
    shop.change(RDS, "80=2")
    assert shop.stream.level == 3
    # A change that comes before the answer is of the next batch.
    shop.store.batch = 5
    shop.change(RDS, "80=3")
    shop.ack(RDS)
    assert shop.stream.level == 4
    shop.settle()
    assert shop.stream.level == 5
    # Nothing in it for this proxy.
    shop.store.batch = 6
    assert shop.stream.level == 6
    shop.store.batch = 7
    shop.change(CDS, "a=2")
    shop.settle()
    assert shop.stream.level == 7


def test_a_refusal_is_an_answer_too(shop):
    shop.start()
    shop.store.batch = 1
    shop.have(LDS, "81")
    shop.change(LDS, "80=bad")
    shop.ack(LDS, "listener 80 is bad")
    shop.settle()
    assert shop.stream.level == 1
    assert shop.status()["lds"][0] == "NACK"


def test_what_is_one_proxys_own_is_sent_to_it_beside_its_views(shop):
    shop.start()
    shop.have(LDS, "own", view="elsewhere")
    own = shop.store.view("elsewhere").head(LDS).resources["own"]
    shop.stream.amend([ViewUpdate("", LDS, (own,))])
    (push,) = shop.stream.on_update()
    assert (dict(push.versions), push.since) == ({"own": own.version}, None)
    shop.settle()
    shop.store.batch = 1
    assert shop.change(LDS, "81") == ["lds +81"]
    shop.settle()
    assert shop.stream.level == 1
    shop.stream.amend([ViewUpdate("", LDS, (), ("own",))])
    (push,) = shop.stream.on_update()
    assert (push.versions, push.removed) == ({}, ("own",))


class TestSlots:
    def names(self, *slots):
        return [f"ecds +{slot.name}" for slot in slots]

    @pytest.fixture
    def slotted(self, shop):
        shop.store.apply([ViewUpdate("out", ECDS, tuple(EMPTY.values()))], since=1.0)
        shop.start()
        return shop

    def test_they_are_asked_for_one_by_one_and_answered_at_once(self, slotted):
        for slot in SLOTS:
            assert slotted.ask(ECDS, slot.name) == self.names(slot)
        assert slotted.settle() == []
        assert slotted.stream.level == slotted.store.batch

    def test_several_go_in_a_response_each_what_is_emptied_last(self, slotted):
        for slot in SLOTS:
            slotted.ask(ECDS, slot.name)
        slotted.settle()
        assert slotted.change(ECDS, f"{DENY.name}=1") == self.names(DENY)
        slotted.settle()
        slotted.have(ECDS, f"{ALLOW.name}=2")
        slotted.store.apply([ViewUpdate("out", ECDS, (EMPTY[DENY.name],))], since=1.0)
        assert slotted.change(ECDS) == self.names(ALLOW, DENY)
        slotted.settle()
        assert slotted.status()["ecds"][0] == "SYNCED"

    def test_what_asks_somebody_waits_for_the_cluster(self, slotted):
        for slot in SLOTS:
            slotted.ask(ECDS, slot.name)
        slotted.settle()
        slotted.have(CDS, "guard")
        slotted.have(ECDS, f"{DENY.name}=1")
        assert slotted.change(ECDS) == ["cds +guard"]
        assert slotted.ack(CDS) == self.names(DENY)
