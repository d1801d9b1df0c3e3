"""`python -m sockshop.broker [--port 5672] [--bind ADDRESS]`.

RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS name the one user: guest with password guest unless they are set.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from sockshop.broker.connection import Connection
from sockshop.broker.host import Host
from sockshop.service.streams import run


def main(arguments: list[str]) -> int:
    """Runs the broker; the exit status is 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="broker", description="A message broker over AMQP 0-9-1.")
    parser.add_argument("--port", type=int, default=5672, help="port to listen on (5672)")
    parser.add_argument("--bind", default=None, help="address to listen on (all)")
    options = parser.parse_args(arguments)
    user = os.environ.get("RABBITMQ_DEFAULT_USER") or "guest"
    users = {user: os.environ.get("RABBITMQ_DEFAULT_PASS") or "guest"}
    host = Host()
    connections: set[Connection] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(host, users, reader, writer)
        connections.add(connection)
        try:
            await connection.run()
        finally:
            connections.discard(connection)

    def close() -> None:
        for connection in tuple(connections):
            connection.close()

    run(connected, host=options.bind, port=options.port, name="broker", close=close)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
