"""`unshare --mount python as_uid.py [--named] UID COMMAND…`: becomes a user, who yet finds what the command needs.

Run by root. The user has nothing, or, with `--named`, a name and 65536 subordinate ids, as useradd gives them. Folders
of root's that lie below closed ones are made passable, and the user is named, in this mount namespace only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import plait
from plait.app.plan import envoy_binary
from plait.machine.init.exposure import expose

NAME = "plait-test"
FIRST, COUNT = 600_000, 65_536


def name(uid: str) -> None:
    """Lay tables with the user over the machine's."""
    lines = {
        "passwd": f"{NAME}:x:{uid}:{uid}::/:/bin/sh",
        "group": f"{NAME}:x:{uid}:",
        "subuid": f"{NAME}:{FIRST}:{COUNT}",
        "subgid": f"{NAME}:{FIRST}:{COUNT}",
    }
    with tempfile.TemporaryDirectory() as folder:
        for table, line in lines.items():
            real, mine = Path("/etc", table), Path(folder, table)
            real.touch()
            mine.write_text(f"{real.read_text()}{line}\n")
            mine.chmod(0o644)
            # The file stays as long as it is mounted.
            subprocess.run(["mount", "--bind", str(mine), str(real)], check=True)


def main() -> None:
    """See the module."""
    arguments = sys.argv[1:]
    named = arguments[0] == "--named"
    uid, *command = arguments[named:]
    if named:
        name(uid)
    code = Path(plait.__file__).parents[2]
    expose([Path(sys.prefix), Path(sys.base_prefix), code / "src", code / "demo", envoy_binary().parent])
    who = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all"]
    # newuidmap becomes root for the moment, so of a user who may use it nothing can be kept back.
    who += [] if named else ["--bounding-set=-all"]
    os.execvp("setpriv", ["setpriv", *who, *command])


if __name__ == "__main__":
    main()
