"""Run one of istiod's two processes until SIGTERM."""

from __future__ import annotations

import os
import sys

from plait.app.istiod.options import arguments
from plait.app.processes import run


def main() -> None:
    """See the module."""
    options = arguments(sys.argv[1:])
    # Imported here: the builder has no use for gRPC, delivery none for the core.
    if options.role == "delivery":
        from plait.app.istiod.delivery import run_delivery_process  # noqa: PLC0415

        run("delivery", run_delivery_process(options, os.environ))
    else:
        from plait.app.istiod.builder import run_istiod  # noqa: PLC0415

        run("istiod", run_istiod(options, os.environ))


if __name__ == "__main__":
    main()
