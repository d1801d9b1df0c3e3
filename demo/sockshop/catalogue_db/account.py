"""SQL that gives the database its name and its users. Pure."""

from __future__ import annotations

SHOP_USER = "catalogue_user"
SHOP_PASSWORD = "default_password"  # noqa: S105 - the original's, known to the world; the mesh guards the database


def statements(*, database: str, root_password: str) -> str:
    """Creates the database, root from everywhere (only with a password, as in the original image) and the shop's user.

    The system tables are read only after FLUSH PRIVILEGES; before it users cannot be made.
    """
    name = _identifier(database)
    # The system tables come with a root without password for each address of this host; only the socket's is kept.
    lines = [
        "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';",
        "DELETE FROM mysql.proxies_priv WHERE User = 'root' AND Host <> 'localhost';",
        "FLUSH PRIVILEGES;",
    ]
    if root_password:
        secret = _text(root_password)
        lines += [
            f"ALTER USER 'root'@'localhost' IDENTIFIED BY {secret};",
            f"CREATE OR REPLACE USER 'root'@'%' IDENTIFIED BY {secret};",
            "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;",
        ]
    lines += [
        f"CREATE DATABASE {name} CHARACTER SET utf8mb4;",
        f"CREATE USER '{SHOP_USER}'@'%' IDENTIFIED BY '{SHOP_PASSWORD}';",
        f"GRANT ALL ON {name}.* TO '{SHOP_USER}'@'%';",
        f"USE {name};",
    ]
    return "\n".join(lines) + "\n"


def _identifier(name: str) -> str:
    if "\n" in name or "\0" in name:
        raise ValueError(f"MYSQL_DATABASE: {name!r} is no database name")
    return "`" + name.replace("`", "``") + "`"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\0", "\\0") + "'"
