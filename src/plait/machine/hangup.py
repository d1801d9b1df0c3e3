"""Waiting for one side of a stream without missing that the other has gone.

While a slow receiver is waited for, nothing is read from the sender, so its end would go unseen as long as the receiver
takes nothing: a program that never reads its stdin would outlive the user who piped a large file into it.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Awaitable, Callable

_LOOK_EVERY = 1.0
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


async def drain(
    receiver: asyncio.StreamWriter,
    *,
    sender: asyncio.BaseTransport | None,
    nudge: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Wait until `receiver` takes more; raises ConnectionResetError when the peer of `sender` is gone, or OSError.

    `nudge` sends the sender something harmless. Over TCP its end waits behind what it sent, unread; but a process that
    has gone answers new data with a reset.
    """
    draining = asyncio.ensure_future(receiver.drain())
    try:
        while not (await asyncio.wait((draining,), timeout=_LOOK_EVERY))[0]:
            if has_hung_up(sender):
                raise ConnectionResetError("the sender has gone")
            if nudge is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY):
                        await nudge()
        draining.result()
    finally:
        draining.cancel()


def has_hung_up(transport: asyncio.BaseTransport | None) -> bool:
    """Whether the peer of a socket's transport will send no more, even if what it sent is not read yet."""
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), _GONE)
    return any(events & _GONE for _, events in poll.poll(0))
