"""exec and attach on the node's stream socket: frames (see `machine.frames`) to and from a program in a pod."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.machine import frames, hangup
from plait.machine.node.streams import session as sessions

if TYPE_CHECKING:
    from plait.machine.node.actions import Place
    from plait.machine.node.streams.session import Session

log = logging.getLogger(__name__)

_BLOCK = 32 * 1024
#: Seconds that output may still come after the program has ended: what it started may hold the other end for ever.
_LAST_WORDS = 0.5

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOptions:
    """What a client wants to be connected to."""

    command: tuple[str, ...] = ()
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


def remote_options(query: Sequence[tuple[str, str]]) -> RemoteOptions:
    """From the parameters of a request; raises ValueError with a text for people."""
    flags = {name: value in {"true", "1"} for name, value in query if name in {"stdin", "stdout", "stderr", "tty"}}
    options = RemoteOptions(command=tuple(value for name, value in query if name == "command"), **flags)
    if not (options.stdin or options.stdout or options.stderr):
        raise ValueError("you must specify at least 1 of stdin, stdout, stderr")
    return options


async def run_exec(
    place: Place, options: RemoteOptions, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Run a command in a container until it ends or the client goes; raises OSError if it cannot be started."""
    session = sessions.start(
        place,
        options.command,
        stdin=options.stdin,
        stdout=options.stdout,
        stderr=options.stderr,
        terminal=options.tty,
    )
    try:
        async with contextlib.AsyncExitStack() as stack:
            talk = await _Conversation.over(session, options, writer, stack)
            code = await _until_either(session, talk, reader)
            if code is not None:
                status = json.dumps(ended(code, session.problem())).encode()
                writer.write(frames.encode(frames.STATUS, status))
                await writer.drain()
    finally:
        try:
            await session.finish()
        finally:
            session.close()


async def _until_either(session: Session, talk: _Conversation, reader: asyncio.StreamReader) -> int | None:
    """The program's exit code with all its output sent, or None when the client has gone."""
    ending = asyncio.create_task(session.end(), name="exec end")
    inward = asyncio.create_task(talk.inward(session, reader), name="exec in")
    outward = [asyncio.create_task(talk.outward(*output), name="exec out") for output in talk.outputs]
    tasks = (ending, inward, *outward)
    try:
        await asyncio.wait((ending, inward), return_when=asyncio.FIRST_COMPLETED)
        while ending.done() and not inward.done() and not all(task.done() for task in outward):
            before = talk.passed
            await asyncio.wait((inward, *outward), timeout=_LAST_WORDS, return_when=asyncio.FIRST_COMPLETED)
            if talk.passed == before and not talk.sending and not any(task.done() for task in outward):
                break
        return ending.result() if ending.done() and not inward.done() else None
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, (OSError, EOFError, frames.FrameError)):
                log.debug("exec stream ended: %s", result)  # how a connection ends
            elif isinstance(result, Exception):
                raise result


