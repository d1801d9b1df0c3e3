"""Reading an HTTP/1 answer with as little work as possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: `length` of a body without one: ended by its last chunk, or not told at all.
CHUNKED: Final = -1
UNTOLD: Final = -2
_MOST_SHAPES: Final = 4096


class AnswerError(ValueError):
    """What came is not an HTTP answer."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the head of an answer says: its code, its own size with the blank line, and how long the body is."""

    code: int
    head: int
    length: int
    close: bool

    @property
    def total(self) -> int:
        """The size of the whole answer, or below 0 if the head does not tell."""
        return self.head + self.length if self.length >= 0 else -1


def good(code: int) -> bool:
    """What fortio counts as success: 2xx, and the teapot's 418."""
    return 200 <= code <= 299 or code == 418


def code_of(data: bytes | bytearray) -> int:
    """The status code at the start of an answer; -1 if there is none."""
    digits = bytes(data[9:12])
    return int(digits) if data[:5] == b"HTTP/" and digits.isdigit() else -1


def read_head(head: bytes, verb: str) -> Shape:
    """The shape of an answer from its head, without the blank line. Raises AnswerError."""
    code, size = code_of(head), len(head) + 4
    if code < 0:
        raise AnswerError(f"not an HTTP answer: {head[:20]!r}")
    fields: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip().lower()
    close = b"close" in fields.get(b"connection", b"")
    if verb == "HEAD" or code in {204, 304}:
        return Shape(code, size, 0, close)
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return Shape(code, size, CHUNKED, close)
    length = fields.get(b"content-length")
    if length is None:
        return Shape(code, size, UNTOLD, close)
    if not length.isdigit():
        raise AnswerError(f"content-length is {length!r}")
    return Shape(code, size, int(length), close)


class Shapes:
    """Heads seen before and what they say: most answers of a load have the same head, byte for byte."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._known: dict[bytes, Shape] = {}

    def __call__(self, head: bytes) -> Shape:
        """What a head says. Raises AnswerError."""
        found = self._known.get(head)
        if found is None:
            if len(self._known) >= _MOST_SHAPES:
                self._known.clear()
            found = self._known[head] = read_head(head, self._verb)
        return found


class Chunks:
    """Finds the end of a chunked body, wherever the network cuts it."""

    __slots__ = ("_left", "_line", "_state", "body")

    def __init__(self, *, keep: bool = False) -> None:
        self._state = "size"
        self._left = 0
        self._line = bytearray()
        #: The data without its framing, where it is kept.
        self.body: bytearray | None = bytearray() if keep else None

    def feed(self, data: bytes | bytearray) -> int:
        """Take data; the place in it after the end of the body, or -1. Raises AnswerError."""
        place, size = 0, len(data)
        while place < size:
            if self._state == "data":
                taken = min(self._left, size - place)
                if self.body is not None:
                    self.body += data[place : place + taken]
                place += taken
                self._left -= taken
                if not self._left:
                    self._state = "end"
                continue
            newline = data.find(b"\n", place)
            self._line += data[place : newline + 1 if newline >= 0 else size]
            if newline < 0:
                return -1
            place = newline + 1
            line = bytes(self._line).strip()
            self._line.clear()
            if self._state == "end":
                self._state = "size"
            elif self._state == "trailer":
                if not line:
                    return place
            else:
                self._size(line)
        return -1

    def _size(self, line: bytes) -> None:
        try:
            self._left = int(line.partition(b";")[0], 16)
        except ValueError as error:
            raise AnswerError(f"the size of a chunk is {line!r}") from error
        self._state = "data" if self._left else "trailer"
