"""JSON Web Key Sets (RFC 7517) as they are written."""

from __future__ import annotations

from typing import Any

import msgspec


class KeysError(ValueError):
    """It is no set of keys; the text says why, and never what is in it."""


def keys_in(text: str) -> list[Any]:
    """What stands in the list of a set; a key by itself is a set as well. Raises KeysError."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise KeysError("is not JSON") from None
    keys = found.get("keys", [found] if found.get("kty") else None) if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise KeysError('has no list "keys"')
    return keys


def check_set(text: str) -> None:
    """Raises KeysError for what is no set of keys (Istio's rule: every key has a type)."""
    for key in keys_in(text):
        if not isinstance(key, dict) or not key.get("kty"):
            raise KeysError("has a key without a type (kty)")
