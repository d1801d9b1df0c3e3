"""`python -m plait.app.user_namespace READY GO COMMAND…`: runs a command in a user namespace of its own.

It makes the namespace, says so on the descriptor READY, waits on GO until its parent has written the maps (nobody
inside may), and becomes the command, which then is root there. A parent that died meanwhile closes GO: nothing is run.
"""

from __future__ import annotations

import ctypes
import os
import sys

_CLONE_NEWUSER = 0x10000000


def main() -> None:
    """See the module."""
    ready, go, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)  # os.unshare is there from Python 3.12 on
    if libc.unshare(_CLONE_NEWUSER) != 0:
        sys.exit(f"a user namespace is not allowed: {os.strerror(ctypes.get_errno())}")
    os.write(ready, b"1")
    os.close(ready)
    if not os.read(go, 1):
        sys.exit(1)
    os.close(go)
    os.execvp(command[0], command)  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main()
