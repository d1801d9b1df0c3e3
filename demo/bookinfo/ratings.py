"""`python -m bookinfo.ratings [PORT]`: stars for each reviewer of a book, kept in memory."""

from __future__ import annotations

import json
import sys

from bookinfo import web

STARS = {"Reviewer1": 5, "Reviewer2": 4}


class Ratings:
    """Answers `/ratings/ID`, which can be replaced by POST, and `/health`."""

    def __init__(self) -> None:
        self._given: dict[int, object] = {}

    def __call__(self, request: web.Request) -> web.Reply:
        """One request."""
        if request.path == "/health":
            return web.document({"status": "Ratings is healthy"})
        if not request.path.startswith("/ratings/"):
            return web.not_found(request)
        name = request.path.rpartition("/")[2]
        if not name.isdecimal():
            return web.document({"error": "please provide numeric product ID"}, 400)
        number = int(name)
        if request.method == "POST":
            try:
                self._given[number] = json.loads(request.body)
            except ValueError:
                return web.document({"error": "please provide valid ratings JSON"}, 400)
        return web.document({"id": number, "ratings": self._given.get(number, STARS)})


if __name__ == "__main__":
    web.serve(Ratings(), port=int(sys.argv[1]) if sys.argv[1:] else 9080, name="ratings")
