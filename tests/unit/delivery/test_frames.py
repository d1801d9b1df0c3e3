"""Frames over a real socket pair, and publications in pieces."""

from __future__ import annotations

import asyncio
import socket

from hypothesis import given
from hypothesis import strategies as st

from plait.delivery.builder import pieces
from plait.delivery.frames import Channel, Down, Drop, Fill, Up
from plait.xds.resource import CDS, EDS, Resource, ViewUpdate


def update(view: str, size: int, type_url: str = CDS) -> ViewUpdate:
    return ViewUpdate(view, type_url, (Resource(type_url, "a", "1", bytes(size)),))


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 400_000)), max_size=12))
def test_pieces_are_the_publication_and_no_view_is_in_two(found: list[tuple[str, int]]) -> None:
    updates = tuple(update(view, size, type_url) for view, size in sorted(found) for type_url in (CDS, EDS))
    made = list(pieces(updates))
    assert made
    assert tuple(each for piece in made for each in piece) == updates
    places = {
        view: {place for place, piece in enumerate(made) for each in piece if each.view == view} for view, _ in found
    }
    assert all(len(found) == 1 for found in places.values())


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
