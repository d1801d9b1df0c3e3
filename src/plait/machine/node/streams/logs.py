"""Reads the CRI logs that init writes: newest lines, lines since a time, and lines as they come.

A line is `2026-11-22T10:00:00.123456789Z stdout F text`; `P` marks a piece that the next line goes on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from pathlib import Path

_BLOCK = 64 * 1024
_POLL = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What `kubectl logs` can ask for. `since` is a time as the log's own lines have it."""

    follow: bool = False
    tail: int | None = None
    since: str | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


def since_of(*, seconds: int | None, time: str | None, now: datetime) -> str | None:
    """The beginning that `sinceSeconds` or `sinceTime` ask for, comparable with a log line's time.

    Raises ValueError for a time that is none.
    """
    if seconds is not None:
        moment = now - timedelta(seconds=seconds)
    elif time is not None:
        moment = datetime.fromisoformat(time)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    else:
        return None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


async def read_log(path: Path, options: LogOptions, *, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log's text in pieces. With `follow` until `ended` says that nothing more will come.

    A log that is not there (yet) is empty. A file that is rotated meanwhile is read to its end first.
    """
    left, render = options.limit_bytes, Renderer(options)
    async for lines in _blocks(path, options, ended):
        text = b"".join(map(render.text, lines))
        if left is not None:
            text = text[:left]
            left -= len(text)
        if text:
            yield text
        if left == 0:
            return


class Renderer:
    """CRI lines to what people read."""

    def __init__(self, options: LogOptions) -> None:
        self._since = options.since.encode() if options.since else None
        self._timestamps = options.timestamps
        self._inside = False

    def text(self, line: bytes) -> bytes:
        """What a line of the file (without its end) says; nothing where it is too old or no CRI line."""
        parts = line.split(b" ", 3)
        if len(parts) < 3 or (self._since is not None and parts[0] < self._since):
            return b""
        head = parts[0] + b" " if self._timestamps and not self._inside else b""
        self._inside = parts[2] == b"P"
        return head + (parts[3] if len(parts) > 3 else b"") + (b"" if self._inside else b"\n")


async def _blocks(path: Path, options: LogOptions, ended: Callable[[], bool]) -> AsyncIterator[list[bytes]]:
    with ExitStack() as files:
        parts = [files.enter_context(part.open("rb")) for part in _parts(path)]
        if options.tail is not None:
            yield _last_lines(parts, options.tail)
            parts = parts[-1:]
        for older in parts[:-1]:
            while lines := older.readlines(_BLOCK):
                yield [line.rstrip(b"\n") for line in lines]
        newest, rest = parts[-1] if parts else None, b""
        while True:
            # Asked before reading: what is written between the question and the end of the file is still read.
            last = not options.follow or ended()
            if newest is None and path.exists():
                newest = files.enter_context(path.open("rb"))
            while newest is not None and (block := newest.read(_BLOCK)):
                *lines, rest = (rest + block).split(b"\n")
                yield lines
            if newest is not None and _rotated(newest, path):
                newest = None
            elif last:
                return
            else:
                await asyncio.sleep(_POLL)


def _parts(path: Path) -> list[Path]:
    """A log's files, oldest first."""
    older = [path.with_name(f"{path.name}.{number}") for number in range(9, 0, -1)]
    return [part for part in (*older, path) if part.exists()]


def _last_lines(parts: list[BufferedReader], count: int) -> list[bytes]:
    """The last `count` lines over all files, where pieces count with the line they belong to.

    The newest file is left where its last whole line ends.
    """
    kept: list[bytes] = []
    for reader in reversed(parts):
        data, start = b"", reader.seek(0, os.SEEK_END)
        while start > 0 and _wholes(data.split(b"\n")) <= count - _wholes(kept):
            step = min(_BLOCK, start)
            start -= step
            reader.seek(start)
            data = reader.read(step) + data
        whole, _, rest = data.rpartition(b"\n")
        if reader is parts[-1]:
            reader.seek(-len(rest), os.SEEK_END)
        lines = whole.split(b"\n") if whole else []
        kept = (lines[1:] if start > 0 else lines) + kept
        if _wholes(kept) >= count:
            break
    return _cut(kept, count)


def _cut(lines: list[bytes], count: int) -> list[bytes]:
    """The lines from the first piece of the last but `count - 1` line on."""
    wholes = 0
    for index in range(len(lines) - 1, -1, -1):
        wholes += _ends(lines[index])
        if wholes > count:
            return lines[index + 1 :]
    return lines


def _wholes(lines: list[bytes]) -> int:
    return sum(map(_ends, lines))


def _ends(line: bytes) -> bool:
    parts = line.split(b" ", 3)
    return len(parts) > 2 and parts[2] == b"F"


def _rotated(reader: BufferedReader, path: Path) -> bool:
    try:
        return path.stat().st_ino != os.fstat(reader.fileno()).st_ino
    except FileNotFoundError:
        return False
