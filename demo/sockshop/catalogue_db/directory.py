"""The data directory: made once, whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sockshop.catalogue_db import account, options

if TYPE_CHECKING:
    from sockshop.catalogue_db.installation import Installation

_HERE = Path(__file__).parent


class InitialisationError(Exception):
    """MariaDB refused the initial SQL; the text is what it said."""


def ensure(base: Path, installation: Installation, *, database: str, root_password: str) -> tuple[Path, Path]:
    """The data and run folders below `base`, initialised when this is the first start.

    The work is done in `data.new`, renamed only when complete: an interrupted start leaves nothing that looks finished.
    This does what mariadb-install-db does (feed the system tables to `mariadbd --bootstrap`) without that script, which
    needs programs of another package, and without the help texts, which take four times as long as all the rest.
    """
    data, run = base / "data", base / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    if not data.is_dir():
        unfinished = base / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        _fill(unfinished, installation, database=database, root_password=root_password)
        unfinished.rename(data)
    return data, run


def _fill(data: Path, installation: Installation, *, database: str, root_password: str) -> None:
    sql = "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"
    sql += "\n".join(path.read_text("utf-8") for path in installation.system_sql) + "\n"
    sql += account.statements(database=database, root_password=root_password)
    sql += _one_line_each((_HERE / "schema.sql").read_text("utf-8")) + (_HERE / "seed.sql").read_text("utf-8")
    # A child that outlives an interrupted launcher would hold the locks of the directory, so it is ended with it.
    with subprocess.Popen(
        [installation.server, *options.bootstrap(data, root=os.geteuid() == 0)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    ) as server:
        try:
            said, _ = server.communicate(sql)
        except BaseException:
            server.kill()
            raise
    if server.returncode != 0 or "ERROR:" in said:
        raise InitialisationError(said)


def _one_line_each(sql: str) -> str:
    return "".join(" ".join(statement.split()) + ";\n" for statement in sql.split(";") if statement.strip())
