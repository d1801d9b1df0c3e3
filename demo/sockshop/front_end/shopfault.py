"""Failures of an API call, in the words and the shape of the original's error handler. Pure."""

from __future__ import annotations

import errno
import socket


class ShopError(Exception):
    """Answered with `status` and `{"message": …, "error": …}`. `details` is what Node's error shows of itself."""

    def __init__(self, message: str, *, status: int = 500, details: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.details = details or {}

    def document(self) -> dict[str, object]:
        """The body of the answer."""
        return {"message": self.message, "error": self.details}


def not_json(backend: str, status: int, body: bytes) -> ShopError:
    """A backend, or the proxy before it, answered plain text where JSON was due. The original dies of this."""
    shown = body[:80].decode("utf-8", "replace")
    return ShopError(f"{backend} answered {status} with something that is not JSON: {shown!r}")


def unreachable(host: str, port: int, error: OSError | None) -> ShopError:
    """No connection to a backend, as Node words it."""
    number = error.errno if error is not None else None
    if isinstance(error, socket.gaierror) or number is None:
        code = "EAI_AGAIN" if number == socket.EAI_AGAIN else "ENOTFOUND"
        details: dict[str, object] = {
            "code": code,
            "errno": code,
            "syscall": "getaddrinfo",
            "hostname": host,
            "host": host,
            "port": port,
        }
        return ShopError(f"getaddrinfo {code} {host} {host}:{port}", details=details)
    code = errno.errorcode.get(number, "ECONNREFUSED")
    details = {"code": code, "errno": code, "syscall": "connect", "address": host, "port": port}
    return ShopError(f"connect {code} {host}:{port}", details=details)


def cut_off() -> ShopError:
    """The connection ended before the answer was whole."""
    return ShopError("socket hang up", details={"code": "ECONNRESET"})
