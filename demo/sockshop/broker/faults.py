"""Errors as AMQP numbers and RabbitMQ words them. Pure."""

from __future__ import annotations

_NAMES = {
    320: "CONNECTION_FORCED",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    501: "FRAME_ERROR",
    503: "COMMAND_INVALID",
    504: "CHANNEL_ERROR",
    505: "UNEXPECTED_FRAME",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
}


class Fault(Exception):  # noqa: N818 - AMQP's own word for it is exception, which says less
    """A mistake of the client."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{_NAMES[code]} - {text}")
        self.code = code

    @property
    def text(self) -> str:
        """What goes over the wire, which takes 255 bytes."""
        return str(self).encode()[:255].decode("utf-8", "ignore")


class ChannelFault(Fault):
    """Closes the channel."""


class ConnectionFault(Fault):
    """Closes the connection."""
