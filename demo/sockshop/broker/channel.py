"""One channel: its consumers, what it has not acknowledged yet, and its answers to methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sockshop.amqp.frame import Content
from sockshop.amqp.method import Method
from sockshop.broker.exchanges import Exchange
from sockshop.broker.faults import ChannelFault, ConnectionFault
from sockshop.broker.host import Host
from sockshop.broker.queues import Consumer, Message, Queue


class Wire(Protocol):
    """What a channel asks of its connection."""

    cancel_notify: bool
    """Whether the client wants to hear that its consumer lost its queue."""

    def full(self) -> bool:
        """Whether the client does not read what it is sent."""

    def send(self, channel: int, name: str, **values: Any) -> None:
        """A method."""

    def send_content(self, channel: int, name: str, content: Content, **values: Any) -> None:
        """A method with content."""


class Channel:
    """Methods by name to what they do. `owner` stands for the connection where queues are exclusive."""

    def __init__(self, number: int, host: Host, wire: Wire) -> None:
        self._number = number
        self._host = host
        self._wire = wire
        self._consumers: dict[str, tuple[Consumer, Queue]] = {}
        self._unacked: dict[int, tuple[Queue, Message, str]] = {}
        self._delivered = 0
        self._published: int | None = None
        self._prefetch = 0
        self._last_queue = ""
        self._handlers: dict[str, Callable[[Method], None]] = {
            "channel.flow": lambda method: self._reply("channel.flow-ok", active=method["active"]),
            "exchange.declare": self._declare_exchange,
            "exchange.delete": self._delete_exchange,
            "queue.declare": self._declare_queue,
            "queue.bind": self._bind,
            "queue.unbind": self._unbind,
            "queue.purge": self._purge,
            "queue.delete": self._delete_queue,
            "basic.qos": self._qos,
            "basic.consume": self._consume,
            "basic.cancel": self._cancel,
            "basic.get": self._get,
            "basic.ack": lambda method: self._settle(method["number"], multiple=method["multiple"]),
            "basic.reject": lambda method: self._settle(method["number"], requeue=method["requeue"]),
            "basic.nack": lambda method: self._settle(
                method["number"], multiple=method["multiple"], requeue=method["requeue"]
            ),
            "basic.recover": self._recover,
            "confirm.select": self._confirm,
        }

    def handle(self, method: Method, content: Content) -> None:
        """Does what a method asks. Raises Fault."""
        if method.name == "basic.publish":
            self._publish(method, content)
            return
        handler = self._handlers.get(method.name)
        if handler is None:
            raise ConnectionFault(503, f"{method.name} has no place here")
        handler(method)

    def close(self) -> None:
        """Gives back what was not acknowledged, and lets go of the consumers."""
        consumers, self._consumers = self._consumers, {}
        for consumer, queue in consumers.values():
            if consumer in queue.consumers:
                queue.consumers.remove(consumer)
        self._give_back(list(self._unacked))
        for _, queue in consumers.values():
            self._host.consumer_left(queue)

    def pump(self) -> None:
        """The client can take more: ask its queues."""
        for _, queue in tuple(self._consumers.values()):
            queue.pump()

    def _reply(self, name: str, **values: Any) -> None:
        self._wire.send(self._number, name, **values)

    def _answer(self, method: Method, name: str, **values: Any) -> None:
        if not method["no_wait"]:
            self._reply(name, **values)

    def _queue(self, method: Method) -> Queue:
        """The queue that a method names; an empty name is the one declared last on this channel."""
        return self._host.queue(method["queue"] or self._last_queue, self._wire)

    def _declare_exchange(self, method: Method) -> None:
        name = method["exchange"]
        if method["passive"]:
            self._host.exchange(name)
        else:
            flags = {flag: method[flag] for flag in ("durable", "auto_delete", "internal", "arguments")}
            self._host.declare_exchange(Exchange(name=name, kind=method["type"], **flags))
        self._answer(method, "exchange.declare-ok")

    def _delete_exchange(self, method: Method) -> None:
        self._host.delete_exchange(method["exchange"], if_unused=method["if_unused"])
        self._answer(method, "exchange.delete-ok")

    def _declare_queue(self, method: Method) -> None:
        if method["passive"]:
            queue = self._queue(method)
        else:
            flags = {flag: method[flag] for flag in ("durable", "auto_delete", "arguments")}
            owner = self._wire if method["exclusive"] else None
            queue = self._host.declare_queue(Queue(name=method["queue"], owner=owner, **flags), self._wire)
        self._last_queue = queue.name
        counts = {"messages": len(queue.messages), "consumers": len(queue.consumers)}
        self._answer(method, "queue.declare-ok", queue=queue.name, **counts)

    def _bind(self, method: Method) -> None:
        self._host.bind(self._queue(method), method["exchange"], method["key"], method["arguments"])
        self._answer(method, "queue.bind-ok")

    def _unbind(self, method: Method) -> None:
        self._host.unbind(self._queue(method), method["exchange"], method["key"])
        self._reply("queue.unbind-ok")

    def _purge(self, method: Method) -> None:
        self._answer(method, "queue.purge-ok", messages=self._host.purge(self._queue(method)))

    def _delete_queue(self, method: Method) -> None:
        try:
            queue = self._queue(method)
        except ChannelFault as fault:
            if fault.code != 404:
                raise
            self._answer(method, "queue.delete-ok", messages=0)
            return
        if method["if_unused"] and queue.consumers:
            raise ChannelFault(406, f"queue '{queue.name}' in vhost '/' in use")
        if method["if_empty"] and queue.messages:
            raise ChannelFault(406, f"queue '{queue.name}' in vhost '/' not empty")
        self._answer(method, "queue.delete-ok", messages=self._host.delete_queue(queue))

    def _qos(self, method: Method) -> None:
        if method["size"]:
            raise ConnectionFault(540, "prefetch_size!=0")
        self._prefetch = method["count"]
        self._reply("basic.qos-ok")
        self.pump()

    def _consume(self, method: Method) -> None:
        queue = self._queue(method)
        tag = method["tag"] or f"amq.ctag-{self._number}-{id(method):x}"
        if tag in self._consumers:
            raise ConnectionFault(530, f"attempt to reuse consumer tag '{tag}'")
        if queue.consumers and (method["exclusive"] or queue.consumers[0].exclusive):
            raise ChannelFault(403, f"queue '{queue.name}' in vhost '/' in exclusive use")
        no_ack = bool(method["no_ack"])
        limit = self._prefetch
        consumer = Consumer(
            tag=tag,
            ready=lambda: not self._wire.full() and (no_ack or not limit or self._held(tag) < limit),
            deliver=lambda source, message: self._deliver(tag, source, message, no_ack=no_ack),
            cancelled=lambda: self._lost(tag),
            exclusive=bool(method["exclusive"]),
        )
        self._consumers[tag] = consumer, queue
        queue.consumers.append(consumer)
        self._answer(method, "basic.consume-ok", tag=tag)
        queue.pump()

    def _held(self, tag: str) -> int:
        return sum(1 for _, _, holder in self._unacked.values() if holder == tag)

    def _lost(self, tag: str) -> None:
        if self._consumers.pop(tag, None) is not None and self._wire.cancel_notify:
            self._reply("basic.cancel", tag=tag, no_wait=True)

    def _cancel(self, method: Method) -> None:
        found = self._consumers.pop(method["tag"], None)
        self._answer(method, "basic.cancel-ok", tag=method["tag"])
        if found is not None:
            consumer, queue = found
            queue.consumers.remove(consumer)
            self._host.consumer_left(queue)

    def _get(self, method: Method) -> None:
        queue = self._queue(method)
        if not queue.messages:
            self._reply("basic.get-empty")
            return
        message = queue.messages.popleft()
        values = self._handed_out("", queue, message, no_ack=method["no_ack"])
        left = len(queue.messages)
        self._wire.send_content(self._number, "basic.get-ok", message.content, **values, messages=left)

    def _deliver(self, tag: str, queue: Queue, message: Message, *, no_ack: bool) -> None:
        values = self._handed_out(tag, queue, message, no_ack=no_ack)
        self._wire.send_content(self._number, "basic.deliver", message.content, tag=tag, **values)

    def _handed_out(self, tag: str, queue: Queue, message: Message, *, no_ack: bool) -> dict[str, Any]:
        self._delivered += 1
        if not no_ack:
            self._unacked[self._delivered] = queue, message, tag
        self._host.taken(message)
        flags = {"redelivered": message.redelivered, "exchange": message.exchange, "key": message.key}
        return {"number": self._delivered, **flags}

    def _settle(self, number: int, *, multiple: bool = False, requeue: bool = False) -> None:
        numbers = [one for one in self._unacked if number == 0 or one <= number] if multiple else [number]
        if not multiple and number not in self._unacked:
            raise ChannelFault(406, f"unknown delivery tag {number}")
        if requeue:
            self._give_back(numbers)
        else:
            for one in numbers:
                self._unacked.pop(one)
        self.pump()

    def _give_back(self, numbers: list[int]) -> None:
        by_queue: dict[Queue, list[Message]] = {}
        for number in numbers:
            queue, message, _ = self._unacked.pop(number)
            again = Message(message.exchange, message.key, message.content, redelivered=True)
            by_queue.setdefault(queue, []).append(again)
        for queue, messages in by_queue.items():
            self._host.returned(queue, messages)

    def _recover(self, method: Method) -> None:
        if not method["requeue"]:
            raise ConnectionFault(540, "requeue=false")
        self._give_back(list(self._unacked))
        self._reply("basic.recover-ok")

    def _confirm(self, method: Method) -> None:
        if self._published is None:
            self._published = 0
        self._answer(method, "confirm.select-ok")

    def _publish(self, method: Method, content: Content) -> None:
        if method["immediate"]:
            raise ConnectionFault(540, "immediate=true")
        message = Message(method["exchange"], method["key"], content)
        if not self._host.publish(message) and method["mandatory"]:
            values = {"code": 312, "text": "NO_ROUTE", "exchange": message.exchange, "key": message.key}
            self._wire.send_content(self._number, "basic.return", content, **values)
        if self._published is not None:
            self._published += 1
            self._reply("basic.ack", number=self._published)
