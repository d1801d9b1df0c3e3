"""Frames of exec and attach between the API server and the node's stream socket. Pure: bytes in, frames out.

After `101 Switching Protocols` both sides send frames: one byte channel, four bytes length (big-endian), the bytes.
Channels are numbered as Kubernetes numbers them in WebSocket messages, so the API server passes most frames on as they
come. The node's last frame is a `Status` (JSON) on STATUS. A side that closes without it has gone away.
"""

from __future__ import annotations

from dataclasses import dataclass

STDIN, STDOUT, STDERR, STATUS, RESIZE = 0, 1, 2, 3, 4
#: The end of stdin; carries nothing.
STDIN_END = 255
#: The most one frame carries: a side that sends more is not speaking this protocol.
MOST = 1 << 20
_HEAD = 5
_CHANNELS = frozenset({STDIN, STDOUT, STDERR, STATUS, RESIZE, STDIN_END})


class FrameError(Exception):
    """Bytes that are no frames; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    channel: int
    data: bytes = b""


def encode(channel: int, data: bytes = b"") -> bytes:
    """The bytes that carry `data`, in as many frames as it takes (one for nothing)."""
    pieces = [data[at : at + MOST] for at in range(0, len(data), MOST)] or [b""]
    return b"".join(bytes([channel]) + len(piece).to_bytes(4, "big") + piece for piece in pieces)


class Decoder:
    """Takes the bytes of one direction in any pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> list[Frame]:
        """Frames that are complete now; raises FrameError."""
        self._buffer += piece
        frames: list[Frame] = []
        at = 0
        while len(self._buffer) - at >= _HEAD:
            channel, length = self._buffer[at], int.from_bytes(self._buffer[at + 1 : at + _HEAD], "big")
            if channel not in _CHANNELS or length > MOST:
                raise FrameError(f"channel {channel} with {length} bytes")
            end = at + _HEAD + length
            if len(self._buffer) < end:
                break
            frames.append(Frame(channel, bytes(self._buffer[at + _HEAD : end])))
            at = end
        del self._buffer[:at]
        return frames
