"""Makes paths readable for every uid inside the node namespace, wherever the user keeps them.

plait may be installed below a home directory of mode 700, and its API server, Envoy and the pods run as other
users. In init's private mount namespace an ancestor that others may not pass is covered by an empty tmpfs, and only
the wanted paths are bound back below it, at their own places. What else is in that home directory is then hidden from
everything plait runs.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_MS_BIND = 4096
_MS_REC = 16384
_LIBC = "libc.so.6"


def closed_ancestors(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """The outermost ancestors that others may not pass, each with the wanted paths below it."""
    closed: dict[Path, list[Path]] = {}
    for path in sorted(set(paths)):
        for ancestor in reversed(path.parents):
            if not ancestor.stat().st_mode & 0o001:
                closed.setdefault(ancestor, []).append(path)
                break
    return closed


def expose(paths: Iterable[Path]) -> None:
    """Make `paths` reachable; needs a mount namespace of its own. Raises OSError."""
    for ancestor, wanted in closed_ancestors(paths).items():
        # Opened before the tmpfs hides them; a bind from /proc/self/fd follows the descriptor, not the name.
        opened = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in _outermost(wanted)]
        mount("tmpfs", ancestor, kind="tmpfs", data="mode=0755,size=1m")
        for path, descriptor in opened:
            path.mkdir(parents=True, exist_ok=True)
            mount(f"/proc/self/fd/{descriptor}", path, flags=_MS_BIND | _MS_REC)
            os.close(descriptor)


def mount(source: str, target: Path, *, kind: str = "", flags: int = 0, data: str = "") -> None:
    """The system call, which takes /proc/self/fd names as they are; the command would resolve them first."""
    libc = ctypes.CDLL(_LIBC, use_errno=True)
    if libc.mount(source.encode(), os.fsencode(target), kind.encode(), flags, data.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source}: {os.strerror(number)}", str(target))


def _outermost(paths: list[Path]) -> list[Path]:
    return [path for path in paths if not any(other in path.parents for other in paths)]
