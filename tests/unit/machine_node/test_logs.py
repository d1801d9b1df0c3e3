from datetime import UTC, datetime

import pytest

from plait.machine.node.streams.logs import LogOptions, read_log, since_of


def line(second, text, *, tag="F", stream="stdout"):
    return f"2026-11-22T10:00:{second:02d}.000000000Z {stream} {tag} {text}\n"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "app" / "0.log"


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write("".join(lines))


async def read(path, ended=lambda: True, **options):
    return b"".join([piece async for piece in read_log(path, LogOptions(**options), ended=ended)]).decode()


async def test_a_whole_log(log):
    write(log, line(1, "one"), line(2, "two", stream="stderr"), line(3, ""))
    assert await read(log) == "one\ntwo\n\n"


async def test_a_log_that_is_not_there_is_empty(log):
    assert await read(log) == ""
    assert await read(log, tail=5) == ""


async def test_pieces_of_a_long_line_are_joined(log):
    write(log, line(1, "aaa", tag="P"), line(1, "bbb"), line(2, "c"))
    assert await read(log) == "aaabbb\nc\n"
    assert await read(log, timestamps=True) == (
        "2026-11-22T10:00:01.000000000Z aaabbb\n2026-11-22T10:00:02.000000000Z c\n"
    )


@pytest.mark.parametrize(("tail", "text"), [(0, ""), (1, "c\n"), (2, "aaabbb\nc\n"), (9, "0\naaabbb\nc\n")])
async def test_the_last_lines_are_whole_lines(log, tail, text):
    write(log, line(0, "0"), line(1, "aaa", tag="P"), line(1, "bbb"), line(2, "c"))
    assert await read(log, tail=tail) == text


@pytest.mark.parametrize("tail", [1, 999, 1000, 1001, 2500, 5000])
async def test_the_last_lines_reach_over_rotated_files(log, tail):
    names = [f"line {number} " + "x" * (number % 90) for number in range(3000)]
    for index, name in enumerate(("0.log.2", "0.log.1", "0.log")):
        write(log.with_name(name), *(line(1, text) for text in names[index * 1000 : (index + 1) * 1000]))
    assert await read(log, tail=tail) == "".join(f"{text}\n" for text in names[-tail:])


async def test_lines_since_a_time(log):
    write(log, *(line(second, str(second)) for second in range(5)))
    since = since_of(seconds=None, time="2026-11-22T10:00:03Z", now=datetime.now(UTC))
    assert await read(log, since=since) == "3\n4\n"
    now = datetime(2026, 11, 22, 10, 0, 6, tzinfo=UTC)
    assert await read(log, since=since_of(seconds=2, time=None, now=now)) == "4\n"


def test_a_bad_time_is_refused():
    with pytest.raises(ValueError, match="yesterday"):
        since_of(seconds=None, time="yesterday", now=datetime.now(UTC))


async def test_bytes_are_limited(log):
    write(log, line(1, "hello"), line(2, "world"))
    assert await read(log, limit_bytes=8) == "hello\nwo"


async def test_following_sees_new_lines_and_a_rotation_and_ends_with_the_process(log):
    write(log, line(1, "one"))
    state = {"running": True}
    seen = []
    async for piece in read_log(log, LogOptions(follow=True), ended=lambda: not state["running"]):
        seen.append(piece)
        if piece == b"one\n":
            write(log, line(2, "two"))
            log.rename(log.with_name("0.log.1"))
            write(log, line(3, "three"))
        if piece == b"three\n":
            write(log, line(4, "four"))
            state["running"] = False
    assert b"".join(seen) == b"one\ntwo\nthree\nfour\n"


async def test_a_half_written_line_waits_for_its_end(log):
    write(log, line(1, "one"), "2026-11-22T10:00:02.000000000Z std")
    assert await read(log) == "one\n"
    assert await read(log, tail=1) == "one\n"
