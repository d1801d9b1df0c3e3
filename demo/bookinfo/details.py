"""`python -m bookinfo.details [PORT]`: facts about a book; version 2 asks a service outside of the mesh for them.

Environment: ENABLE_EXTERNAL_BOOK_SERVICE=true asks www.googleapis.com, over HTTPS, or with DO_NOT_ENCRYPT=true over
plain HTTP, for a mesh that begins TLS itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from bookinfo import web

FACTS = {
    "author": "William Shakespeare",
    "year": 1595,
    "type": "paperback",
    "pages": 200,
    "publisher": "PublisherA",
    "language": "English",
    "ISBN-10": "1234567890",
    "ISBN-13": "123-1234567890",
}
OUTSIDE = "www.googleapis.com/books/v1/volumes?q=isbn:0486424618"
SECONDS = 5.0


class Details:
    """Answers `/details/ID` and `/health`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._outside = ""
        if environment.get("ENABLE_EXTERNAL_BOOK_SERVICE") == "true":
            scheme = "http" if environment.get("DO_NOT_ENCRYPT") == "true" else "https"
            self._outside = f"{scheme}://{OUTSIDE}"

    def __call__(self, request: web.Request) -> web.Reply:
        """One request."""
        if request.path == "/health":
            return web.document({"status": "Details is healthy"})
        if request.path != "/details" and not request.path.startswith("/details/"):
            return web.not_found(request)
        number = request.path.rpartition("/")[2]
        if not number.isdecimal():
            return web.document({"error": "please provide numeric product id"}, 400)
        facts = self._asked(request) if self._outside else FACTS
        if facts is None:
            return web.document({"error": "the book service outside gives no answer that can be read"}, 400)
        return web.document({"id": int(number), **facts})

    def _asked(self, request: web.Request) -> dict[str, Any] | None:
        answer = web.call(self._outside, request.passed_on(), seconds=SECONDS)
        try:
            volume: Any = answer and answer[1]
            book = volume["items"][0]["volumeInfo"]
            numbers = {entry["type"]: entry["identifier"] for entry in book["industryIdentifiers"]}
            return {
                "author": book["authors"][0],
                "year": book["publishedDate"],
                "type": "paperback" if book["printType"] == "BOOK" else "unknown",
                "pages": book["pageCount"],
                "publisher": book["publisher"],
                "language": "English" if book["language"] == "en" else "unknown",
                "ISBN-10": numbers["ISBN_10"],
                "ISBN-13": numbers["ISBN_13"],
            }
        except (KeyError, IndexError, TypeError):
            return None


if __name__ == "__main__":
    web.serve(Details(os.environ), port=int(sys.argv[1]) if sys.argv[1:] else 9080, name="details")
