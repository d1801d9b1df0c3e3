"""The node's own HTTP door, a unix socket for the API server: logs of containers and connections into pods.

`GET /logs/NAMESPACE/POD/CONTAINER?follow=&previous=&tailLines=&sinceSeconds=&sinceTime=&timestamps=&limitBytes=`
answers with chunked text. `GET /connect/NAMESPACE/POD/PORT` with `Upgrade: tcp` answers 101 and carries bytes to
127.0.0.1:PORT inside the pod. `GET /exec/NAMESPACE/POD/CONTAINER?command=…&stdin=&stdout=&stderr=&tty=` and `/attach/…`
answer 101 and carry frames (see `machine.frames`); the node ends its side first, and the client closes. Failures are
JSON Status objects. One request per connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from plait.machine.node.netns import connect_in
from plait.machine.node.streams.logs import LogOptions, read_log, since_of
from plait.machine.node.streams.remote import RemoteOptions, remote_options, run_attach, run_exec

if TYPE_CHECKING:
    from plait.machine.node.actions import Place
    from plait.machine.node.streams.usage import Usage

log = logging.getLogger(__name__)

_HEAD_LIMIT = 64 * 1024
_HEAD_SECONDS = 30.0
_BLOCK = 64 * 1024
#: Seconds that a client which has been told everything may take to go.
_LINGER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class LogFile:
    """A container's log, and whether its process has ended."""

    path: Path
    ended: Callable[[], bool]


class PodsView(Protocol):
    """What the socket serves; raises LookupError with a text for people."""

    def log_file(self, namespace: str, pod: str, container: str, *, previous: bool) -> LogFile:
        """The log of a container's newest process, or of the one before."""
        ...

    def network_of(self, namespace: str, pod: str) -> int:
        """A process whose network namespace is the pod's."""
        ...

    async def place_of(self, namespace: str, pod: str, container: str) -> Place:
        """Where a program beside those of a running container runs."""
        ...

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Frames from and to a running container's process; raises LookupError."""
        ...

    async def usage(self) -> Usage:
        """What running containers use now."""
        ...


