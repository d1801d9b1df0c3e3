"""`python -m sockshop.payment [-port 80] [-decline 100]`."""

from __future__ import annotations

import argparse
import sys

from sockshop.payment.api import Payment
from sockshop.service.journal import access_log
from sockshop.service.listener import run


def main(arguments: list[str]) -> int:
    """Runs the service; the exit status is 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="payment", description="Authorises payments over HTTP.")
    parser.add_argument("-port", "--port", type=int, default=80, help="port to listen on, all addresses (80)")
    parser.add_argument("-decline", "--decline", type=float, default=100.0, help="decline amounts above this (100)")
    parser.add_argument(
        "-zipkin", "--zipkin", default="", help="accepted for the original's sake; the mesh makes the spans"
    )
    parser.add_argument("-access-log", "--access-log", action="store_true", help="one line of JSON per request")
    options = parser.parse_args(arguments)
    app = Payment(limit=options.decline, access_log=access_log(options.access_log)).app()
    run(app, port=options.port, name="payment")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
