"""Content hashes: the version of everything plait makes."""

from __future__ import annotations

from hashlib import blake2b


def content_hash(data: bytes) -> str:
    """Sixteen hexadecimal digits that depend on nothing but `data`: equal in every process and after every restart."""
    return blake2b(data, digest_size=8).hexdigest()


def digest(data: bytes) -> bytes:
    """Sixteen bytes with the same property, of which hashes of joins are made."""
    return blake2b(data, digest_size=16).digest()
