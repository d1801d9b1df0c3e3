"""`python -m sockshop.front_end [--domain=x]`; the rest comes from the environment, see `settings`."""

from __future__ import annotations

import argparse
import os
import sys

from sockshop.front_end.settings import Settings
from sockshop.front_end.shopfront import build
from sockshop.service.listener import run


def main(arguments: list[str]) -> int:
    """Runs the front-end; the exit status is 2 for wrong arguments or environment."""
    parser = argparse.ArgumentParser(
        prog="front-end",
        description="The shop's pages and API. Environment: PORT, SOCKSHOP_VERSION, NODE_ENV, SOCKSHOP_ACCESS_LOG.",
    )
    parser.add_argument("--domain", default="", help="appended to every backend's name: x makes catalogue catalogue.x")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.read(os.environ, domain=options.domain)
    except ValueError as error:
        parser.error(str(error))
    run(build(settings), port=settings.port, name=f"front-end {settings.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
