"""Where shipping and queue-master look for their broker."""

from __future__ import annotations

import pytest

from sockshop.amqp.link import Broker, address_of


@pytest.mark.parametrize(
    ("environment", "host", "port"),
    [
        ({}, "rabbitmq", 5672),
        ({"SPRING_RABBITMQ_HOST": ""}, "rabbitmq", 5672),
        ({"SPRING_RABBITMQ_HOST": "mq.example.com"}, "mq.example.com", 5672),
        ({"SPRING_RABBITMQ_PORT": "5673"}, "rabbitmq", 5673),
        ({"SPRING_RABBITMQ_HOST": "mq.example.com", "SPRING_RABBITMQ_PORT": "5673"}, "mq.example.com", 5673),
        ({"SPRING_RABBITMQ_HOST": "mq.example.com:5674", "SPRING_RABBITMQ_PORT": "5673"}, "mq.example.com", 5674),
    ],
)
def test_springs_variables_say_where(environment: dict[str, str], host: str, port: int) -> None:
    broker = Broker.at(address_of(environment))
    assert (broker.host, broker.port) == (host, port)


def test_a_port_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="'rabbitmq:amqp' is no broker: give HOST or HOST:PORT"):
        Broker.at(address_of({"SPRING_RABBITMQ_PORT": "amqp"}))
