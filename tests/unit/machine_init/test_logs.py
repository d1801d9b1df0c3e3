from __future__ import annotations

import re
import resource
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from plait.machine.init.logs import KEPT, PIECE, LineCutter, LogFile

LINE = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)$", re.DOTALL)


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_however_the_bytes_arrive_the_lines_are_the_same(chunks: list[bytes]) -> None:
    cutter = LineCutter()
    lines = [line for chunk in chunks for line in cutter.feed(chunk)] + cutter.end()
    assert b"".join(text + (b"\n" if ends else b"") for text, ends in lines).removesuffix(b"\n") == b"".join(
        chunks
    ).removesuffix(b"\n")


def test_a_long_line_is_cut_into_pieces_and_only_the_last_ends_it() -> None:
    cutter = LineCutter()
    lines = cutter.feed(b"x" * (2 * PIECE + 5) + b"\n")
    assert [(len(text), ends) for text, ends in lines] == [(PIECE, False), (PIECE, False), (5, True)]


def test_a_line_without_an_end_does_not_grow_without_bound() -> None:
    cutter = LineCutter()
    pieces = [piece for _ in range(10) for piece in cutter.feed(b"y" * PIECE)]
    assert all(not ends for _, ends in pieces)
    assert sum(len(text) for text, _ in pieces) >= 9 * PIECE


def test_lines_are_written_as_the_kubelet_writes_them(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "pods" / "a" / "0.log")
    log.write("stdout", [(b"one", True), (b"tw", False)])
    log.write("stderr", [(b"three", True)])
    log.close()
    found = [LINE.match(line) for line in (tmp_path / "pods" / "a" / "0.log").read_bytes().splitlines()]
    assert [match and match.groups() for match in found] == [
        (b"stdout", b"F", b"one"),
        (b"stdout", b"P", b"tw"),
        (b"stderr", b"F", b"three"),
    ]


def test_files_are_rotated_and_only_so_many_kept(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", limit=200)
    for number in range(40):
        log.write("stdout", [(b"line %d" % number, True)])
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.log", *(f"a.log.{number}" for number in range(1, KEPT + 1))]
    assert b"line 39" in (tmp_path / "a.log").read_bytes()
    sizes = {path.stat().st_size for path in tmp_path.iterdir() if path.name != "a.log"}
    assert min(sizes) > 100, "each is filled before the next begins"
    assert max(sizes) <= 200


def test_a_full_disk_loses_lines_and_nothing_else() -> None:
    log = LogFile(Path("/dev/full"))
    log.write("stdout", [(b"one", True), (b"two", True)])
    assert log.lost == 2


def test_lines_for_which_there_is_half_the_room_are_lost_as_a_whole(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    log.write("stdout", [(b"one", True)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file that may not grow beyond this takes a part of what is written, as one on a disk that is full does.
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "a.log").stat().st_size + 50, hard))
    try:
        log.write("stdout", [(b"two", True), (b"three", True)])
        log.write("stdout", [(b"x" * 100, True)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.write("stdout", [(b"four", True)])
    log.close()
    found = [LINE.match(line) for line in (tmp_path / "a.log").read_bytes().splitlines()]
    assert [match and match[3] for match in found] == [b"one", b"four"]
    assert log.lost == 3
