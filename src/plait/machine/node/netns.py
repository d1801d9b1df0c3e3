"""Sockets made inside a pod's network namespace, used from the node's event loop.

A socket stays in the namespace in which it was made. The namespace of a thread is changed by setns, so the socket is
made by a thread that does nothing else and then ends. Probes and port-forwards reach the application in this way
directly: the pod's rules do not capture what other users send over loopback.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading

_CLONE_NEWNET = 0x40000000


async def socket_in(pid: int, family: int) -> socket.socket:
    """A non-blocking socket in the network namespace of a process; raises OSError."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[socket.socket] = loop.create_future()

    def settle(made: socket.socket | None, error: OSError | None) -> None:
        if result.done():
            if made is not None:
                made.close()
        elif made is not None:
            result.set_result(made)
        else:
            result.set_exception(error or OSError("no socket"))

    def work() -> None:
        made, failure = None, None
        try:
            _enter(pid)
            made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        except OSError as error:
            failure = error
        loop.call_soon_threadsafe(settle, made, failure)

    threading.Thread(target=work, name=f"socket-in-{pid}", daemon=True).start()
    return await result


async def connect_in(pid: int, host: str, port: int) -> socket.socket:
    """A TCP connection made inside the namespace; raises OSError."""
    sock = await socket_in(pid, socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except OSError as error:
        sock.close()
        # asyncio puts its own words in the place of the system's.
        raise OSError(error.errno, os.strerror(error.errno or 0)) from error
    except BaseException:
        sock.close()
        raise
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _enter(pid: int) -> None:
    """Move the calling thread, and only it, into the network namespace of a process."""
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)  # os.setns is there from Python 3.12 on
        if libc.setns(namespace, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}")
    finally:
        os.close(namespace)
