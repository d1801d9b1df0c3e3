"""How mariadbd is told to run: small, self-contained, without any configuration file of the machine. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SMALL = (
    "--innodb-buffer-pool-size=8M",
    "--innodb-log-file-size=8M",
    "--innodb-log-buffer-size=2M",
    "--innodb-read-io-threads=1",
    "--innodb-write-io-threads=2",
    "--innodb-purge-threads=1",
    "--aria-pagecache-buffer-size=1M",
    "--key-buffer-size=1M",
    "--query-cache-size=0",
    "--performance-schema=OFF",
    "--max-connections=100",
    "--table-open-cache=64",
    "--table-definition-cache=400",
    "--skip-log-bin",
    "--character-set-server=utf8mb4",
)


def bootstrap(data: Path, *, root: bool) -> list[str]:
    """For reading SQL from stdin into a new data directory. Nothing is synced: a crash means beginning again."""
    # --no-defaults counts only in first place.
    return [
        "--no-defaults",
        *_user(root),
        "--bootstrap",
        f"--datadir={data}",
        *_SMALL,
        "--log-warnings=0",
        "--max-allowed-packet=8M",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-flush-method=nosync",
        "--innodb-doublewrite=OFF",
        "--sync-frm=OFF",
    ]


def serve(data: Path, run: Path, *, port: int, bind: str, root: bool) -> list[str]:
    """For serving `data` on TCP. `run` holds the socket, the pid file and temporary files."""
    return [
        "--no-defaults",
        *_user(root),
        f"--datadir={data}",
        f"--socket={run}/s",
        f"--pid-file={run}/pid",
        f"--tmpdir={run}",
        f"--bind-address={bind}",
        f"--port={port}",
        "--skip-name-resolve",
        *_SMALL,
    ]


def _user(root: bool) -> list[str]:
    """Says that root is meant: the server refuses to run as root otherwise."""
    return ["--user=root"] if root else []
