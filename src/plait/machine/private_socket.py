"""A unix socket that only its owner may connect to, from the moment it exists."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_BACKLOG = 16


def listen(path: Path) -> socket.socket:
    """A non-blocking listening socket at `path`, mode 0600, in place of what may be left there. Raises OSError."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
