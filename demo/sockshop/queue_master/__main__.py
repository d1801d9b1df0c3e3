"""`python -m sockshop.queue_master [--port 80] [--broker rabbitmq]`; the environment's SPRING_RABBITMQ_* count too."""

from __future__ import annotations

import argparse
import os
import sys

from sockshop.amqp.arguments import add_broker, broker_of
from sockshop.queue_master.api import QueueMaster
from sockshop.service.journal import access_log
from sockshop.service.listener import run


def main(arguments: list[str]) -> int:
    """Runs the service; the exit status is 2 for wrong arguments or environment."""
    environment = os.environ
    parser = argparse.ArgumentParser(prog="queue-master", description="Takes shipments off the queue.")
    parser.add_argument("--port", type=int, default=80, help="port to listen on, all addresses (80)")
    add_broker(parser, environment)
    parser.add_argument("--access-log", action="store_true", help="one line of JSON per request on stdout")
    options = parser.parse_args(arguments)
    broker = broker_of(parser, options, environment)
    service = QueueMaster(broker, out=sys.stdout, access_log=access_log(options.access_log))
    run(service.app(), port=options.port, name="queue-master")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
