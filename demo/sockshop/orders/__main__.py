"""`python -m sockshop.orders [--port 80] [--db orders-db] [--http-timeout 5]`.

MONGO_HOST, MONGO_USER and MONGO_PASS come from the environment.
"""

from __future__ import annotations

import argparse
import os
import sys

from sockshop.mongo.client import Mongo
from sockshop.orders.api import Orders
from sockshop.orders.book import Book
from sockshop.orders.placing import Endpoints, Placing
from sockshop.service.journal import access_log
from sockshop.service.listener import run


def main(arguments: list[str]) -> int:
    """Runs the service; the exit status is 2 for wrong arguments or environment."""
    environment, own = os.environ, Endpoints()
    parser = argparse.ArgumentParser(prog="orders", description="Orders over HTTP.")
    parser.add_argument("--port", type=int, default=80, help="port to listen on, all addresses (80)")
    database = environment.get("MONGO_HOST") or "orders-db"
    parser.add_argument("--db", default=database, help="database, as HOST or HOST:PORT (MONGO_HOST)")
    parser.add_argument("--http-timeout", type=float, default=5.0, help="longest wait for a service, in seconds (5)")
    parser.add_argument("--payment", default=own.payment, help=f"where payments go ({own.payment})")
    parser.add_argument("--shipping", default=own.shipping, help=f"where shipments go ({own.shipping})")
    parser.add_argument("--access-log", action="store_true", help="one line of JSON per request on stdout")
    options = parser.parse_args(arguments)
    user, password = environment.get("MONGO_USER", ""), environment.get("MONGO_PASS", "")
    try:
        mongo = Mongo.at(options.db, user=user, password=password)
    except ValueError as error:
        parser.error(f"--db: {error}")
    placing = Placing(Endpoints(payment=options.payment, shipping=options.shipping), timeout=options.http_timeout)
    orders = Orders(Book(mongo), placing, access_log=access_log(options.access_log))
    run(orders.app(), port=options.port, name="orders")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
