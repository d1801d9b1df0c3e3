"""Frames over a real socket pair, and publications in pieces."""

from __future__ import annotations

import asyncio
import socket

from hypothesis import given
from hypothesis import strategies as st

from plait.delivery.frames import Channel, Down, Drop, Fill, Up
from plait.delivery.pieces import pieces, updates_of
from plait.delivery.splices import splice
from plait.delivery.store import ViewStore
from plait.delivery.wire import encode_element
from plait.xds.resource import CDS, EDS, RDS, Resource, ViewUpdate


def update(view: str, size: int, type_url: str = CDS) -> ViewUpdate:
    return ViewUpdate(view, type_url, (Resource(type_url, "a", "1", bytes(size)),))


@given(st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(0, 400_000)))
def test_pieces_are_the_publication_and_no_view_is_in_two(found: dict[str, int]) -> None:
    updates = tuple(update(view, size, type_url) for view, size in sorted(found.items()) for type_url in (CDS, EDS))
    known = ViewStore("builder")
    made = list(pieces(updates, known, 1.5))
    assert made
    assert {piece.since for piece in made} == {1.5}
    assert tuple(each for piece in made for each in piece.updates) == updates
    places = {
        view: {place for place, piece in enumerate(made) for each in piece.updates if each.view == view}
        for view in found
    }
    assert all(len(found) == 1 for found in places.values())
    assert {view.name for view in known.views()} == set(found)


def hosts(names: list[int], version: str) -> Resource:
    """A route table with a virtual host of some size for each number."""
    value = b"".join(f"{number:04}".encode() * 400 for number in names)
    return Resource(RDS, "80", version, encode_element(type_url=RDS, name="80", version=version, value=value))


@given(st.lists(st.lists(st.integers(0, 30), unique=True, max_size=20).map(sorted), min_size=2, max_size=6))
def test_a_large_resource_is_whole_again_on_the_other_side(tables: list[list[int]]) -> None:
    builder, delivery = ViewStore("builder"), ViewStore("delivery")
    for number, names in enumerate(tables):
        change = ViewUpdate("out", RDS, (hosts(names, f"v{number}"),))
        for piece in pieces([change], builder, None):
            delivery.apply(updates_of(piece, delivery))
        assert delivery.view("out").head(RDS).resources == {"80": change.upserts[0]}
        assert builder.view("out").head(RDS).resources == {"80": change.upserts[0]}


def test_of_a_large_resource_only_what_is_new_is_sent() -> None:
    known = ViewStore("builder")
    known.apply([ViewUpdate("out", RDS, (hosts([*range(20)], "v1"),))])
    (piece,) = pieces([ViewUpdate("out", RDS, (hosts([*range(5), 7, *range(5, 20)], "v2"),))], known, None)
    (part,) = piece.spliced
    assert not piece.updates
    assert len(part.middle) == 1600
    assert splice("out", hosts([1], "v1"), hosts([1], "v2")) is None
    assert splice("out", hosts([*range(10)], "v1"), hosts([*range(10, 20)], "v2")) is None


PARTS = [f"{number:04}".encode() * 1500 for number in range(8)]


def in_parts(numbers: list[int], version: str) -> Resource:
    return Resource(RDS, "80", version, (version.encode(), *(PARTS[number] for number in numbers), b"end"))


#: Numbers of parts, and whether the resource is in parts at all: an EnvoyFilter makes it one piece.
TABLES = st.tuples(st.sampled_from([[], [0, 1], [0, 1, 2, 3], [0, 1, 2, 4], [0, 2, 1], [5, 6]]), st.booleans())


@given(st.lists(st.dictionaries(st.sampled_from("abc"), TABLES, min_size=1), min_size=2, max_size=6))
def test_a_resource_in_parts_is_whole_again_on_the_other_side(
    publications: list[dict[str, tuple[list[int], bool]]],
) -> None:
    builder, delivery = ViewStore("builder"), ViewStore("delivery")
    told: dict[str, Resource] = {}
    for number, tables in enumerate(publications):
        for view, (numbers, parted) in tables.items():
            made = in_parts(numbers, f"{view}{number}")
            told[view] = made if parted else Resource(RDS, "80", made.version, made.encoded)
        changes = [ViewUpdate(view, RDS, (told[view],)) for view in sorted(tables)]
        for piece in pieces(changes, builder, None):
            assert len({*piece.fresh}) == len(piece.fresh)
            delivery.apply(updates_of(piece, delivery))
        assert {view.name: view.head(RDS).resources["80"] for view in delivery.views()} == told


def test_of_parts_only_new_ones_are_sent_and_once() -> None:
    known = ViewStore("builder")
    known.apply([ViewUpdate(view, RDS, (in_parts([0, 1, 2], f"{view}1"),)) for view in "ab"])
    changes = [ViewUpdate(view, RDS, (in_parts([0, 7, 2], f"{view}2"),)) for view in "ab"]
    (piece,) = pieces(changes, known, None)
    assert not piece.updates
    assert not piece.spliced
    assert [part for part in piece.fresh if len(part) > 10] == [PARTS[7]]


def test_of_another_views_resource_in_parts_only_what_is_new_is_sent() -> None:
    known, delivery = ViewStore("builder"), ViewStore("delivery")
    for view, numbers in (("a", [0, 1, 2]), ("b", [0, 7, 2])):
        (piece,) = pieces([ViewUpdate(view, RDS, (in_parts(numbers, view),))], known, None)
        delivery.apply(updates_of(piece, delivery))
    assert [part for part in piece.fresh if len(part) > 10] == [PARTS[7]]
    one, two = (delivery.view(view).head(RDS).resources["80"].parts for view in "ab")
    assert one[1] is two[1], "both have it in common"
    known.drop("a")
    delivery.drop("a")
    assert known.relative(RDS, "80") is not None
    known.drop("b")
    assert known.relative(RDS, "80") is None


async def test_frames_that_wait_for_a_slow_reader_come_in_order() -> None:
    ours, theirs = socket.socketpair()
    async with await Channel.over(ours, Up) as builder, await Channel.over(theirs, Down) as delivery:
        sent: list[object] = [Fill((update(f"v{number}", 300_000),), batch=number) for number in range(20)]
        sent.append(Drop(("v1",)))
        for frame in sent:
            builder.post(frame)
        waiting = asyncio.create_task(builder.drain())
        assert [await delivery.receive() for _ in sent] == sent
        await waiting
        builder.post(Drop(("v2",)))
        assert await delivery.receive() == Drop(("v2",))


async def test_what_waits_for_a_lost_reader_is_lost() -> None:
    ours, theirs = socket.socketpair()
    async with await Channel.over(ours, Up) as builder:
        for number in range(20):
            builder.post(Fill((update("v", 300_000),), batch=number))
        theirs.close()
        await builder.drain()
        assert await builder.receive() is None
