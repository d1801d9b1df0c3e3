"""`fortio server`: the echo server on HTTP/1.1, and a TCP echo."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any, Final, TextIO

from plait.load import log as levels
from plait.load.echo import Call, answer
from plait.load.flags import Flag, HelpWanted, Parsed, UsageError, duration, parse, string
from plait.load.log import Log
from plait.load.options import LOG_FLAGS
from plait.load.version import FORTIO

_HEAD_LIMIT: Final = 64 << 10
_BODY_LIMIT: Final = 16 << 20
_ABSENT: Final = "taken for compatibility: not served"

SERVER_FLAGS: Final[dict[str, Flag[Any]]] = {
    "http-port": string("8080", "port, host:port, or disabled", "port"),
    "tcp-port": string("8078", "port of the TCP echo, or disabled", "port"),
    "grpc-port": string("8079", _ABSENT, "port"),
    "udp-port": string("8078", _ABSENT, "port"),
    "redirect-port": string("8081", _ABSENT, "port"),
    "echo-server-default-params": string("", "query of requests that have none, e.g. status=404&delay=3s", "query"),
    "max-echo-delay": duration("1.5s", "longest delay= that is heeded"),
    "server-idle-timeout": duration("30s", "connections that idle longer are closed"),
    "data-dir": string(".", _ABSENT, "directory"),
    "ui-path": string("/fortio/", _ABSENT, "path"),
    "echo-debug-path": string("/debug", _ABSENT, "path"),
    **LOG_FLAGS,
}


class Server:
    """Answers connections until it is cancelled."""

    def __init__(self, flags: Parsed, log: Log) -> None:
        self._flags, self._log = flags, log
        self._began = time.monotonic()
        self._host = socket.gethostname()
        #: Where it listens, once it does.
        self.ports: dict[str, int] = {}
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Listen and serve. Raises OSError where a port is taken."""
        async with asyncio.TaskGroup() as tasks:
            for name, handle in (("http", self._http), ("tcp", self._tcp)):
                port = self._flags.values[f"{name}-port"]
                if port == "disabled":
                    continue
                server = await asyncio.start_server(handle, *_address(port), limit=_HEAD_LIMIT)
                self.ports[name] = server.sockets[0].getsockname()[1]
                said = {"http": "http-echo", "tcp": "tcp-echo"}[name]
                where = ":".join(map(str, server.sockets[0].getsockname()[:2]))
                self._log.write(levels.INFO, f"Fortio {FORTIO} {said} server listening on tcp {where}")
                tasks.create_task(server.serve_forever(), name=said)
            self._log.write(levels.INFO, f"All fortio {FORTIO} servers started!")
            self.ready.set()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        idle = self._flags.values["server-idle-timeout"] / 1e9
        try:
            while True:
                async with asyncio.timeout(idle):
                    call = await _read(reader, str(writer.get_extra_info("peername")[0]))
                if call is None or not await self._answer(call, writer):
                    break
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, ValueError) as error:
            self._log.write(levels.VERBOSE, "Connection ended", err=str(error))
        finally:
            writer.close()

    async def _answer(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        """Answer one call; whether the connection stays."""
        values = self._flags.values
        reply = answer(
            call,
            up=time.monotonic() - self._began,
            host=self._host,
            defaults=values["echo-server-default-params"],
            most_delay=values["max-echo-delay"] / 1e9,
        )
        if reply.delay:
            await asyncio.sleep(reply.delay)
        writer.write(reply.render(method=call.method, date=formatdate(usegmt=True)))
        await writer.drain()
        asked = call.header("connection").lower()
        return not reply.close and asked != "close" and (call.version != "HTTP/1.0" or asked == "keep-alive")

    async def _tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError as error:
            self._log.write(levels.VERBOSE, "Connection ended", err=str(error))
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader, peer: str) -> Call | None:
    """The next request; None where there is none. Raises EOFError, OSError, ValueError, LimitOverrunError."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, version = first.split(" ")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    call = Call(method=method, target=target, version=version, headers=headers, peer=peer)
    if "chunked" in call.header("transfer-encoding").lower():
        body = await _chunks(reader)
    else:
        length = int(call.header("content-length") or 0)
        if not 0 <= length <= _BODY_LIMIT:
            raise ValueError(f"content-length {length}")
        body = await reader.readexactly(length)
    return Call(method=method, target=target, version=version, headers=headers, body=body, peer=peer)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readline()).partition(b";")[0], 16):
        if not 0 <= size <= _BODY_LIMIT - len(body):
            raise ValueError(f"a body above {_BODY_LIMIT} bytes")
        body += await reader.readexactly(size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass
    return bytes(body)


def _address(text: str) -> tuple[str, int]:
    """Host and port to listen on; raises UsageError."""
    if text == "disabled":
        return "", 0
    host, _, port = text.rpartition(":")
    try:
        return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 -- a server of a pod, as fortio's
    except ValueError as error:
        raise UsageError(f"{text!r} is no port; write 8080, 127.0.0.1:8080 or disabled") from error


def run(words: Sequence[str], err: TextIO) -> int:
    """`fortio server`; the exit status."""
    try:
        parsed = parse(words, SERVER_FLAGS)
        for name in ("http-port", "tcp-port"):
            _address(parsed.values[name])
    except (UsageError, HelpWanted) as error:
        return _usage(err, str(error))
    if parsed.arguments:
        return _usage(err, f"fortio server takes no arguments, got {' '.join(parsed.arguments)}")
    log = Log(out=err, level=parsed.values["loglevel"], as_json=parsed.values["logger-json"])
    try:
        asyncio.run(_until_signal(parsed, log))
    except ExceptionGroup as errors:
        ports, others = errors.split(OSError)
        if others is not None or ports is None:
            raise
        err.writelines(f"fortio server: {failure}\n" for failure in ports.exceptions)
        return 1
    except OSError as error:
        err.write(f"fortio server: {error}\n")
        return 1
    return 0


def _usage(err: TextIO, message: str) -> int:
    lines = [f"  -{name} {flag.word}: {flag.help}" for name, flag in sorted(SERVER_FLAGS.items())]
    err.write("\n".join(["fortio server [flags]", *lines, message, ""]))
    return 2


async def _until_signal(parsed: Parsed, log: Log) -> None:
    server = asyncio.create_task(Server(parsed, log).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.cancel)
    try:
        await server
    except asyncio.CancelledError:
        log.write(levels.INFO, "Stopped")
