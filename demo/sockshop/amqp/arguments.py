"""How a service is told where its broker is: by `--broker`, and by the variables that Spring reads."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from sockshop.amqp.link import Broker, address_of


def add_broker(parser: ArgumentParser, environment: Mapping[str, str]) -> None:
    """Adds `--broker`."""
    parser.add_argument(
        "--broker", default=address_of(environment), help="broker, as HOST or HOST:PORT (SPRING_RABBITMQ_HOST)"
    )


def broker_of(parser: ArgumentParser, options: Namespace, environment: Mapping[str, str]) -> Broker:
    """The broker that was named; what cannot be one ends the program by the parser's words."""
    user = environment.get("SPRING_RABBITMQ_USERNAME") or "guest"
    password = environment.get("SPRING_RABBITMQ_PASSWORD") or "guest"
    try:
        return Broker.at(options.broker, user=user, password=password)
    except ValueError as error:
        parser.error(f"--broker: {error}")
