"""The broker as RabbitMQ's own Python client meets it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pika
import pytest
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker


@pytest.fixture
def port(free_port: Callable[[], int]) -> Iterator[int]:
    number = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "sockshop.broker", "--port", str(number), "--bind", "127.0.0.1"],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)) == 0:
                break
        time.sleep(0.02)
    yield number
    process.terminate()
    process.wait(60)


def connect(port: int, password: str = "guest") -> pika.BlockingConnection:
    who = pika.PlainCredentials("guest", password)
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, credentials=who, heartbeat=60))


def test_messages_are_routed_consumed_and_acknowledged(port: int) -> None:
    connection = connect(port)
    channel = connection.channel()
    channel.exchange_declare("shipping-task-exchange", exchange_type="topic")
    channel.queue_declare("shipping-task")
    channel.queue_bind("shipping-task", "shipping-task-exchange", routing_key="shipping-task.#")
    channel.confirm_delivery()
    for number in range(20):
        channel.basic_publish("shipping-task-exchange", "shipping-task.new", b"%d" % number)
    channel.basic_publish(
        "", "shipping-task", b"by name", pika.BasicProperties(content_type="text/plain", headers={"a": 1})
    )
    seen = []
    for method, properties, body in channel.consume("shipping-task", inactivity_timeout=60):
        seen.append((body, properties.headers))
        channel.basic_ack(method.delivery_tag)
        if len(seen) == 21:
            break
    assert [body for body, _ in seen] == [*(b"%d" % number for number in range(20)), b"by name"]
    assert seen[-1][1] == {"a": 1}
    channel.cancel()
    assert channel.queue_declare("shipping-task", passive=True).method.message_count == 0
    connection.close()


def test_what_was_not_acknowledged_comes_again(port: int) -> None:
    first = connect(port)
    channel = first.channel()
    channel.queue_declare("work", durable=True)
    channel.basic_publish("", "work", b"task")
    method, _, body = channel.basic_get("work")
    assert (method.redelivered, body) == (False, b"task")
    first.close()
    second = connect(port)
    method, _, body = second.channel().basic_get("work")
    assert (method.redelivered, body) == (True, b"task")
    second.close()


def test_a_large_message_comes_whole(port: int) -> None:
    connection = connect(port)
    channel = connection.channel()
    channel.queue_declare("large")
    body = bytes(range(256)) * 4000
    channel.basic_publish("", "large", body)
    assert channel.basic_get("large", auto_ack=True)[2] == body
    connection.close()


def test_faults_end_the_channel_with_amqps_own_codes(port: int) -> None:
    connection = connect(port)
    channel = connection.channel()
    with pytest.raises(ChannelClosedByBroker) as raised:
        channel.queue_declare("nobody", passive=True)
    assert raised.value.reply_code == 404
    channel = connection.channel()
    channel.queue_declare("mine", durable=True)
    with pytest.raises(ChannelClosedByBroker) as raised:
        channel.queue_declare("mine", durable=False)
    assert raised.value.reply_code == 406
    connection.close()


def test_a_wrong_password_is_refused(port: int) -> None:
    with pytest.raises(AMQPConnectionError):
        connect(port, "wrong")
