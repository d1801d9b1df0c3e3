"""SPDY/3.1 frames, as far as Kubernetes clients use them: streams, data, ping. Pure: bytes in, frames out.

Header blocks are compressed with one zlib context per direction for the whole connection, primed with a fixed
dictionary of words (SPDY protocol, draft 3, section 2.6.10.1).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY = 1, 2, 3, 4, 6, 7
FIN = 1
_CONTROL = 0x8000
_VERSION = 3
_HEAD = 8
#: Frames carry 24 bits of length; nobody sends headers or data near that.
MOST = 1 << 20

_WORDS = (  # one text, for it is one constant
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_MORE = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(len(word).to_bytes(4, "big") + word.encode() for word in (*_WORDS.split(), *_MORE)) + _TAIL.encode()
)


class SpdyError(Exception):
    """Bytes that are not SPDY/3.1, or more of it than is reasonable; the connection cannot go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame. `type` is 0 for data; `stream` is 0 where a frame has none; `headers` are those of SYN_STREAM."""

    type: int
    stream: int = 0
    fin: bool = False
    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Decoder:
    """Takes the bytes of one direction in any pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, piece: bytes) -> list[Frame]:
        """Frames that are complete now; raises SpdyError."""
        self._buffer += piece
        frames: list[Frame] = []
        while len(self._buffer) >= _HEAD:
            flags_length = int.from_bytes(self._buffer[4:8], "big")
            flags, length = flags_length >> 24, flags_length & 0xFFFFFF
            if length > MOST:
                raise SpdyError(f"frame of {length} bytes")
            if len(self._buffer) < _HEAD + length:
                break
            first = int.from_bytes(self._buffer[:4], "big")
            payload = bytes(self._buffer[_HEAD : _HEAD + length])
            del self._buffer[: _HEAD + length]
            frames.append(self._frame(first, flags, payload))
        return frames

    def _frame(self, first: int, flags: int, payload: bytes) -> Frame:
        fin = bool(flags & FIN)
        if not first >> 31:
            return Frame(type=0, stream=first, fin=fin, data=payload)
        version, kind = first >> 16, first & 0xFFFF
        if version != _CONTROL | _VERSION:
            raise SpdyError(f"version {version & 0x7FFF}, not 3")
        try:
            stream = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF if kind in {1, 2, 3} else 0
            skip = {SYN_STREAM: 10, SYN_REPLY: 4}.get(kind)
            headers = self._headers(payload[skip:]) if skip is not None else {}
        except (zlib.error, struct.error, UnicodeDecodeError) as problem:
            raise SpdyError(f"malformed frame of type {kind}: {problem}") from None
        return Frame(type=kind, stream=stream, fin=fin, data=payload, headers=headers)

    def _headers(self, block: bytes) -> dict[str, str]:
        raw = self._inflate.decompress(block, MOST)
        if self._inflate.unconsumed_tail:
            raise SpdyError("headers of more than a megabyte")
        (count,) = struct.unpack_from(">I", raw, 0)
        at, found = 4, {}
        for _ in range(count):
            texts = []
            for _part in range(2):
                (length,) = struct.unpack_from(">I", raw, at)
                texts.append(raw[at + 4 : at + 4 + length].decode())
                at += 4 + length
            found[texts[0].lower()] = texts[1]
        return found


class Encoder:
    """Makes the frames of one direction; SYN frames must be sent in the order they were made."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def syn_stream(self, stream: int, headers: dict[str, str]) -> bytes:
        """Open a stream."""
        return _control(SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + self._block(headers))

    def syn_reply(self, stream: int) -> bytes:
        """Accept a stream, with no headers."""
        return _control(SYN_REPLY, struct.pack(">I", stream) + self._block({}))

    def _block(self, headers: dict[str, str]) -> bytes:
        raw = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.encode(), value.encode()):
                raw += struct.pack(">I", len(text)) + text
        return self._deflate.compress(raw) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def data_frame(stream: int, data: bytes, *, fin: bool = False) -> bytes:
    """Data of a stream; `fin` ends our half of it."""
    return struct.pack(">II", stream, (FIN << 24 if fin else 0) | len(data)) + data


def ping_frame(payload: bytes) -> bytes:
    """The answer to a ping: its payload again."""
    return _control(PING, payload)


def reset_frame(stream: int, status: int) -> bytes:
    """Abort a stream."""
    return _control(RST_STREAM, struct.pack(">II", stream, status))


def _control(kind: int, payload: bytes) -> bytes:
    return struct.pack(">HHI", _CONTROL | _VERSION, kind, len(payload)) + payload
