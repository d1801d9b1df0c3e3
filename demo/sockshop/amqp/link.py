"""A client's connection with one channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sockshop.amqp import frame
from sockshop.amqp.frame import Assembly, Content
from sockshop.amqp.method import Method
from sockshop.amqp.values import AmqpError

DIAL_SECONDS = 5.0
RETRY_SECONDS = 0.5
HEARTBEAT_SECONDS = 30
_CHANNEL = 1
_FRAME_BYTES = 131_072


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where a broker is, and who asks."""

    host: str
    port: int = 5672
    user: str = "guest"
    password: str = "guest"  # noqa: S105 - the name and password that every RabbitMQ begins with

    @classmethod
    def at(cls, address: str, *, user: str = "guest", password: str = "guest") -> Broker:  # noqa: S107 - as above
        """For `HOST` or `HOST:PORT`. Raises ValueError."""
        host, colon, port = address.rpartition(":")
        if not colon:
            host, port = address, "5672"
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{address!r} is no broker: give HOST or HOST:PORT")
        return cls(host=host, port=int(port), user=user, password=password)


def address_of(environment: Mapping[str, str]) -> str:
    """HOST or HOST:PORT as Spring's variables say it."""
    host = environment.get("SPRING_RABBITMQ_HOST") or "rabbitmq"
    port = environment.get("SPRING_RABBITMQ_PORT")
    return f"{host}:{port}" if port and ":" not in host else host


class Link:
    """One connection to a broker, with one channel open. Made by `open`, ended by `close`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._assembly = Assembly()
        self._limit = _FRAME_BYTES
        self._beats: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, broker: Broker) -> Link:
        """Connects and logs in. Raises AmqpError, EOFError, OSError and TimeoutError."""
        async with asyncio.timeout(DIAL_SECONDS):
            link = cls(*await asyncio.open_connection(broker.host, broker.port))
            try:
                await link._log_in(broker)
            except BaseException:
                link.close()
                raise
        return link

    async def _log_in(self, broker: Broker) -> None:
        self._writer.write(frame.GREETING)
        await self._expect("connection.start")
        response = f"\0{broker.user}\0{broker.password}".encode()
        properties = {"product": "sockshop", "capabilities": {"authentication_failure_close": True}}
        start = {"properties": properties, "mechanism": "PLAIN", "response": response, "locale": "en_US"}
        self._write(0, "connection.start-ok", **start)
        tune = await self._expect("connection.tune")
        self._limit = min(tune["frame"] or _FRAME_BYTES, _FRAME_BYTES)
        self._write(0, "connection.tune-ok", channels=_CHANNEL, frame=self._limit, heartbeat=HEARTBEAT_SECONDS)
        self._write(0, "connection.open", host="/")
        await self._expect("connection.open-ok")
        await self.ask("channel.open", "channel.open-ok")
        self._beats = asyncio.create_task(self._beat())

    def close(self) -> None:
        """Ends the connection."""
        if self._beats is not None:
            self._beats.cancel()
        self._writer.close()

    async def ask(self, name: str, answer: str, **values: Any) -> Method:
        """The broker's answer to a method. Raises AmqpError for any other."""
        self._write(_CHANNEL, name, **values)
        return await self._expect(answer)

    async def send(self, name: str, **values: Any) -> None:
        """A method without an answer."""
        self._write(_CHANNEL, name, **values)
        await self._writer.drain()

    async def publish(self, exchange: str, key: str, content: Content) -> None:
        """A message; nobody says whether it arrived."""
        values = {"exchange": exchange, "key": key}
        self._writer.write(frame.send_content(_CHANNEL, "basic.publish", content, limit=self._limit, **values))
        await self._writer.drain()

    async def next(self) -> tuple[Method, Content]:
        """What the broker says next. Raises AmqpError when it closes channel or connection, or falls silent."""
        while True:
            try:
                async with asyncio.timeout(2 * HEARTBEAT_SECONDS):
                    got = await frame.read(self._reader, limit=self._limit)
            except TimeoutError as error:
                raise AmqpError("the broker has fallen silent") from error
            if got.kind == frame.HEARTBEAT:
                continue
            whole = self._assembly.add(got)
            if whole is None:
                continue
            if whole[0].name in {"connection.close", "channel.close"}:
                raise AmqpError(f"the broker said: {whole[0]['code']} {whole[0]['text']}")
            return whole

    async def _expect(self, name: str) -> Method:
        found, _ = await self.next()
        if found.name != name:
            raise AmqpError(f"{name} is expected, not {found.name}")
        return found

    def _write(self, channel: int, name: str, **values: Any) -> None:
        self._writer.write(frame.send(channel, name, **values))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS / 2)
            self._writer.write(frame.heartbeat())


async def keep(broker: Broker, use: Callable[[Link], Awaitable[None]], *, complain: Callable[[str], None]) -> None:
    """Connects, calls `use`, and connects again whenever that ends, until cancelled. A trouble is told once."""
    told = ""
    while True:
        link: Link | None = None
        try:
            link = await Link.open(broker)
            told = ""
            await use(link)
        except (AmqpError, EOFError, OSError, TimeoutError) as error:
            text = f"{broker.host}:{broker.port}: {error or 'no answer'}"
            if text != told:
                complain(text)
                told = text
        finally:
            if link is not None:
                link.close()
        await asyncio.sleep(RETRY_SECONDS)
