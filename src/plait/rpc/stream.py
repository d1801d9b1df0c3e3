"""What a service needs of whatever carries its streams: our own server, or grpc.aio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing import NoReturn


class Refusal(Enum):
    """Why a stream ends early; the names of gRPC's status codes."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    UNAVAILABLE = "UNAVAILABLE"


class Stream(Protocol):
    """One bidirectional stream of whole messages, seen from the server."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Text metadata the peer sent with the call; names are lower-case."""
        ...

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate (DER) that the peer has shown and TLS has verified; None without one."""
        ...

    async def receive(self) -> bytes | None:
        """The next message; None when the peer has ended its side or is gone."""
        ...

    async def listen(self, take: Callable[[bytes], None]) -> None:
        """Give every further message to `take`, until the peer has ended its side or is gone.

        Instead of `receive` from then on: nobody is woken for a message. What `take` raises ends the listening.
        """
        ...

    def offer(self, message: bytes | Message) -> bool:
        """Send a message at once; False, and nothing sent, where `send` would have to wait, or cannot tell."""
        ...

    async def send(self, message: bytes | Message) -> None:
        """Hand over a message; waits while the peer does not read. Raises ConnectionError when it is gone."""
        ...

    async def refuse(self, code: Refusal, reason: str) -> NoReturn:
        """End the stream with a status."""
        ...


class Message:
    """A message that goes to many, in parts that others may have too. `form` is what a transport made of it, to be made
    once; it is gone with it.
    """

    __slots__ = ("_size", "form", "parts")

    def __init__(self, parts: Iterable[bytes]) -> None:
        self.parts = tuple(parts)
        self.form: Any = None
        self._size = sum(map(len, self.parts))

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)


Handler = Callable[[Stream], Awaitable[None]]
"""Serves one stream and returns when it is over."""


class Transport(Protocol):
    """A listening server."""

    async def serve(self, handlers: Mapping[str, Handler], *, started: Callable[[int], None]) -> None:
        """Serve methods (`/service/Name`) until cancelled; `started` is told the port once connections are accepted."""
        ...
