"""How long a proxy may take, without the time that we have taken ourselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

_PIECES: Final = 20


class Patience:
    """As `asyncio.timeout`, but only time counts in which the event loop could have seen what has come.

    When a thousand proxies come back at once the loop is busy for seconds, and what a proxy has long sent lies unread.
    So time is counted in pieces, and one after which the loop was late does not count. When all are over, the loop
    looks once more.
    """

    def __init__(self, seconds: float) -> None:
        self._piece = seconds / _PIECES
        self._left = _PIECES
        self._task: asyncio.Task[object] | None = None
        self._handle: asyncio.Handle | None = None
        self._cancelling = 0
        self._over = False

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("no task whose patience it could be")
        self._cancelling = self._task.cancelling()
        self._go_on()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._handle is not None:
            self._handle.cancel()
        if self._over and task is not None and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(self._piece, self._look, loop.time() + self._piece)

    def _look(self, due: float) -> None:
        """A piece is over; it was to be at `due`."""
        loop = asyncio.get_running_loop()
        if loop.time() - due <= self._piece:
            self._left -= 1
        if self._left:
            self._go_on()
        else:
            # What this turn of the loop has read is taken first.
            self._handle = loop.call_soon(self._lose)

    def _lose(self) -> None:
        if self._task is not None:
            self._over = True
            self._task.cancel()
