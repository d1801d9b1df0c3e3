"""`python -m sockshop.documents [--port 27017] [--bind ADDRESS] [--data DIR] [--seed users]`.

A database in DIR for clients that speak MongoDB's wire protocol. `--seed users` fills a new one with the shop's
customers. Answers nobody's password: like the originals' databases, it is open to whoever reaches it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from sqlite3 import DatabaseError

from sockshop.documents import users
from sockshop.documents.commands import Commands
from sockshop.documents.server import Server
from sockshop.documents.store import Store
from sockshop.service.streams import run

FILE = "documents.db"


def main(arguments: list[str]) -> int:
    """Runs the server; the exit status is 2 for wrong arguments, 1 if the folder cannot be used."""
    parser = argparse.ArgumentParser(prog="documents", description="Documents over MongoDB's wire protocol.")
    parser.add_argument("--port", type=int, default=27017, help="port to listen on (27017)")
    parser.add_argument("--bind", default=None, help="address to listen on (all)")
    parser.add_argument("--data", type=Path, default=Path("/data/db"), help="folder of the database (/data/db)")
    parser.add_argument("--seed", choices=("users",), help="what a new database begins with")
    # mongod's own flags, which manifests give: the address is the default anyway, the others concern its engine.
    parser.add_argument("--bind_ip_all", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--smallfiles", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--noprealloc", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        options.data.mkdir(parents=True, exist_ok=True)
        store = Store(options.data / FILE)
    except OSError as error:
        sys.stderr.write(f"documents: {options.data}: {error.strerror}: give a folder that can be written\n")
        return 1
    except DatabaseError as error:
        sys.stderr.write(f"documents: {options.data / FILE}: {error}\n")
        return 1
    try:
        if options.seed and not store.databases():
            _seed(store)
        server = Server(Commands(store))
        run(server.connection, host=options.bind, port=options.port, name="documents", close=server.close)
    finally:
        store.close()
    return 0


def _seed(store: Store) -> None:
    with store.transaction(flush=True):
        for name, documents in users.collections().items():
            for document in documents:
                store.insert("users", name, document)
        store.create_index("users", "customers", "username_1", {"username": 1}, unique=True, sparse=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
