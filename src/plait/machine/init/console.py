"""What the clients attached to a process share: its output as it comes, and its standard input where it has one.

Init holds the other end of that input, so that it stays open while nobody is attached and while the node is restarted.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from plait.machine import frames

#: Output that an attached client has not taken yet, or input that the process has not: more is not read meanwhile.
HELD = 256 * 1024


class Listener(Protocol):
    """An attached client."""

    #: Whether what it types is for the process.
    speaks: bool

    def tell(self, data: bytes) -> None:
        """Send it something."""
        ...

    @property
    def behind(self) -> int:
        """Bytes it has not taken yet."""
        ...


class Console:
    """One process's. `stdin` is the writing end of its input, or a terminal's master; `once` ends it with its first
    user.

    `interest` is told when there is input that waits for the process to take it, and when there is none any more.
    """

    def __init__(self, stdin: int | None, *, terminal: bool, once: bool, interest: Callable[[int, bool], None]) -> None:
        self._stdin = stdin
        self._terminal = terminal
        self._once = once
        self._interest = interest
        self._pending = bytearray()
        self._ending = False
        self.listeners: list[Listener] = []

    @property
    def stdin(self) -> int | None:
        """The descriptor that input is written to."""
        return self._stdin

    @property
    def congested(self) -> bool:
        """Whether a client is so far behind that the process must wait with its output."""
        return any(listener.behind > HELD for listener in self.listeners)

    @property
    def full(self) -> bool:
        """Whether the process is so far behind that clients must wait with their input."""
        return len(self._pending) > HELD

    def show(self, stream: str, data: bytes) -> None:
        """Output of the process."""
        if self.listeners:
            framed = frames.encode(frames.STDERR if stream == "stderr" else frames.STDOUT, data)
            for listener in self.listeners:
                listener.tell(framed)

    def take(self, listener: Listener, frame: frames.Frame) -> None:
        """Something a client sent."""
        match frame.channel:
            case frames.STDIN if listener.speaks:
                self._give(frame.data)
            case frames.STDIN_END if listener.speaks:
                self._no_more()
            case frames.RESIZE:
                self._resize(frame.data)

    def leave(self, listener: Listener) -> None:
        """A client has gone."""
        if listener in self.listeners:
            self.listeners.remove(listener)
            if listener.speaks:
                self._no_more()

    def writable(self) -> None:
        """The process has taken some of its input."""
        if self._stdin is None:
            return
        try:
            written = os.write(self._stdin, self._pending)
        except BlockingIOError:
            return
        except OSError:  # it reads no more
            self._pending.clear()
            self._close()
            return
        del self._pending[:written]
        if not self._pending:
            self._interest(self._stdin, False)
            if self._ending:
                self._close()

    def close(self) -> None:
        """The process has ended."""
        self._pending.clear()
        self._close()

    def _give(self, data: bytes) -> None:
        if self._stdin is None or self._ending or not data:
            return
        idle = not self._pending
        self._pending += data
        if idle:
            self._interest(self._stdin, True)
            self.writable()

    def _no_more(self) -> None:
        """Kubernetes: `stdinOnce` closes it with its first client, but never a terminal, whose user types its end."""
        if not self._once or self._terminal:
            return
        self._ending = True
        if not self._pending:
            self._close()

    def _close(self) -> None:
        if self._stdin is not None:
            self._interest(self._stdin, False)
            os.close(self._stdin)
            self._stdin = None

    def _resize(self, data: bytes) -> None:
        if not self._terminal or self._stdin is None:
            return
        with suppress(ValueError, KeyError, TypeError, OSError):  # no size, or no terminal any more
            size = json.loads(data)
            height, width = (min(max(int(size[name]), 0), 65535) for name in ("Height", "Width"))
            fcntl.ioctl(self._stdin, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
