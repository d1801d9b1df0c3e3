"""One connection of a load: sends a request, reads the answer, and says so; reconnects by fortio's rules.

Closed loop: one request at a time. A connection is closed after an answer that is not a success. A reused connection
that turns out dead before the first byte of an answer is replaced once, silently.
"""

from __future__ import annotations

import errno
import os
import random
import select
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final, Protocol

from plait.load import log as levels
from plait.load.answer import AnswerError, Shape, Shapes
from plait.load.histogram import Histogram
from plait.load.log import Log
from plait.load.partial import Partial, State
from plait.load.target import Addresses, fresh_uuids, has_uuids, shown

#: The code of a call that got no answer.
SOCKET_ERROR: Final = -1
_READ: Final = 1 << 16
#: Why nothing can be read or written now: ask again when epoll says so.
_LATER: Final = (BlockingIOError, InterruptedError)

Done = Callable[["Connection", int, int, int], None]


class Loop(Protocol):
    """Where connections wait: handlers by descriptor, called with what epoll reports."""

    def add(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Watch a new descriptor."""

    def change(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Watch it for something else."""

    def remove(self, fd: int) -> None:
        """Forget it; to be called before it is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all connections of a load share."""

    request: bytes
    verb: str
    addresses: Addresses | None
    unix: str | None = None
    timeout: float = 3.0
    keepalive: bool = True
    half_close: bool = False
    heed_close: bool = False
    most: int = 128 << 10
    reuse: tuple[int, int] = (0, 0)
    log_errors: bool = True
    keep_body: bool = False
    resolution: float = 0.001
    offset: float = 0.0
    run: int = 0


class Connection:
    """A thread of the load, in fortio's words."""

    __slots__ = (
        "_answers", "_connecting", "_fd", "_log", "_loop", "_partial", "_plan", "_recv", "_request", "_rest",
        "_retried", "_reuse", "_reused", "_send", "_shapes", "_sock", "_varies", "addresses", "body",
        "busy", "calls", "connects", "deadline", "done", "head", "number", "started",
    )  # fmt: skip

    def __init__(self, number: int, plan: Plan, loop: Loop, log: Log, shapes: Shapes) -> None:
        self.number = number
        self._plan, self._loop, self._log, self._shapes = plan, loop, log, shapes
        self._request = plan.request
        self._varies = has_uuids(plan.request)
        #: Told of each answer: the connection, code, size of the whole answer, size of its head.
        self.done: Done = _nobody
        #: When the call of the moment began, and when it has taken too long (`time.perf_counter`).
        self.started = self.deadline = 0.0
        self.busy = False
        self.calls = 0
        #: How long each connection took to make, failed ones too.
        self.connects = Histogram(plan.offset, plan.resolution)
        self.addresses: Counter[str] = Counter()
        #: Head and body of the last answer, where the plan keeps them.
        self.head, self.body = b"", b""
        self._sock: socket.socket | None = None
        self._fd = -1
        self._reuse = self._limit()
        self._answers = 0
        self._reused = self._retried = False
        self._rest = b""
        self._connecting = 0.0
        self._partial: Partial | None = None

    @property
    def sockets(self) -> int:
        """How many were used."""
        return self.addresses.total()

    def call(self, now: float) -> None:
        """Begin a call: it is measured from `now`."""
        self.started = now
        self.busy = True
        self._retried = False
        self._begin(now)

    def expire(self, now: float) -> None:
        """The call has taken too long."""
        if self._connecting:
            self._connect_failed(TimeoutError(errno.ETIMEDOUT, "i/o timeout"), now)
        else:
            self._fail("Timeout error (incomplete/invalid response)", "i/o timeout")

    def close(self) -> None:
        """Drop the socket."""
        if self._sock is not None:
            self._loop.remove(self._fd)
            self._sock.close()
            self._sock = None
            self._fd = -1
        self._connecting = 0.0

    # --- connecting

    def _begin(self, now: float) -> None:
        self.deadline = now + self._plan.timeout
        if self._sock is None:
            self._reused = False
            self._connect()
        else:
            self._reused = True
            self._write()

    def _connect(self) -> None:
        now = self._connecting = perf_counter()
        plan, self._answers = self._plan, 0
        try:
            if plan.unix is not None:
                sock, address = socket.socket(socket.AF_UNIX), plan.unix
            else:
                assert plan.addresses is not None  # noqa: S101 -- one of the two is always given
                family, address = plan.addresses.next()  # type: ignore[assignment]
                sock = socket.socket(family)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self._log.write(levels.ERROR, "Unable to resolve hostname", err=_why(error), **self._who())
            self._connecting = 0.0
            self._finish(SOCKET_ERROR, 0, 0)
            return
        self.addresses[shown(address)] += 1
        sock.setblocking(False)
        self._sock, self._fd = sock, sock.fileno()
        code = sock.connect_ex(address)
        self._loop.add(self._fd, select.EPOLLOUT, self._on_connected)
        if code not in {0, errno.EINPROGRESS}:
            self._connect_failed(OSError(code, os.strerror(code)), now)

    def _on_connected(self, _events: int) -> None:
        assert self._sock is not None  # noqa: S101 -- or nothing would wait for it
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        now = perf_counter()
        if code:
            self._connect_failed(OSError(code, os.strerror(code)), now)
        else:
            self._established()

    def _established(self) -> None:
        """The way is open: with TLS only after its handshake."""
        assert self._sock is not None  # noqa: S101
        self.connects.add(perf_counter() - self._connecting)
        self._connecting = 0.0
        self._recv, self._send = self._calls(self._sock)
        self._loop.change(self._fd, select.EPOLLIN, self._on_read)
        self._write()

    def _calls(self, sock: socket.socket) -> tuple[Callable[[int], bytes], Callable[[bytes], int]]:
        """How to receive and send."""
        return sock.recv, sock.send

    def _connect_failed(self, error: OSError, now: float) -> None:
        self.connects.add(now - self._connecting)
        destination = next(reversed(self.addresses))
        self._log.write(
            levels.ERROR, "Unable to connect", dest=destination, err=f"dial {destination}: {_why(error)}", **self._who()
        )
        self.close()
        self._finish(SOCKET_ERROR, 0, 0)

    # --- writing

    def _write(self) -> None:
        request = fresh_uuids(self._request) if self._varies else self._request
        try:
            sent = self._send(request)
        except _LATER:
            sent = 0
        except OSError as error:
            self._dead("Unable to write", error)
            return
        if sent != len(request):
            self._rest = request[sent:]
            self._loop.change(self._fd, select.EPOLLIN | select.EPOLLOUT, self._on_room)
        elif self._plan.half_close and not self._plan.keepalive:
            self._sock.shutdown(socket.SHUT_WR)  # type: ignore[union-attr]

    def _on_room(self, events: int) -> None:
        """There is room for more of a request that did not fit at once, or an answer that did not wait for it."""
        if events & ~select.EPOLLOUT:
            self._loop.change(self._fd, select.EPOLLIN, self._on_read)
            self._on_read(events)
            return
        try:
            sent = self._send(self._rest)
        except _LATER:
            return
        except OSError as error:
            self._dead("Unable to write", error)
            return
        self._rest = self._rest[sent:]
        if not self._rest:
            self._loop.change(self._fd, select.EPOLLIN, self._on_read)

    # --- reading

    def _on_read(self, _events: int) -> None:
        try:
            data = self._recv(_READ)
        except _LATER:
            return
        except OSError as error:
            self._dead("Read error", error)
            return
        if not data:
            self._ended()
        elif self._partial is not None or not self.busy:
            self._more(data)
        else:
            end = data.find(b"\r\n\r\n")
            if end > 0 and data[9:10] == b"2":
                try:
                    shape = self._shapes(data[:end])
                except AnswerError:
                    self._more(data)
                    return
                # The usual case: the whole answer at once, and it ends where its head says.
                if shape.total == len(data) <= self._plan.most and not self._plan.keep_body:
                    if shape.close and self._plan.heed_close:
                        self.close()
                    self._finish(shape.code, shape.total, shape.head)
                    return
            self._more(data)

    def _more(self, data: bytes) -> None:
        """Part of an answer, or one that needs a closer look."""
        if not self.busy:  # nobody asked: what a server says out of turn belongs to no call
            self.close()
            return
        partial = self._partial
        if partial is None:
            partial = self._partial = Partial(self._shapes, most=self._plan.most, keep=self._plan.keep_body)
        before = partial.shape
        try:
            state = partial.feed(data)
        except AnswerError as error:
            self._fail("Read error", str(error))
            return
        if before is None and partial.shape is not None:
            self._warn(partial, partial.shape)
        if state is State.REFUSED:
            self._refused(partial)
        elif state in {State.COMPLETE, State.OVERLONG}:
            self._complete(partial, spent=state is State.OVERLONG)

    def _warn(self, partial: Partial, shape: Shape) -> None:
        """What the head of an answer gives reason to say."""
        if partial.ends_with_connection and self._plan.keepalive:
            self._log.write(levels.WARNING, "Content-length missing", header_len=shape.head, **self._who())
        elif partial.too_long:
            self._log.write(
                levels.WARNING,
                "Buffer is too small for headers + data - change -httpbufferkb flag",
                header_len=shape.head,
                content_length=shape.length,
                buffer_needed=shape.total // 1024 + 1,
                **self._who(),
            )

    def _complete(self, partial: Partial, *, spent: bool) -> None:
        shape = partial.shape
        assert shape is not None  # noqa: S101 -- it is complete
        if spent or (shape.close and self._plan.heed_close):
            self.close()
        if self._plan.keep_body:
            self.head, self.body = partial.head, partial.body
        self._finish(shape.code, partial.size, shape.head)

    def _refused(self, partial: Partial) -> None:
        """An answer that is not a success: nothing more is read of it."""
        code, size = partial.code, partial.size
        if self._plan.log_errors:
            status = partial.raw[:12].decode("latin-1")
            self._log.write(levels.WARNING, "Non ok http code", code=code, status=status, **self._who())
        if self._plan.keep_body:
            self.head, self.body = b"", partial.body
        self.close()
        self._finish(code, size, 0)

    def _ended(self) -> None:
        """The server has closed the connection."""
        if not self.busy:
            self.close()
        elif self._partial is not None and self._partial.ends_with_connection:
            self._complete(self._partial, spent=True)
        else:
            self._dead("Read error", OSError("EOF"))

    # --- ends

    def _dead(self, what: str, error: OSError) -> None:
        """The connection broke: while idle that is of no account, else the call failed."""
        if not self.busy:
            self.close()
        elif self._reused and not self._retried and self._partial is None:
            self._log.write(levels.INFO, "Closing dead socket", err=_why(error), **self._who())
            self.close()
            self._retried = True
            self._begin(perf_counter())
        else:
            self._fail(what, _why(error))

    def _fail(self, message: str, reason: str) -> None:
        partial = self._partial
        size, head = (partial.size, len(partial.head)) if partial else (0, 0)
        self._log.write(
            levels.ERROR,
            message,
            err=reason,
            size=size,
            header_len=head,
            dest=next(reversed(self.addresses), ""),
            **self._who(),
        )
        self.close()
        self._finish(SOCKET_ERROR, size, 0)

    def _finish(self, code: int, size: int, head: int) -> None:
        self.busy = False
        self._answers += 1
        if self._sock is not None and (not self._plan.keepalive or (self._reuse and self._answers >= self._reuse)):
            self.close()
            self._reuse = self._limit()
        self._partial = None
        self.done(self, code, size, head)

    def _limit(self) -> int:
        """After how many answers a new connection is made; 0 = never."""
        return random.randint(*self._plan.reuse) if any(self._plan.reuse) else 0  # noqa: S311 -- spreads load

    def _who(self) -> dict[str, int]:
        return {"thread": self.number, "run": self._plan.run}


def _nobody(_connection: Connection, _code: int, _size: int, _head: int) -> None:
    """Before a load begins nobody waits for answers."""


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower() if error.errno else str(error)
