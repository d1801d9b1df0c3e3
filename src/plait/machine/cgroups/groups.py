"""The groups of containers: made before a container starts, gone when it has ended.

A group lives for one start of one container, so its counters speak of that start alone.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from plait.machine.cgroups.ground import Controller, Ground
from plait.machine.cgroups.limits import Limits, kills, writes

_JOIN = "cgroup.procs"
_KILLS = {1: "memory.oom_control", 2: "memory.events"}


def make(ground: Ground, name: str, limits: Limits) -> tuple[str, ...]:
    """Make what the limits need and the ground allows, and a group without limits where it is `crowded`; the files into
    which a process writes 0 to be in it.

    Raises OSError; nothing is left then.
    """
    joins: dict[str, None] = {}
    try:
        for controller in dict.fromkeys((*limits.controllers, *_fair(ground))):
            folder, place = ground.group(controller, name), ground.places.get(controller)
            if folder is None or place is None:
                continue
            if (join := str(folder / _JOIN)) not in joins:
                with suppress(FileNotFoundError):
                    folder.rmdir()
                folder.mkdir()
                joins[join] = None
            for file, text, needed in writes(limits, controller, place):
                if needed or (folder / file).exists():
                    (folder / file).write_text(text)
    except OSError:
        remove(ground, name)
        raise
    return tuple(joins)


def joins(ground: Ground, name: str) -> tuple[str, ...]:
    """The files of `make`, of groups that are there already."""
    return tuple(str(folder / _JOIN) for folder in _folders(ground, name) if folder.is_dir())


def remove(ground: Ground, name: str) -> bool:
    """Remove a container's groups; whether they are gone, which they cannot be while a process is in them."""
    left = [folder for folder in _folders(ground, name) if not _removed(folder)]
    return not left


def memory_kills(ground: Ground, name: str) -> int:
    """How many processes of a container were killed for its memory limit."""
    folder, place = ground.group("memory", name), ground.places.get("memory")
    if folder is None or place is None:
        return 0
    try:
        return kills((folder / _KILLS[place.version]).read_text())
    except OSError:
        return 0


def remove_all(ground: Ground, start: str = "") -> bool:
    """Remove all groups of the mesh whose names begin so, but not plait's own; whether they are gone."""
    return not sweep(ground, start)


def sweep(ground: Ground, start: str = "") -> list[Path]:
    """Like `remove_all`; the groups that are left because processes are in them."""
    begin = f"{ground.prefix}.{start}"
    found = [place / name for place in ground.folders for name in _entries(place) if name.startswith(begin)]
    return [folder for folder in found if str(folder) != ground.home and not _removed(folder)]


def _fair(ground: Ground) -> tuple[Controller, ...]:
    return ("cpu",) if ground.crowded else ()


def _folders(ground: Ground, name: str) -> tuple[Path, ...]:
    found = (ground.group(controller, name) for controller in ground.places)
    return tuple(dict.fromkeys(folder for folder in found if folder is not None))


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  (names are all there is to know)
    except FileNotFoundError:
        return []


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
            raise
        return False
    return True
