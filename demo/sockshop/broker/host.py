"""The one virtual host: exchanges, queues and what connections do to them."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from sockshop.amqp.values import AmqpError
from sockshop.broker.exchanges import KINDS, Exchange
from sockshop.broker.faults import ChannelFault, ConnectionFault
from sockshop.broker.queues import Message, Queue

NAME = "/"
MEMORY_LIMIT = 16 * 1024 * 1024
"""Bytes of waiting messages from which publishers are not read any further, until some have gone."""


class Host:
    """What all connections share."""

    def __init__(self) -> None:
        kinds = {"": "direct", **{f"amq.{kind}": kind for kind in KINDS}}
        self._exchanges = {name: Exchange(name=name, kind=kind, durable=True) for name, kind in kinds.items()}
        self._queues: dict[str, Queue] = {}
        self._waiting = 0
        self.room = asyncio.Event()
        self.room.set()

    def queue(self, name: str, owner: object) -> Queue:
        """A queue by name. Raises ChannelFault."""
        queue = self._queues.get(name)
        if queue is None:
            raise ChannelFault(404, f"no queue '{name}' in vhost '{NAME}'")
        if queue.owner not in {None, owner}:
            raise ChannelFault(405, f"cannot obtain exclusive access to locked queue '{name}' in vhost '{NAME}'")
        return queue

    def exchange(self, name: str) -> Exchange:
        """An exchange by name. Raises ChannelFault."""
        exchange = self._exchanges.get(name)
        if exchange is None:
            raise ChannelFault(404, f"no exchange '{name}' in vhost '{NAME}'")
        return exchange

    def declare_exchange(self, wanted: Exchange) -> None:
        """Makes an exchange; one that exists must be the same. Raises ChannelFault and ConnectionFault."""
        found = self._exchanges.get(wanted.name)
        if wanted.kind not in KINDS:
            raise ConnectionFault(503, f"unknown exchange type '{wanted.kind}'")
        if found is None:
            if wanted.name.startswith("amq."):
                raise ChannelFault(403, f"exchange name '{wanted.name}' contains reserved prefix 'amq.*'")
            self._exchanges[wanted.name] = wanted
            return
        names = ("kind", "durable", "auto_delete", "internal", "arguments")
        _demand_same("exchange", wanted.name, {n: (getattr(wanted, n), getattr(found, n)) for n in names})

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        """Removes an exchange, if it is there. Raises ChannelFault."""
        if name == "" or name.startswith("amq."):
            raise ChannelFault(403, f"operation not permitted on the exchange '{name}'")
        found = self._exchanges.get(name)
        if found is not None and if_unused and found.bindings:
            raise ChannelFault(406, f"exchange '{name}' in vhost '{NAME}' in use")
        self._exchanges.pop(name, None)

    def declare_queue(self, wanted: Queue, owner: object) -> Queue:
        """Makes a queue; one that exists must be the same. An empty name gets one. Raises ChannelFault."""
        if not wanted.name:
            wanted.name = f"amq.gen-{secrets.token_urlsafe(16)}"
        elif wanted.name not in self._queues and wanted.name.startswith("amq."):
            raise ChannelFault(403, f"queue name '{wanted.name}' contains reserved prefix 'amq.*'")
        if wanted.name not in self._queues:
            self._queues[wanted.name] = wanted
            return wanted
        found = self.queue(wanted.name, owner)
        names = ("durable", "auto_delete", "arguments")
        pairs = {name: (getattr(wanted, name), getattr(found, name)) for name in names}
        pairs["exclusive"] = (wanted.owner is not None, found.owner is not None)
        _demand_same("queue", wanted.name, pairs)
        return found

    def delete_queue(self, queue: Queue) -> int:
        """Removes a queue with its bindings; how many messages went with it."""
        self._queues.pop(queue.name, None)
        for exchange in tuple(self._exchanges.values()):
            for binding in [one for one in exchange.bindings if one[0] == queue.name]:
                del exchange.bindings[binding]
                self._tidy(exchange)
        for consumer in tuple(queue.consumers):
            consumer.cancelled()
        queue.consumers.clear()
        return self.purge(queue)

    def bind(self, queue: Queue, exchange: str, key: str, arguments: dict[str, Any]) -> None:
        """Lets an exchange's messages into a queue. Raises ChannelFault."""
        if not exchange:
            raise ChannelFault(403, "operation not permitted on the default exchange")
        self.exchange(exchange).bindings[queue.name, key] = arguments

    def unbind(self, queue: Queue, exchange: str, key: str) -> None:
        """Undoes a binding, if it is there. Raises ChannelFault."""
        found = self.exchange(exchange)
        if found.bindings.pop((queue.name, key), None) is not None:
            self._tidy(found)

    def publish(self, message: Message) -> bool:
        """Whether a queue took the message. Raises ChannelFault for an exchange that is not there."""
        exchange = self.exchange(message.exchange)
        if exchange.internal:
            raise ChannelFault(403, f"cannot publish to internal exchange '{exchange.name}' in vhost '{NAME}'")
        if not exchange.name:
            names = [message.key] if message.key in self._queues else []
        else:
            try:
                headers = message.content.read_properties().get("headers", {}) if exchange.kind == "headers" else {}
            except AmqpError as error:
                raise ConnectionFault(501, str(error)) from error
            names = exchange.targets(message.key, headers)
        for name in names:
            self._count(message.size)
            self._queues[name].put(message)
        return bool(names)

    def taken(self, message: Message) -> None:
        """A message has left its queue, for good or until it is put back."""
        self._count(-message.size)

    def returned(self, queue: Queue, messages: list[Message]) -> None:
        """Messages that were handed out come back, if their queue is still there."""
        if self._queues.get(queue.name) is queue:
            for message in messages:
                self._count(message.size)
            queue.put_back(messages)

    def purge(self, queue: Queue) -> int:
        """Empties a queue; how many messages there were."""
        count = len(queue.messages)
        for message in queue.messages:
            self._count(-message.size)
        queue.messages.clear()
        return count

    def left(self, owner: object) -> None:
        """A connection is gone: so are its exclusive queues."""
        for queue in [one for one in self._queues.values() if one.owner is owner]:
            self.delete_queue(queue)

    def consumer_left(self, queue: Queue) -> None:
        """A queue lost a consumer; an auto-delete one that has none left goes."""
        if queue.auto_delete and not queue.consumers and queue.name in self._queues:
            self.delete_queue(queue)

    def _tidy(self, exchange: Exchange) -> None:
        if exchange.auto_delete and not exchange.bindings:
            self._exchanges.pop(exchange.name, None)

    def _count(self, size: int) -> None:
        self._waiting += size
        if self._waiting > MEMORY_LIMIT:
            self.room.clear()
        else:
            self.room.set()


def _demand_same(what: str, name: str, pairs: dict[str, tuple[Any, Any]]) -> None:
    for field, (received, current) in pairs.items():
        if received != current:
            shown = "type" if field == "kind" else field
            told, has = (str(value).lower() if isinstance(value, bool) else str(value) for value in (received, current))
            raise ChannelFault(
                406,
                f"inequivalent arg '{shown}' for {what} '{name}' in vhost '{NAME}': "
                f"received '{told}' but current is '{has}'",
            )
