"""An answer that comes in pieces, or whose pieces somebody wants to keep."""

from __future__ import annotations

from enum import Enum

from plait.load.answer import CHUNKED, UNTOLD, AnswerError, Chunks, Shape, Shapes, code_of, good


class State(Enum):
    """How far an answer has come."""

    HEAD = "its head is not complete"
    BODY = "its body is not complete"
    COMPLETE = "it is complete"
    OVERLONG = "it is complete, or cut, and more came than belongs to it: the connection is of no more use"
    REFUSED = "it is no success, and what follows is not read"


class Partial:
    """Collects one answer. `most` is how much is read of it; `keep` keeps head and body."""

    __slots__ = ("_chunks", "_keep", "_kept", "_most", "_shapes", "raw", "shape", "size")

    def __init__(self, shapes: Shapes, *, most: int, keep: bool = False) -> None:
        self._shapes, self._most, self._keep = shapes, most, keep
        self._chunks: Chunks | None = None
        self._kept = bytearray()
        #: The bytes so far up to the end of the head; of a refused answer all.
        self.raw = bytearray()
        #: Known as soon as the head is complete.
        self.shape: Shape | None = None
        #: How much has come, or as much of it as counts.
        self.size = 0

    @property
    def code(self) -> int:
        """The status code, -1 if none has come yet."""
        return code_of(self.raw)

    @property
    def head(self) -> bytes:
        """The head with its blank line; empty until it is complete."""
        return bytes(self.raw[: self.shape.head]) if self.shape else b""

    @property
    def body(self) -> bytes:
        """The body without the framing of chunks; of a refused answer all that came."""
        if self.shape is None:
            return bytes(self.raw)
        if self._chunks is not None:
            return bytes(self._chunks.body or b"")
        return bytes(self._kept[: self.shape.length if self.shape.length >= 0 else None])

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of this answer."""
        return self.shape is not None and self.shape.length == UNTOLD

    @property
    def too_long(self) -> bool:
        """Whether its head says that not all of it will be read."""
        return self.shape is not None and self.shape.total > self._most

    def feed(self, data: bytes) -> State:
        """Take what came. Raises AnswerError."""
        self.size += len(data)
        if self.shape is not None:
            return self._body(self.shape, data)
        self.raw += data
        if len(self.raw) >= 12 and not good(self.code):
            return State.REFUSED
        end = self.raw.find(b"\r\n\r\n")
        if end < 0:
            if self.size >= self._most:
                raise AnswerError("the head is larger than the buffer: increase -httpbufferkb")
            return State.HEAD
        self.shape = self._shapes(bytes(self.raw[:end]))
        if self.shape.length == CHUNKED:
            self._chunks = Chunks(keep=self._keep)
        return self._body(self.shape, bytes(self.raw[end + 4 :]))

    def _body(self, shape: Shape, data: bytes) -> State:
        end = -1
        if self._chunks is not None:
            end = self._chunks.feed(data)
        elif self._keep:
            self._kept += data
        if end >= 0:
            extra = len(data) - end
            self.size -= extra
            return State.OVERLONG if extra else State.COMPLETE
        if 0 <= shape.total <= min(self.size, self._most):
            extra = self.size - shape.total
            self.size = shape.total
            return State.OVERLONG if extra else State.COMPLETE
        if self.size >= self._most:
            self.size = self._most
            return State.OVERLONG
        return State.BODY