class RefusedError(Exception):
    """An answer that is not 200: HTTP code, reason, message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class StreamServer:
    """See the module."""

    def __init__(self, pods: PodsView) -> None:
        self._pods = pods

    async def run(self, path: Path, *, uid: int, started: Callable[[], None] = lambda: None) -> None:
        """Serve until cancelled; only root and `uid` may connect."""
        path.unlink(missing_ok=True)
        async with asyncio.TaskGroup() as tasks:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                tasks.create_task(self._connection(reader, writer), name="node stream")

            # Nobody may connect before the socket belongs to whom it should.
            before = os.umask(0o177)
            try:
                server = await asyncio.start_unix_server(accept, path=path, limit=_HEAD_LIMIT)
            finally:
                os.umask(before)
            os.chown(path, uid, -1)
            async with server:
                started()
                await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except RefusedError as refused:
            with contextlib.suppress(OSError):
                await _answer_status(writer, refused)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            log.debug("stream ended: %s", error)
        except Exception:
            # A fault of ours in one stream must not end the node.
            log.exception("stream failed")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target = await _read_head(reader)
        url = urlsplit(target)
        words = [unquote(word) for word in url.path.strip("/").split("/")]
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        if method != "GET":
            raise RefusedError(405, "MethodNotAllowed", f"{method}: only GET is served here")
        match words:
            case ["logs", namespace, pod, container]:
                options = _log_options(query)
                try:
                    file = self._pods.log_file(namespace, pod, container, previous=_truth(query.get("previous")))
                except LookupError as error:
                    raise RefusedError(400, "BadRequest", _text(error)) from error
                await _logs(reader, writer, file, options)
            case ["connect", namespace, pod, port] if port.isdigit():
                await self._connect(reader, writer, namespace, pod, int(port))
            case ["exec" | "attach" as verb, namespace, pod, container]:
                await self._remote(verb, (namespace, pod, container), _remote_options(url.query), reader, writer)
            case ["usage"]:
                body = msgspec.json.encode(await self._pods.usage())
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
                await writer.drain()
            case _:
                known = "/usage, /{logs,exec,attach}/NS/POD/CONTAINER and /connect/NS/POD/PORT"
                raise RefusedError(404, "NotFound", f"{url.path}: there are {known}")

    async def _remote(
        self,
        verb: str,
        at: tuple[str, str, str],
        options: RemoteOptions,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if verb == "exec" and not options.command:
            raise RefusedError(400, "BadRequest", "you must specify at least one command for the container")
        try:
            if verb == "exec":
                place = await self._pods.place_of(*at)
                talk = partial(run_exec, place, options)
            else:
                talk = partial(run_attach, await self._pods.attach(*at, stdin=options.stdin), options)
        except LookupError as error:
            raise RefusedError(404, "NotFound", _text(error)) from error
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: frames\r\n\r\n")
        await talk(reader, writer)
        await _linger(reader, writer)

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, namespace: str, pod: str, port: int
    ) -> None:
        try:
            pid = self._pods.network_of(namespace, pod)
        except LookupError as error:
            raise RefusedError(404, "NotFound", _text(error)) from error
        if not 0 < port < 65536:
            raise RefusedError(400, "BadRequest", f"port {port}: write a number from 1 to 65535")
        try:
            sock = await connect_in(pid, "127.0.0.1", port)
        except OSError as error:
            text = (
                f"pod {namespace}/{pod}: dial tcp4 127.0.0.1:{port}: connect: {(error.strerror or str(error)).lower()}"
            )
            raise RefusedError(502, "BadGateway", text) from error
        far_reader, far_writer = await asyncio.open_connection(sock=sock)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_carry(reader, far_writer))
                tasks.create_task(_carry(far_reader, writer))
        except* OSError as errors:
            log.debug("connection to %s/%s:%d ended: %s", namespace, pod, port, errors.exceptions[0])
        finally:
            far_writer.transport.abort()


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, str]:
    """Method and target of a request; header fields are of no use here."""
    try:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise RefusedError(431, "BadRequest", "the request's head is too long") from error
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise RefusedError(400, "BadRequest", "not an HTTP/1.1 request")
    return words[0], words[1]


async def _logs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, file: LogFile, options: LogOptions) -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
    writer.write((head + "Connection: close\r\n\r\n").encode())
    await writer.drain()
    sending = asyncio.create_task(_send_log(writer, file, options))
    # A client that hangs up while it follows a silent log must not stay here.
    leaving = asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        for task in (sending, leaving):
            task.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _send_log(writer: asyncio.StreamWriter, file: LogFile, options: LogOptions) -> None:
    async for text in read_log(file.path, options, ended=file.ended):
        writer.write(b"%x\r\n%b\r\n" % (len(text), text))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes one way, and their end: the other direction may go on."""
    while data := await reader.read(_BLOCK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let a client read all that it was sent, and go: one that sends to a closed end loses what it has not read."""
    if writer.is_closing() or reader.at_eof():
        return
    writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while await reader.read(_BLOCK):
                pass


async def _answer_status(writer: asyncio.StreamWriter, refused: RefusedError) -> None:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": str(refused),
        "reason": refused.reason,
        "code": refused.code,
    }
    body = json.dumps(status).encode()
    head = f"HTTP/1.1 {refused.code} {refused.reason}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    await writer.drain()


def _remote_options(query: str) -> RemoteOptions:
    try:
        return remote_options(parse_qsl(query, keep_blank_values=True))
    except ValueError as error:
        raise RefusedError(400, "BadRequest", str(error)) from error


def _log_options(query: Mapping[str, str]) -> LogOptions:
    try:
        numbers = {name: int(query[name]) for name in ("tailLines", "sinceSeconds", "limitBytes") if query.get(name)}
        since = since_of(
            seconds=numbers.get("sinceSeconds"), time=query.get("sinceTime") or None, now=datetime.now(UTC)
        )
    except ValueError as error:
        raise RefusedError(400, "BadRequest", f"log options: {error}") from error
    tail = numbers.get("tailLines")
    if tail is not None and tail < 0:
        raise RefusedError(422, "Invalid", f"tailLines: {tail}: write 0 or more")
    return LogOptions(
        follow=_truth(query.get("follow")),
        tail=tail,
        since=since,
        timestamps=_truth(query.get("timestamps")),
        limit_bytes=numbers.get("limitBytes"),
    )


def _truth(text: str | None) -> bool:
    return text in {"true", "1", "True", "t", "T", "TRUE"}


def _text(error: LookupError) -> str:
    return str(error.args[0]) if error.args else "not found"
