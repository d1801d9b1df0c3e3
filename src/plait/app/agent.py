"""`python -m plait.app.agent SOCKET`: the keys and certificates of all workloads of the machine.

It is told of them on that socket. It needs no right, and imports neither gRPC nor Envoy's message classes.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from plait.agent.agent import Agent
from plait.agent.authority import Authority
from plait.app.processes import run
from plait.rpc import Server


async def serve(path: Path) -> None:
    """Until cancelled."""
    logging.getLogger(__name__).info("serving")
    await Agent(Authority(), Server()).run(path)


def main() -> None:
    """Serve until SIGTERM."""
    os.umask(0o077)
    run("agent", serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
