"""One stream of a connection: a call of a served method, as Stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from plait.rpc.fields import Request, percent
from plait.rpc.frames import Code, StreamFault
from plait.rpc.framing import PREFIX, prefixed

if TYPE_CHECKING:
    from plait.rpc.stream import Message, Refusal

#: gRPC's numbers of the statuses a server gives.
STATUS: Final = {
    "OK": 0,
    "INVALID_ARGUMENT": 3,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}
#: A first request carries Envoy's list of extensions (60 KB) and, on a reconnect, a version for every resource.
LARGEST_MESSAGE: Final = 16 << 20
#: Bytes a peer may send ahead on one stream.
WINDOW: Final = 1 << 20
#: Bytes that are owed before leave to send as many more is worth a frame.
_WORTH: Final = 32 << 10


class RefusedError(Exception):
    """Ends the handler of a call that was refused."""


class Carrier(Protocol):
    """What a call needs of its connection."""

    def try_send(self, call: Call, message: bytes | Message) -> bool:
        """Send a message now; False where the peer, or the network, has to catch up first."""
        ...

    def send_later(self, call: Call) -> None:
        """`call.outgoing` is to be sent as the peer gives leave."""
        ...

    def finish(self, call: Call, code: int, message: str) -> None:
        """End the stream with a status."""
        ...

    def grant(self, stream: int, size: int) -> None:
        """Let the peer send so many more bytes on the stream."""
        ...

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate (DER) that the peer has shown and TLS has verified."""
        ...


class Call:
    """See Stream. `window` is what the peer lets us send, `left` what it may send before it hears from us.

    `unserved` is the whole answer to what is no call of gRPC, given when the peer has ended.
    """

    def __init__(self, carrier: Carrier, number: int, request: Request, *, window: int) -> None:
        self.number = number
        self.window = window
        self.left = WINDOW
        self.ended = False
        self.gone = False
        self.begun = False
        self.unserved = b""
        self.outgoing: memoryview | None = None
        self._carrier = carrier
        self._request = request
        self._partial = bytearray()
        self._messages: deque[bytes] = deque()
        self._unread = 0
        self._bytes = 0
        self._reading: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], None] | None = None

    @property
    def method(self) -> str:
        """What is called, for example `/service/Name`."""
        return self._request.path

    @property
    def peer_certificate(self) -> bytes | None:
        """See Stream."""
        return self._carrier.peer_certificate

    @property
    def metadata(self) -> Mapping[str, str]:
        """See Stream."""
        return self._request.metadata

    async def receive(self) -> bytes | None:
        """See Stream."""
        while not self._messages:
            if self.ended or self.gone:
                return None
            self._reading = asyncio.get_running_loop().create_future()
            try:
                await self._reading
            finally:
                self._reading = None
        message = self._messages.popleft()
        self._unread -= len(message) + 5
        self._give_back()
        return message

    async def listen(self, take: Callable[[bytes], None]) -> None:
        """See Stream."""
        self._reading = asyncio.get_running_loop().create_future()
        self._take = take
        try:
            self._hand_over()
            self._give_back()
            if self._reading.done() or not (self.ended or self.gone):
                await self._reading
        finally:
            self._reading = self._take = None

    def offer(self, message: bytes | Message) -> bool:
        """See Stream."""
        return not self.gone and self.outgoing is None and self._carrier.try_send(self, message)

    async def send(self, message: bytes | Message) -> None:
        """See Stream."""
        if self.gone:
            raise ConnectionError("the stream is over")
        if self.outgoing is None and self._carrier.try_send(self, message):
            return
        if self.outgoing is not None:
            raise AssertionError("one writer at a time")
        self.outgoing = memoryview(prefixed(message))
        self._writing = asyncio.get_running_loop().create_future()
        self._carrier.send_later(self)
        try:
            await self._writing
        finally:
            self._writing = None

    async def refuse(self, code: Refusal, reason: str) -> NoReturn:
        """See Stream."""
        self._carrier.finish(self, STATUS[code.name], percent(reason))
        raise RefusedError(reason)

    def finish(self, code: int, message: str) -> None:
        """End the stream with a status; nothing where it is over."""
        self._carrier.finish(self, code, message)

    # from the connection

    def take_whole(self, message: bytes) -> bool:
        """A message that is all of a DATA frame but its prefix, for who listens; False, and nothing taken, where it has
        to go the long way.
        """
        size = len(message) + PREFIX
        take = self._take
        if take is None or self._partial or self.ended or size > self.left:
            return False
        self.left -= size
        self._bytes += size
        try:
            take(message)
        except Exception as error:  # noqa: BLE001 -- see _failed
            self._failed(error)
        if WINDOW - self.left >= _WORTH:
            self._give_back()
        return True

    def feed(self, data: bytes, counted: int) -> None:
        """Payload of DATA; `counted` is its size with padding. Raises StreamFault."""
        self.left -= counted
        if self.left < 0:
            raise StreamFault(self.number, Code.FLOW_CONTROL_ERROR, "more data than was allowed")
        self._bytes += len(data)
        if not self.unserved:
            self._partial += data
        while len(self._partial) >= 5:
            length = int.from_bytes(self._partial[1:5])
            if self._partial[0] or length > LARGEST_MESSAGE:
                what = "compressed" if self._partial[0] else f"of {length} bytes"
                self._carrier.finish(self, STATUS["UNIMPLEMENTED"], percent(f"messages {what} are not taken"))
                return
            if len(self._partial) < 5 + length:
                break
            self._messages.append(bytes(self._partial[5 : 5 + length]))
            self._unread += 5 + length
            del self._partial[: 5 + length]
        if self._take is not None:
            self._hand_over()
        elif self._messages:
            self._wake()
        self._give_back()

    def end(self) -> None:
        """The peer will send no more. Raises StreamFault where it had announced another length."""
        self.ended = True
        if self._request.length is not None and self._request.length != self._bytes:
            raise StreamFault(self.number, Code.PROTOCOL_ERROR, "content-length differs from what came")
        self._wake()

    def over(self) -> None:
        """The stream is closed: nothing can be sent or will come."""
        self.gone = True
        self.outgoing = None
        self._wake()
        if self._writing and not self._writing.done():
            self._writing.set_exception(ConnectionError("the stream is over"))

    def written(self) -> None:
        """All of `outgoing` is on its way."""
        self.outgoing = None
        if self._writing and not self._writing.done():
            self._writing.set_result(None)

    def _hand_over(self) -> None:
        """Give what has come to the listener; its failure is the handler's, not the connection's."""
        while self._messages and self._take is not None:
            message = self._messages.popleft()
            self._unread -= len(message) + 5
            try:
                self._take(message)
            except Exception as error:  # noqa: BLE001 -- see _failed
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        """A failure of the listener is raised again where the handler waits: it is not the connection's."""
        self._take = None
        if self._reading and not self._reading.done():
            self._reading.set_exception(error)

    def _wake(self) -> None:
        if self._reading and not self._reading.done():
            self._reading.set_result(None)

    def _give_back(self) -> None:
        """Let the peer send on for all that is not kept waiting here: messages nobody has read hold it back."""
        owed = WINDOW - self.left - self._unread
        if owed >= _WORTH and not (self.ended or self.gone):
            self.left += owed
            self._carrier.grant(self.number, owed)
