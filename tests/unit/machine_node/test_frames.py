"""The frames of exec and attach: any pieces give back what was sent, and nonsense is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.machine import frames

CHANNELS = st.sampled_from([frames.STDIN, frames.STDOUT, frames.STDERR, frames.STATUS, frames.RESIZE, frames.STDIN_END])


@given(sent=st.lists(st.tuples(CHANNELS, st.binary(max_size=300))), cut=st.integers(1, 50))
def test_frames_survive_any_cutting(sent: list[tuple[int, bytes]], cut: int) -> None:
    wire = b"".join(frames.encode(channel, data) for channel, data in sent)
    decoder = frames.Decoder()
    found = [frame for at in range(0, len(wire), cut) for frame in decoder.feed(wire[at : at + cut])]
    assert [(frame.channel, frame.data) for frame in found] == sent


def test_more_than_a_frame_carries_becomes_several() -> None:
    data = bytes(range(256)) * 5000
    found = frames.Decoder().feed(frames.encode(frames.STDOUT, data))
    assert len(found) == 2
    assert b"".join(frame.data for frame in found) == data


@pytest.mark.parametrize("wire", [b"\x09\0\0\0\0", b"\x01\xff\0\0\0", b"GET / HTTP/1.1\r\n"])
def test_what_is_no_frame_is_refused(wire: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.Decoder().feed(wire)
