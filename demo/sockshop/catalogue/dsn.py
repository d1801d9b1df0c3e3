"""A database address in the form of Go's MySQL driver: `user:password@tcp(host:port)/database?param=value`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

DEFAULT = "catalogue_user:default_password@tcp(catalogue-db:3306)/socksdb"

_SHAPE = re.compile(
    r"(?:(?P<user>[^:]*)(?::(?P<password>.*))?@)?(?:(?P<net>[a-z0-9]+)(?:\((?P<address>[^)]*)\))?)?/(?P<database>[^?/]*)(?:\?.*)?\Z",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dsn:
    """Where the database is and as whom to log in."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str

    @classmethod
    def parse(cls, text: str) -> Dsn:
        """Raises ValueError saying what is wrong; the message never contains the password."""
        match = _SHAPE.match(text)
        if match is None:
            raise ValueError("-DSN: expected user:password@tcp(host:port)/database")
        network = match["net"] or "tcp"
        if network != "tcp":
            raise ValueError(f"-DSN: network {network!r} is not supported, use tcp(host:port)")
        host, _, port = (match["address"] or "127.0.0.1:3306").rpartition(":")
        if not host:
            host, port = port, "3306"
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"-DSN: port {port!r} is not a number from 1 to 65535")
        return cls(
            host=host.strip("[]"),
            port=int(port),
            user=match["user"] or "",
            password=match["password"] or "",
            database=unquote(match["database"]),
        )
