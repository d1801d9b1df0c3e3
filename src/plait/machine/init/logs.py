"""The log files of what init runs: CRI lines, rotated, never in the way of the process that writes.

A line is `2026-11-22T10:00:00.123456789Z stdout F text`; `P` marks a piece of a line longer than `PIECE`. The writer
lives in init, not in the process that asked for the log, so that no line is lost when that process is killed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Bytes after which a file is renamed to `.1`; the older ones move up to `.KEPT`.
LIMIT = 10 * 1024 * 1024
KEPT = 5
#: Longest piece of one line, as in the kubelet's CRI logs.
PIECE = 16 * 1024


class LogFile:
    """One process's log. A full disk loses lines, never the process: `lost` counts them."""

    def __init__(self, path: Path, *, limit: int = LIMIT) -> None:
        self.path = path
        self.lost = 0
        self._limit = limit
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._open()
        self._size = os.fstat(self._file).st_size

    def write(self, stream: str, lines: list[tuple[bytes, bool]]) -> None:
        """Append lines of `stream` (`stdout` or `stderr`); the flag of each says whether it is a whole line's end."""
        head = _stamp() + b" " + stream.encode() + b" "
        block = b"".join(head + (b"F " if ends else b"P ") + text + b"\n" for text, ends in lines)
        try:
            if self._size + len(block) > self._limit and self._size:
                self._rotate()
            if os.write(self._file, block) == len(block):
                self._size += len(block)
                return
            # There was room for a part of it, whose last line would run into the next that finds room.
            os.ftruncate(self._file, self._size)
        except OSError:
            pass
        self.lost += len(lines)

    def close(self) -> None:
        """Close the file; the log stays."""
        os.close(self._file)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def _rotate(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        os.close(self._file)
        self._file = self._open()
        self._size = 0


class LineCutter:
    """Cuts a byte stream into lines of at most `PIECE` bytes; `feed` returns (text, ends here) pairs."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """Lines completed by `data`, and pieces of lines that grew too long."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines: list[tuple[bytes, bool]] = []
        for line in whole:
            lines += _pieces(line)
        while len(self._rest) > PIECE:
            lines.append((self._rest[:PIECE], False))
            self._rest = self._rest[PIECE:]
        return lines

    def end(self) -> list[tuple[bytes, bool]]:
        """What is left when the stream ends without a newline."""
        rest, self._rest = self._rest, b""
        return _pieces(rest) if rest else []


def _pieces(line: bytes) -> list[tuple[bytes, bool]]:
    if len(line) <= PIECE:
        return [(line, True)]
    cuts = [line[start : start + PIECE] for start in range(0, len(line), PIECE)]
    return [(cut, False) for cut in cuts[:-1]] + [(cuts[-1], True)]


def _stamp() -> bytes:
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % nanos
