"""`python -m sockshop.catalogue_db`: makes the data directory at the first start, then *becomes* mariadbd.

Environment, as of the original image: MYSQL_DATABASE (socksdb), MYSQL_ROOT_PASSWORD (none: root by the socket only).
mariadbd replaces this program: process id, signals and exit status are the server's, and SIGTERM ends it cleanly.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sockshop.catalogue_db import directory, options
from sockshop.catalogue_db.installation import Installation, MissingError

if TYPE_CHECKING:
    from types import FrameType


def main(arguments: list[str]) -> int:  # noqa: RET503 - execv does not return
    """Returns only when the server could not be started."""
    parser = argparse.ArgumentParser(prog="catalogue-db", description="MariaDB with the Sock Shop's catalogue.")
    parser.add_argument("--port", type=int, default=3306, help="port to listen on (3306)")
    parser.add_argument("--bind", default="0.0.0.0", help="address to listen on (all of IPv4)")  # noqa: S104
    parser.add_argument("--data", type=Path, default=Path("/var/lib/mysql"), help="folder that keeps the data")
    chosen = parser.parse_args(arguments)
    # The first process of a container ignores SIGTERM unless it says otherwise.
    signal.signal(signal.SIGTERM, _leave)
    try:
        installation = Installation.find(os.environ.get("PATH", ""))
        data, run = directory.ensure(
            chosen.data.absolute(),
            installation,
            database=os.environ.get("MYSQL_DATABASE", "socksdb"),
            root_password=os.environ.get("MYSQL_ROOT_PASSWORD", ""),
        )
    except (MissingError, directory.InitialisationError, OSError, ValueError) as error:
        sys.stderr.write(f"catalogue-db: {error}\n")
        return 1
    flags = options.serve(data, run, port=chosen.port, bind=chosen.bind, root=os.geteuid() == 0)
    os.execv(installation.server, [str(installation.server), *flags])  # noqa: S606 - there is no shell to need


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
