"""What the documents look like to callers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELDS = {
    "customers": ("firstName", "lastName", "username"),
    "addresses": ("street", "number", "country", "city", "postcode"),
    "cards": ("longNum", "expires", "ccv"),
}
_NAMES = {"customers": "customer", "addresses": "address", "cards": "card"}


def fields_of(collection: str, body: Mapping[str, str]) -> dict[str, Any]:
    """What of a body is kept in a collection; what is absent is empty."""
    return {name: body.get(name, "") for name in _FIELDS[collection]}


def shown(collection: str, document: Mapping[str, Any], host: str) -> dict[str, Any]:
    """A document with its links, whose host is `host` whatever the request's was; never a password or salt."""
    number = str(document["_id"])
    here = {"href": f"http://{host}/{collection}/{number}"}
    links = {_NAMES[collection]: here, "self": here}
    if collection == "customers":
        below = {name: {"href": f"{here['href']}/{name}"} for name in ("addresses", "cards")}
        links = {**below, **links}
    return {**{name: document.get(name) or "" for name in _FIELDS[collection]}, "id": number, "_links": links}


def embedded(collection: str, documents: list[dict[str, Any]], host: str) -> dict[str, Any]:
    """A collection, or a part of it."""
    return {"_embedded": {_NAMES[collection]: [shown(collection, one, host) for one in documents]}}
