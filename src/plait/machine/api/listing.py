"""List: everything the selectors take, in pages if asked; a page token remembers version and last key."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from plait.machine.api.errors import StatusError, bad_request, too_large_version
from plait.machine.api.store import Key

if TYPE_CHECKING:
    from plait.machine.api.query import ReadOptions
    from plait.machine.api.registry import Collection
    from plait.machine.api.store import Entry, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Objects and the list's metadata."""

    entries: list[Entry]
    metadata: dict[str, Any]


class _Token(msgspec.Struct, frozen=True):
    version: int
    namespace: str
    name: str


def list_page(store: Store, collection: Collection, namespace: str, options: ReadOptions) -> Page:
    """One page. Raises 400 for a broken token, 410 or 504 for versions that cannot be had.

    Later pages show the present state but carry the version of the first page, so that whoever watches from there gets
    every change made between pages.
    """
    token = _read(options.continuation) if options.continuation else None
    asked, current = options.version, store.version
    if token is None and asked and asked > current:
        raise too_large_version(asked, current)
    if options.match == "Exact" and asked and asked != current:
        raise StatusError(
            410, "Expired", f"The provided resource version {asked} is not available; the current one is {current}"
        )
    version = token.version if token else current
    chosen: list[Entry] = []
    more = 0
    after = Key(token.namespace, token.name) if token else None
    for entry in store.entries(collection, namespace):
        if (after is not None and entry.key <= after) or not options.matches(entry.obj):
            continue
        if options.limit and len(chosen) >= options.limit:
            more += 1
        else:
            chosen.append(entry)
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if more:
        last = chosen[-1].key
        metadata["continue"] = _write(_Token(version, last.namespace, last.name))
        if not options.selective:
            metadata["remainingItemCount"] = more
    return Page(entries=chosen, metadata=metadata)


def _write(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=").decode()


def _read(text: str) -> _Token:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=_Token)
    except (ValueError, msgspec.DecodeError):
        raise bad_request("continue key is not valid: start the list again without it") from None
