"""Deletes folders that nobody needs any more. One that cannot be deleted stops nothing, but is told."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

log = logging.getLogger(__name__)


def remove(folder: Path) -> None:
    """Delete a folder as far as that goes; one that is not there is no error."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("%s is left behind: %s", folder, error)
