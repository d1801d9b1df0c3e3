"""What a connection sends: frames and messages, as far as the peer and the network let it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from plait.rpc import framing
from plait.rpc.frames import DEFAULT_WINDOW, LARGEST_FRAME, Code, ConnectionFault, Type
from plait.rpc.stream import Message

#: A message up to this size is written whole where the peer allows it; what is larger waits for the network.
_AT_ONCE: Final = 128 << 10
_HIGH_WATER: Final = 64 << 10
#: Answers that a peer may cause and not read.
_UNREAD: Final = 1000


class Sending(Protocol):
    """A call that sends: what the peer lets it send, whether headers went before, and what is to be sent."""

    number: int
    window: int
    begun: bool
    outgoing: memoryview | None

    def written(self) -> None:
        """All of `outgoing` is on its way."""
        ...


class Outgoing:
    """The sending half of a connection. `window` is what the peer takes on all streams together."""

    def __init__(self) -> None:
        self.window = DEFAULT_WINDOW
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._ended = False
        self._unread = 0
        self._queue: deque[Sending] = deque()
        self._held: list[bytes] | None = None
        self._held_size = 0

    # the connection's life

    def begin(self, transport: asyncio.Transport) -> None:
        """There is a connection."""
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        self._transport = transport

    def end(self, last: int, code: Code, reason: str) -> None:
        """Say goodbye, once; what is written still goes out, and nothing after it."""
        if self._transport is not None and not self._ended:
            self.let_go()
            self._ended = True
            self._transport.write(framing.goaway(last, code, reason))
            self._transport.close()

    def abort(self) -> None:
        """The peer is not there."""
        if self._transport is not None:
            self._transport.abort()

    def lost(self) -> None:
        """The connection is gone."""
        self._transport = self._held = None
        self._queue.clear()

    @property
    def ended(self) -> bool:
        """Whether goodbye was said."""
        return self._ended

    def pause(self) -> None:
        """The network has to catch up."""
        self._paused = True

    def resume(self) -> None:
        """It has."""
        self._paused = False
        self._unread = 0
        self.pump()

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate (DER) that the peer has shown and TLS has verified."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return tls.getpeercert(binary_form=True) if tls is not None else None

    # frames

    def write(self, data: bytes) -> None:
        """Whole frames."""
        if self._transport is not None and not self._ended:
            self._put(self._transport, data)

    def hold(self) -> None:
        """Keep what is written until `let_go`: what answers one read of the network is one write to it."""
        self._held, self._held_size = [], 0

    def let_go(self) -> None:
        """Write what was kept."""
        held, self._held = self._held, None
        if held and self._transport is not None and not self._ended:
            if len(held) == 1:
                self._transport.write(held[0])
            else:
                self._transport.writelines(held)

    def _put(self, transport: asyncio.Transport, data: bytes) -> None:
        if self._held is None:
            transport.write(data)
            return
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > _AT_ONCE:
            # Large enough; whether the network still takes it must be known before there is more.
            self.let_go()
            self.hold()

    def reply(self, data: bytes) -> None:
        """An answer that the peer caused without cost: bounded while it does not read. Raises ConnectionFault."""
        if self._paused:
            self._unread += 1
            if self._unread > _UNREAD:
                raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many answers that nobody reads")
        self.write(data)

    # messages

    def try_send(self, call: Sending, message: bytes | Message) -> bool:
        """Send a message now; False where the peer, or the network, has to catch up first."""
        transport = self._transport
        if transport is None or self._ended or self._paused or self._queue or len(message) > _AT_ONCE:
            return False
        framed = framing.framed(message, call.number, LARGEST_FRAME)
        if framed.size > self.window or framed.size > call.window:
            return False
        if not call.begun:
            self._head(call)
        self.window -= framed.size
        call.window -= framed.size
        self._put(transport, framed.data)
        return True

    def send_later(self, call: Sending) -> None:
        """`call.outgoing` is to be sent as the peer gives leave."""
        self._queue.append(call)
        self.pump()

    def pump(self) -> None:
        """Send of what waits as much as the peer and the network allow, the streams in turn."""
        stuck = 0
        while self._queue and not self._paused and self._transport is not None and stuck < len(self._queue):
            call = self._queue.popleft()
            left = call.outgoing
            if left is None:
                continue
            # A larger frame is no gain: what is framed for one peer then fits the others too.
            size = min(len(left), self.window, call.window, LARGEST_FRAME)
            if size <= 0:
                self._queue.append(call)
                stuck += 1
                continue
            stuck = 0
            if not call.begun:
                self._head(call)
            self.window -= size
            call.window -= size
            self._put(self._transport, framing.frame(Type.DATA, 0, call.number, bytes(left[:size])))
            call.outgoing = left[size:]
            if call.outgoing:
                self._queue.append(call)
            else:
                call.written()

    def _head(self, call: Sending) -> None:
        """The headers before the first message."""
        call.begun = True
        self.write(framing.response(call.number))
