"""What shipping and queue-master agree upon: queue, exchange and the form of a message."""

from __future__ import annotations

from sockshop.amqp.frame import Content, properties
from sockshop.amqp.link import Link

QUEUE = "shipping-task"
EXCHANGE = "shipping-task-exchange"
_TYPE = "works.weave.socks.shipping.entities.Shipment"


async def declare(link: Link) -> None:
    """Makes queue, exchange and binding as both sides of the original do; other arguments would be refused."""
    await link.ask("queue.declare", "queue.declare-ok", queue=QUEUE)
    await link.ask("exchange.declare", "exchange.declare-ok", exchange=EXCHANGE, type="topic", durable=True)
    await link.ask("queue.bind", "queue.bind-ok", queue=QUEUE, exchange=EXCHANGE, key=QUEUE)


def message(body: bytes) -> Content:
    """A shipment's JSON with the properties that the original's library reads."""
    kind = {"content_type": "application/json", "content_encoding": "UTF-8", "headers": {"__TypeId__": _TYPE}}
    return Content(body=body, properties=properties(**kind, delivery_mode=2, priority=0))
