"""The web session's cookie: `md.sid=s:ID.SIGNATURE`, as express-session signs it. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote, unquote

NAME = "md.sid"
SECRET = b"sooper secret"
"""The original's, known to the world: the cookie identifies a cart, it protects nothing."""

_ID_BYTES = 24


def new_id(random: bytes) -> str:
    """A session id of 32 characters out of 24 random bytes."""
    if len(random) != _ID_BYTES:
        raise ValueError(f"a session id is made of {_ID_BYTES} bytes, not {len(random)}")
    return base64.urlsafe_b64encode(random).decode()


def signature(session_id: str) -> str:
    """HMAC-SHA256 of the id, base64 without padding."""
    digest = hmac.digest(SECRET, session_id.encode(), hashlib.sha256)
    return base64.b64encode(digest).decode().rstrip("=")


def value(session_id: str) -> str:
    """The cookie's value, escaped as JavaScript's encodeURIComponent does."""
    return quote(f"s:{session_id}.{signature(session_id)}", safe="!~*'()")


def read(cookie: str) -> str | None:
    """The session id in a cookie's value; None when the value is malformed or not signed by this secret."""
    text = unquote(cookie)
    session_id, dot, signed = text.removeprefix("s:").rpartition(".")
    if not text.startswith("s:") or not dot or not session_id:
        return None
    return session_id if hmac.compare_digest(signature(session_id).encode(), signed.encode()) else None


def header(session_id: str) -> str:
    """The Set-Cookie line that starts a session; it ends with the browser."""
    return f"{NAME}={value(session_id)}; Path=/; HttpOnly"
