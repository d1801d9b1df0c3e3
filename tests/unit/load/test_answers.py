from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.load.answer import AnswerError, Chunks, Shapes, good, read_head
from plait.load.partial import Partial, State

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"
)
PLAIN = b"HTTP/1.1 200 OK\r\nCONTENT-length: 5\r\n\r\nhello"


def fed(data: bytes, cuts, **shape) -> tuple[State, Partial]:
    partial = Partial(Shapes("GET"), most=shape.pop("most", 1 << 20), keep=True)
    places = [0, *sorted(cuts), len(data)]
    state = State.HEAD
    for start, end in pairwise(places):
        if start != end:
            state = partial.feed(data[start:end])
    return state, partial


@given(st.lists(st.integers(1, len(CHUNKED) - 1), max_size=6))
def test_chunks_may_be_cut_anywhere(cuts) -> None:
    state, partial = fed(CHUNKED, cuts)
    assert (state, partial.body, partial.size) == (State.COMPLETE, b"hello world", len(CHUNKED))


@given(st.lists(st.integers(1, len(PLAIN) - 1), max_size=4))
def test_plain_answers_may_be_cut_anywhere(cuts) -> None:
    state, partial = fed(PLAIN, cuts)
    assert (state, partial.body, partial.size) == (State.COMPLETE, b"hello", len(PLAIN))


def test_what_follows_an_answer_spoils_the_connection() -> None:
    assert fed(PLAIN + b"x", [])[0] is State.OVERLONG
    assert fed(CHUNKED + b"HTTP", [])[0] is State.OVERLONG


def test_an_answer_larger_than_the_buffer_is_cut() -> None:
    state, partial = fed(PLAIN, [], most=40)
    assert (state, partial.size) == (State.OVERLONG, 40)


def test_nothing_is_read_of_a_failure_but_its_status() -> None:
    state, partial = fed(b"HTTP/1.1 503 Service Unavailable\r\ncontent-le", [])
    assert (state, partial.code) == (State.REFUSED, 503)


def test_garbage_is_a_failure_without_code() -> None:
    state, partial = fed(b"\x16\x03\x01 is not HTTP at all", [])
    assert (state, partial.code) == (State.REFUSED, -1)


@pytest.mark.parametrize("length", [b"x", b"-1", b""])
def test_lengths_that_are_none_are_errors(length) -> None:
    with pytest.raises(AnswerError):
        read_head(b"HTTP/1.1 200 OK\r\nContent-Length: " + length, "GET")
    with pytest.raises(AnswerError):
        Chunks().feed(b"zz\r\n")


def test_answers_without_a_body() -> None:
    assert read_head(b"HTTP/1.1 204 No Content\r\nserver: x", "GET").length == 0
    assert read_head(b"HTTP/1.1 200 OK\r\ncontent-length: 9", "HEAD").length == 0


def test_success_is_two_hundreds_and_the_teapot() -> None:
    assert [code for code in (-1, 100, 199, 200, 204, 299, 300, 404, 418, 503) if good(code)] == [200, 204, 299, 418]
