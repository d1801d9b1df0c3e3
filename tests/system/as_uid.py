"""`unshare --mount python as_uid.py UID COMMAND…`: becomes a user with nothing, who yet finds what the command needs.

Run by root. Folders of root's that lie below closed ones are made passable in this mount namespace only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import plait
from plait.app.plan import envoy_binary
from plait.machine.init.exposure import expose


def main() -> None:
    """See the module."""
    uid, command = sys.argv[1], sys.argv[2:]
    code = Path(plait.__file__).parents[2]
    expose([Path(sys.prefix), Path(sys.base_prefix), code / "src", code / "demo", envoy_binary().parent])
    who = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    os.execvp("setpriv", ["setpriv", *who, *command])


if __name__ == "__main__":
    main()
