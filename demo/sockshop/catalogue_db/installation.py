"""Where MariaDB's program and its own SQL files are on this machine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

_SEARCH = "/usr/sbin:/usr/local/sbin:/usr/libexec:/usr/bin:/usr/local/bin"
_SYSTEM_FILES = ("system_tables", "performance_tables", "system_tables_data")


class MissingError(Exception):
    """MariaDB is not on this machine, or not whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """`server` is the mariadbd program; `system_sql` are the files that make the database `mysql`, in order."""

    server: Path
    system_sql: tuple[Path, ...]

    @classmethod
    def find(cls, path: str = "") -> Installation:
        """Looks along `path` (as in $PATH), then in the usual places. Raises MissingError naming the package."""
        found = shutil.which("mariadbd", path=":".join(filter(None, (path, _SEARCH))))
        if found is None:
            raise MissingError("mariadbd is not installed; it comes with the Debian package mariadb-server-core")
        server = Path(found).resolve()
        share = server.parent.parent / "share"
        return cls(server=server, system_sql=tuple(_system_file(share, name) for name in _SYSTEM_FILES))


def _system_file(share: Path, name: str) -> Path:
    """MariaDB 11 renamed both the folder and the files."""
    for folder, prefix in (("mysql", "mysql"), ("mariadb", "mariadb"), ("mysql", "mariadb"), ("mariadb", "mysql")):
        path = share / folder / f"{prefix}_{name}.sql"
        if path.is_file():
            return path
    raise MissingError(
        f"{share}/mysql/mysql_{name}.sql is missing; it comes with the Debian package mariadb-server-core"
    )
