"""`python -m sockshop.catalogue [-port 80] [-images DIR] [-DSN user:password@tcp(host:port)/database]`.

The flags are the original's, with one dash or two. Serves without its database too: lists then answer 500.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sockshop.catalogue.api import Catalogue
from sockshop.catalogue.dsn import DEFAULT, Dsn
from sockshop.catalogue.shelf import Shelf
from sockshop.service.journal import access_log
from sockshop.service.listener import run


def main(arguments: list[str]) -> int:
    """Runs the service; the exit status is 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="catalogue", description="Socks, tags and pictures over HTTP.")
    parser.add_argument("-port", "--port", type=int, default=80, help="port to listen on, all addresses (80)")
    parser.add_argument(
        "-images", "--images", type=Path, default=Path(__file__).parent / "images", help="folder of pictures"
    )
    parser.add_argument("-DSN", "--DSN", default=DEFAULT, help="database, as user:password@tcp(host:port)/name")
    parser.add_argument(
        "-zipkin", "--zipkin", default="", help="accepted for the original's sake; the mesh makes the spans"
    )
    parser.add_argument(
        "-circuit-breakers",
        "--circuit-breakers",
        action="store_true",
        help="answer 500 for 30 s after six failures in a row, as the original does",
    )
    parser.add_argument(
        "-access-log", "--access-log", action="store_true", help="one line of JSON per request on stdout"
    )
    options = parser.parse_args(arguments)
    try:
        dsn = Dsn.parse(options.DSN)
    except ValueError as error:
        parser.error(str(error))
    catalogue = Catalogue(
        Shelf(dsn),
        images=options.images,
        breakers=options.circuit_breakers,
        access_log=access_log(options.access_log),
    )
    run(catalogue.app(), port=options.port, name="catalogue")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
