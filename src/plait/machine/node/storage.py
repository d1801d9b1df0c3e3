"""The node's folders."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plait.machine.node.host import Folders


def prepare_folders(folders: Folders) -> None:
    """Make them. Pods get a tmpfs of their own: what they write must not fill the one that holds init's socket.

    Raises OSError and CalledProcessError.
    """
    folders.pods.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(folders.pods):
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "mode=0711", "plait-pods", str(folders.pods)],
            check=True,
            capture_output=True,
        )
    folders.links.mkdir(exist_ok=True)
    for folder in (folders.logs, folders.volumes):
        Path(folder).mkdir(parents=True, exist_ok=True)