class _Conversation:
    """The streams of a program and of its client. `passed` and `sending` tell whether output still flows."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._stdin: asyncio.StreamWriter | None = None
        self.outputs: list[tuple[asyncio.StreamReader, int, bool]] = []
        self.passed = 0
        self.sending = 0

    @classmethod
    async def over(
        cls, session: Session, options: RemoteOptions, writer: asyncio.StreamWriter, stack: contextlib.AsyncExitStack
    ) -> _Conversation:
        """Takes the session's descriptors over; `stack` closes them."""
        made = cls(writer)
        if session.stdin is not None:
            made._stdin = await _writing(session.stdin, stack)
        for fd, channel, wanted in (
            (session.stdout, frames.STDOUT, options.stdout),
            (session.stderr, frames.STDERR, options.stderr),
        ):
            if fd is not None:
                made.outputs.append((await _reading(fd, stack), channel, wanted))
        return made

    async def outward(self, output: asyncio.StreamReader, channel: int, wanted: bool) -> None:
        """Send what the program writes, until it has no more; a terminal says so by EIO."""
        with contextlib.suppress(OSError):
            while data := await output.read(_BLOCK):
                if not wanted:
                    continue
                self.passed += len(data)
                self.sending += 1
                try:
                    self._writer.write(frames.encode(channel, data))
                    await self._writer.drain()
                finally:
                    self.sending -= 1

    async def inward(self, session: Session, reader: asyncio.StreamReader) -> None:
        """Take what the client sends, until it goes."""
        decoder = frames.Decoder()
        while piece := await reader.read(_BLOCK):
            for frame in decoder.feed(piece):
                match frame.channel:
                    case frames.STDIN:
                        await self._give(frame.data)
                    case frames.STDIN_END:
                        self._give_no_more(terminal=session.terminal is not None)
                    case frames.RESIZE:
                        _resize(session, frame.data)

    async def _give(self, data: bytes) -> None:
        if self._stdin is None:
            return
        try:
            self._stdin.write(data)
            await hangup.drain(self._stdin, sender=self._writer.transport)
        except OSError:
            if hangup.has_hung_up(self._writer.transport):
                raise
            self._stdin.close()  # the program reads no more; what else comes has nowhere to go
            self._stdin = None

    def _give_no_more(self, *, terminal: bool) -> None:
        if self._stdin is None:
            return
        if terminal:
            self._stdin.write(b"\x04")  # a terminal has no end but what its user types
        else:
            self._stdin.close()
            self._stdin = None


def _resize(session: Session, data: bytes) -> None:
    try:
        size = json.loads(data)
        session.resize(int(size["Width"]), int(size["Height"]))
    except (ValueError, KeyError, TypeError) as error:
        log.debug("a size that is none: %r (%s)", data[:80], error)


async def _reading(fd: int, stack: contextlib.AsyncExitStack) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", buffering=0)
    )
    stack.callback(transport.close)
    return reader


async def _writing(fd: int, stack: contextlib.AsyncExitStack) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(fd, "wb", buffering=0)
    )
    # What was not taken when all is over is not waited for; one that is closing ends with its program.
    stack.callback(lambda: None if transport.is_closing() else transport.abort())
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def run_attach(
    process: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    options: RemoteOptions,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Join a client with a container's process, whose frames init sends and takes, until either ends."""
    from_process, to_process = process
    showing = asyncio.create_task(_show(options, from_process, writer), name="attached")
    giving = asyncio.create_task(_pass_on(reader, to_process), name="attached client")
    try:
        done, _ = await asyncio.wait((showing, giving), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (showing, giving):
            task.cancel()
        await asyncio.gather(showing, giving, return_exceptions=True)
        to_process.close()


async def _show(options: RemoteOptions, process: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What the process writes, to the client; its end is the last word."""
    wanted = {frames.STDOUT: options.stdout, frames.STDERR: options.stderr}
    decoder = frames.Decoder()
    while piece := await process.read(_BLOCK):
        for frame in decoder.feed(piece):
            if frame.channel == frames.STATUS:
                writer.write(frames.encode(frames.STATUS, json.dumps(success()).encode()))
                await writer.drain()
                return
            if wanted.get(frame.channel):
                writer.write(frames.encode(frame.channel, frame.data))
        await writer.drain()


async def _pass_on(reader: asyncio.StreamReader, process: asyncio.StreamWriter) -> None:
    """What the client sends, to the process, as it is: init reads frames too."""
    with contextlib.suppress(OSError):  # either has gone, which ends the other too
        while piece := await reader.read(_BLOCK):
            process.write(piece)
            await process.drain()


def success() -> Json:
    """The last word on a program that ended well."""
    return {"metadata": {}, "status": "Success"}


def ended(code: int, problem: str) -> Json:
    """The last word on a program: `problem` says why it could not be started."""
    if problem:
        message = f"error executing command in container: failed to exec in container: {problem}"
        return {
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": "InternalError",
            "details": {"causes": [{"message": message}]},
            "code": 500,
        }
    if code == 0:
        return success()
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
