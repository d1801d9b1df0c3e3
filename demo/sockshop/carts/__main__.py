"""`python -m sockshop.carts [--port 80] [--db carts-db]`.

MONGO_HOST, MONGO_USER and MONGO_PASS come from the environment.
"""

from __future__ import annotations

import argparse
import os
import sys

from sockshop.carts.api import Carts
from sockshop.carts.baskets import Baskets
from sockshop.mongo.client import Mongo
from sockshop.service.journal import access_log
from sockshop.service.listener import run


def main(arguments: list[str]) -> int:
    """Runs the service; the exit status is 2 for wrong arguments or environment."""
    environment = os.environ
    parser = argparse.ArgumentParser(prog="carts", description="Carts over HTTP.")
    parser.add_argument("--port", type=int, default=80, help="port to listen on, all addresses (80)")
    database = environment.get("MONGO_HOST") or "carts-db"
    parser.add_argument("--db", default=database, help="database, as HOST or HOST:PORT (MONGO_HOST)")
    parser.add_argument("--access-log", action="store_true", help="one line of JSON per request on stdout")
    options = parser.parse_args(arguments)
    user, password = environment.get("MONGO_USER", ""), environment.get("MONGO_PASS", "")
    try:
        mongo = Mongo.at(options.db, user=user, password=password)
    except ValueError as error:
        parser.error(f"--db: {error}")
    run(Carts(Baskets(mongo), access_log=access_log(options.access_log)).app(), port=options.port, name="carts")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
