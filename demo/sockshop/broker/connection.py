"""One connection: greeting, login, heartbeats, channels."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from sockshop.amqp import frame, method
from sockshop.amqp.frame import Assembly, Content, Frame
from sockshop.amqp.method import Method, UnknownMethodError
from sockshop.amqp.values import AmqpError
from sockshop.broker import host as virtual
from sockshop.broker.channel import Channel
from sockshop.broker.faults import ChannelFault, ConnectionFault, Fault
from sockshop.broker.host import Host

CHANNELS = 2047
FRAME_BYTES = 131_072
HEARTBEAT_SECONDS = 60
LOGIN_SECONDS = 10.0
UNREAD_BYTES = 1024 * 1024
"""Bytes that a client has not read yet from which its consumers get no more."""
BODY_LIMIT = 16 * 1024 * 1024

_PROPERTIES: dict[str, Any] = {
    "product": "sockshop-broker",
    "version": "3.6.8",
    "platform": "Python",
    "capabilities": {
        "publisher_confirms": True,
        "exchange_exchange_bindings": False,
        "basic.nack": True,
        "consumer_cancel_notify": True,
        "connection.blocked": False,
        "authentication_failure_close": True,
        "per_consumer_qos": True,
    },
}


class Connection:
    """Serves one client on `host`; `users` are names and their passwords."""

    def __init__(
        self, host: Host, users: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._host = host
        self._users = users
        self._reader, self._writer = reader, writer
        self._channels: dict[int, Channel] = {}
        self._assemblies: dict[int, Assembly] = {}
        self._closing: set[int] = set()
        self._limit = FRAME_BYTES
        self._heard = self._said = asyncio.get_running_loop().time()
        self._drained = asyncio.Event()
        self._clogged = False
        self.cancel_notify = False

    async def run(self) -> None:
        """Serves the client until either side ends the connection."""
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                seconds = await self._log_in()
            if seconds is not None:
                await self._serve(seconds)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass  # how a connection ends; of a client that stays silent nothing more is wanted
        except ConnectionFault as fault:
            await self._refuse(fault)
        except AmqpError as error:
            await self._refuse(ConnectionFault(501, str(error)))
        finally:
            for channel in self._channels.values():
                channel.close()
            self._host.left(self)
            self._writer.close()

    def close(self) -> None:
        """Ends the connection from outside."""
        self._writer.close()

    def full(self) -> bool:
        """Whether the client does not read what it is sent."""
        return self._clogged or self._writer.is_closing()

    def send(self, channel: int, name: str, **values: Any) -> None:
        """A method."""
        self._write(frame.send(channel, name, **values))

    def send_content(self, channel: int, name: str, content: Content, **values: Any) -> None:
        """A method with content."""
        self._write(frame.send_content(channel, name, content, limit=self._limit, **values))

    def _write(self, data: bytes) -> None:
        self._said = asyncio.get_running_loop().time()
        self._writer.write(data)
        if not self._clogged and self._writer.transport.get_write_buffer_size() > UNREAD_BYTES:
            self._clogged = True
            self._drained.set()

    async def _log_in(self) -> int | None:
        """The heartbeat agreed upon, in seconds; None if the client speaks another protocol."""
        if await self._reader.readexactly(len(frame.GREETING)) != frame.GREETING:
            self._writer.write(frame.GREETING)
            return None
        mechanisms = {"mechanisms": b"PLAIN AMQPLAIN", "locales": b"en_US"}
        self.send(0, "connection.start", major=0, minor=9, properties=_PROPERTIES, **mechanisms)
        start = await self._expect("connection.start-ok")
        capabilities = start["properties"].get("capabilities") or {}
        self.cancel_notify = bool(capabilities.get("consumer_cancel_notify"))
        self._check(start)
        self.send(0, "connection.tune", channels=CHANNELS, frame=FRAME_BYTES, heartbeat=HEARTBEAT_SECONDS)
        tuned = await self._expect("connection.tune-ok")
        self._limit = min(tuned["frame"] or FRAME_BYTES, FRAME_BYTES)
        opened = await self._expect("connection.open")
        if opened["host"] != virtual.NAME:
            raise ConnectionFault(530, f"vhost {opened['host']} not found")
        self.send(0, "connection.open-ok")
        return int(tuned["heartbeat"])

    async def _expect(self, name: str) -> Method:
        while True:
            got = await frame.read(self._reader, limit=FRAME_BYTES)
            if got.kind != frame.HEARTBEAT:
                break
        found = method.decode(got.payload) if got.kind == frame.METHOD else None
        if found is None or found.name != name:
            raise ConnectionFault(503, f"{name} is expected, not {found.name if found else 'content'}")
        return found

    def _check(self, start: Method) -> None:
        response: bytes = start["response"]
        if start["mechanism"] == "PLAIN":
            _, _, pair = response.partition(b"\0")
            name, _, password = pair.partition(b"\0")
        elif start["mechanism"] == "AMQPLAIN":
            table = method.table_of(response)
            name, password = (str(table.get(key, "")).encode() for key in ("LOGIN", "PASSWORD"))
        else:
            raise ConnectionFault(403, f"Login was refused: mechanism {start['mechanism']} is unknown")
        if self._users.get(name.decode("utf-8", "replace")) != password.decode("utf-8", "replace"):
            mechanism = start["mechanism"]
            raise ConnectionFault(403, f"Login was refused using authentication mechanism {mechanism}.")

    async def _serve(self, heartbeat: int) -> None:
        aside = [asyncio.create_task(self._unclog())]
        if heartbeat:
            aside.append(asyncio.create_task(self._beat(heartbeat)))
        try:
            while await self._next():
                pass
        finally:
            for task in aside:
                task.cancel()
            await asyncio.gather(*aside, return_exceptions=True)

    async def _next(self) -> bool:
        """Handles one frame; False when the client has said goodbye."""
        got = await frame.read(self._reader, limit=self._limit)
        self._heard = asyncio.get_running_loop().time()
        if got.kind == frame.HEARTBEAT:
            return True
        if got.channel == 0:
            return self._on_connection(got)
        if got.channel > CHANNELS:
            raise ConnectionFault(530, f"channel {got.channel} is above {CHANNELS}")
        whole: tuple[Method, Content] | None = None
        try:
            assembly = self._assemblies.setdefault(got.channel, Assembly(BODY_LIMIT))
            whole = assembly.add(got)
            if whole is not None:
                await self._on_channel(got.channel, *whole)
        except UnknownMethodError as error:
            raise ConnectionFault(540, str(error)) from error
        except ChannelFault as fault:
            self._close_channel(got.channel, fault, whole[0] if whole else None)
        return True

    def _on_connection(self, got: Frame) -> bool:
        found = method.decode(got.payload)
        if found.name == "connection.close":
            self.send(0, "connection.close-ok")
            return False
        if found.name == "connection.close-ok":
            return False
        if found.name not in {"connection.blocked", "connection.unblocked"}:
            raise ConnectionFault(503, f"{found.name} has no place here")
        return True

    async def _on_channel(self, number: int, found: Method, content: Content) -> None:
        if number in self._closing:
            if found.name in {"channel.close", "channel.close-ok"}:
                self._closing.discard(number)
                if found.name == "channel.close":
                    self.send(number, "channel.close-ok")
            return
        if found.name == "channel.open":
            if number in self._channels:
                raise ConnectionFault(504, "second 'channel.open' seen")
            self._channels[number] = Channel(number, self._host, self)
            self.send(number, "channel.open-ok")
            return
        channel = self._channels.get(number)
        if channel is None:
            raise ConnectionFault(504, f"expected 'channel.open', got {found.name}")
        if found.name == "channel.close":
            del self._channels[number], self._assemblies[number]
            channel.close()
            self.send(number, "channel.close-ok")
            return
        channel.handle(found, content)
        if found.name == "basic.publish" and not self._host.room.is_set():
            await self._host.room.wait()
            self._heard = asyncio.get_running_loop().time()

    def _close_channel(self, number: int, fault: Fault, found: Method | None) -> None:
        group, own = method.number_of(found.name) if found else (0, 0)
        channel = self._channels.pop(number, None)
        self._assemblies.pop(number, None)
        self.send(number, "channel.close", **{"code": fault.code, "text": fault.text, "class": group, "method": own})
        self._closing.add(number)
        if channel is not None:
            channel.close()

    async def _refuse(self, fault: ConnectionFault) -> None:
        """Says why the connection ends, and gives the client a moment to hear it."""
        peer = self._writer.get_extra_info("peername")
        sys.stderr.write(f"broker: {peer}: {fault}\n")
        try:
            self.send(0, "connection.close", code=fault.code, text=fault.text)
            async with asyncio.timeout(LOGIN_SECONDS):
                await self._writer.drain()
                while await self._reader.read(65536):
                    pass
        except (OSError, TimeoutError):
            return

    async def _beat(self, seconds: int) -> None:
        """Says that the broker lives, and ends the connection of a client that does not say so twice."""
        loop = asyncio.get_running_loop()
        while loop.time() - self._heard < 2 * seconds or not self._host.room.is_set():
            if loop.time() - self._said >= seconds / 2:
                self._write(frame.heartbeat())
            await asyncio.sleep(seconds / 4)
        self._writer.close()

    async def _unclog(self) -> None:
        """Waits until the client has read, then lets its consumers go on."""
        while True:
            await self._drained.wait()
            self._drained.clear()
            try:
                await self._writer.drain()
            except ConnectionError:
                return
            self._clogged = False
            for channel in tuple(self._channels.values()):
                channel.pump()
