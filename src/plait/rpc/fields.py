"""Header fields of a request: HTTP/2's rules (RFC 9113, section 8) and gRPC's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_PSEUDO: Final = frozenset({":method", ":scheme", ":path", ":authority"})
_NEEDED: Final = (":method", ":scheme", ":path")
_CONNECTION: Final = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})


class MalformedFieldsError(Exception):
    """Header fields that make a request malformed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request's fields. Metadata has the first value of each name; binary metadata (`-bin`) is left out."""

    method: str
    path: str
    length: int | None
    metadata: Mapping[str, str]

    @property
    def is_grpc(self) -> bool:
        """Whether it is a call of gRPC at all."""
        kind = self.metadata.get("content-type", "")
        return self.method == "POST" and (
            kind == "application/grpc" or kind.startswith(("application/grpc+", "application/grpc;"))
        )


def request(fields: Iterable[tuple[str, str]]) -> Request:
    """Read a request. Raises MalformedFieldsError."""
    pseudo: dict[str, str] = {}
    metadata: dict[str, str] = {}
    regular = False
    for name, value in fields:
        if name.startswith(":"):
            if regular or name not in _PSEUDO or name in pseudo:
                raise MalformedFieldsError(f"the pseudo-header field {name!r} is unknown, repeated or late")
            pseudo[name] = value
            continue
        regular = True
        _regular(name, value)
        if not name.endswith("-bin"):
            metadata.setdefault(name, value)
    for name in _NEEDED:
        if not pseudo.get(name):
            raise MalformedFieldsError(f"no {name}")
    length = metadata.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit()):
        raise MalformedFieldsError("content-length is no number")
    return Request(pseudo[":method"], pseudo[":path"], None if length is None else int(length), metadata)


def trailers(fields: Iterable[tuple[str, str]]) -> None:
    """Check a request's trailers, of which gRPC has none that mean anything. Raises MalformedFieldsError."""
    for name, value in fields:
        if name.startswith(":"):
            raise MalformedFieldsError("a pseudo-header field among trailers")
        _regular(name, value)


def _regular(name: str, value: str) -> None:
    if not name or name != name.lower():
        raise MalformedFieldsError(f"the field name {name!r} is empty or not lower-case")
    if name in _CONNECTION or (name == "te" and value != "trailers"):
        raise MalformedFieldsError(f"the field {name!r} belongs to HTTP/1")
    if "\0" in value or "\r" in value or "\n" in value:
        raise MalformedFieldsError(f"the value of {name!r} has a control character")


def percent(text: str) -> str:
    """The encoding of `grpc-message`: printable ASCII but `%` as it is, every other byte of UTF-8 as %XX."""
    return "".join(chr(b) if 0x20 <= b <= 0x7E and b != 0x25 else f"%{b:02X}" for b in text.encode())
