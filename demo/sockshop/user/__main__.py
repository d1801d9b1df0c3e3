"""`python -m sockshop.user [-port 80]`; MONGO_HOST, MONGO_USER, MONGO_PASS and HATEAOS come from the environment.

Listens only once the database answers, as the original does.
"""

from __future__ import annotations

import argparse
import os
import sys

from sockshop.mongo.client import Mongo, MongoError
from sockshop.service.journal import access_log
from sockshop.service.listener import run
from sockshop.user.api import Users
from sockshop.user.people import People


def main(arguments: list[str]) -> int:
    """Runs the service; the exit status is 2 for wrong arguments or environment, 1 for a database that refuses."""
    environment = os.environ
    parser = argparse.ArgumentParser(prog="user", description="Customers, addresses and cards over HTTP.")

    def flag(name: str, default: str, text: str) -> None:
        parser.add_argument(f"-{name}", f"--{name}", default=default, help=text)

    parser.add_argument("-port", "--port", type=int, default=80, help="port to listen on, all addresses (80)")
    flag("mongo-host", environment.get("MONGO_HOST") or "user-db:27017", "database, as HOST:PORT (MONGO_HOST)")
    flag("mongo-user", environment.get("MONGO_USER", ""), "user name there (MONGO_USER)")
    flag("mongo-password", environment.get("MONGO_PASS", ""), "its password (MONGO_PASS)")
    flag("link-domain", environment.get("HATEAOS") or "user", "host in the links (HATEAOS)")
    flag("database", environment.get("USER_DATABASE") or "mongodb", "kind of database: mongodb (USER_DATABASE)")
    flag("zipkin", "", "accepted for the original's sake; the mesh makes the spans")
    parser.add_argument("-access-log", "--access-log", action="store_true", help="one line of JSON per request")
    options = parser.parse_args(arguments)
    if options.database != "mongodb":
        parser.error(f"-database {options.database!r}: only mongodb is known")
    try:
        mongo = Mongo.at(options.mongo_host, user=options.mongo_user, password=options.mongo_password)
    except ValueError as error:
        parser.error(f"-mongo-host: {error}")
    users = Users(People(mongo), host=options.link_domain, access_log=access_log(options.access_log))
    try:
        run(users.app(), port=options.port, name="user")
    except MongoError as error:
        # The database is there and refuses: a wrong name or password, say.
        sys.stderr.write(f"user: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
