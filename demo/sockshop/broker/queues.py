"""Queues and who reads from them. Pure: what goes over the wire goes through a consumer's `deliver`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sockshop.amqp.frame import Content


@dataclass(frozen=True, slots=True)
class Message:
    """A message and how it came."""

    exchange: str
    key: str
    content: Content
    redelivered: bool = False

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self.content.body) + len(self.content.properties) + 200


@dataclass(slots=True, kw_only=True, eq=False)
class Consumer:
    """Somebody who reads from a queue, while `ready` says that they can take more."""

    tag: str
    ready: Callable[[], bool]
    deliver: Callable[[Queue, Message], None]
    cancelled: Callable[[], None]
    """Called when the queue goes away under the consumer."""
    exclusive: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Queue:
    """Messages in the order of their coming. `owner` is the connection of an exclusive queue."""

    name: str
    durable: bool = False
    auto_delete: bool = False
    owner: object | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    messages: deque[Message] = field(default_factory=deque)
    consumers: deque[Consumer] = field(default_factory=deque)

    def put(self, message: Message) -> None:
        """Adds a message and hands out what can be."""
        self.messages.append(message)
        self.pump()

    def put_back(self, messages: list[Message]) -> None:
        """Puts messages that were handed out to where they were: the front."""
        self.messages.extendleft(reversed(messages))
        self.pump()

    def pump(self) -> None:
        """Hands messages to the consumers in turn until nobody can take more."""
        while self.messages:
            chosen = next((one for one in self.consumers if one.ready()), None)
            if chosen is None:
                return
            self.consumers.remove(chosen)
            self.consumers.append(chosen)
            chosen.deliver(self, self.messages.popleft())
