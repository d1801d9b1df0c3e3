"""Which control group this process is in, and where it lies in the file system.

`/proc/self/cgroup` gives a path per hierarchy, `/proc/self/mountinfo` where a part of that hierarchy is mounted
(cgroups(7), proc_pid_mountinfo(5)). Both kinds occur together: a machine may have some controllers in version 1 and
the others in version 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from plait.machine.cgroups.ground import CONTROLLERS, Controller, Ground, Place, Refusal

_OCTAL: Final = re.compile(r"\\([0-7]{3})")
#: For a machine whose groups cannot be reached at all.
_NO_MOUNT: Final = "mount control groups, as root: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
_READ_ONLY: Final = (
    "mount them to be written, as root: mount -o remount,rw {mount} (Docker: --privileged, or --cgroupns=host "
    "-v /sys/fs/cgroup:/sys/fs/cgroup:rw)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    version: Literal[1, 2]
    controllers: frozenset[str]
    root: str
    point: str
    writable: bool


def find(prefix: str, *, proc: Path = Path("/proc/self")) -> Ground:
    """The group this process is in, by controller, where it can be reached and written.

    Nothing is tried here: whether groups may be made is another question.
    """
    try:
        mounts = _mounts((proc / "mountinfo").read_text())
        own = _own((proc / "cgroup").read_text())
    except OSError as error:
        none = Refusal(problem=f"{error.filename}: {error.strerror}", fix="use a kernel with control groups")
        return Ground(prefix=prefix, refused=dict.fromkeys(CONTROLLERS, none))
    places: dict[Controller, Place] = {}
    refused: dict[Controller, Refusal] = {}
    for controller in CONTROLLERS:
        found = _place(controller, mounts, own)
        if isinstance(found, Refusal):
            refused[controller] = found
        else:
            places[controller] = found
    return Ground(prefix=prefix, places=places, refused=refused)


def _place(controller: Controller, mounts: list[_Mount], own: dict[str, str]) -> Place | Refusal:
    # A controller that is bound to a hierarchy of version 1 is not to be had in version 2.
    mount = next((m for m in mounts if m.version == 1 and controller in m.controllers), None)
    path = own.get(controller)
    if path is None:
        mount = next((m for m in mounts if m.version == 2), None)
        path = own.get("")
    if mount is None or path is None:
        return Refusal(problem=f"no mounted control groups have {controller}", fix=_NO_MOUNT)
    try:
        below = PurePosixPath(path).relative_to(mount.root)
    except ValueError:
        below = PurePosixPath("..")
    if ".." in below.parts:
        # A control group namespace, seen from outside of it.
        return Refusal(problem=f"plait's own group {path} is not below {mount.point}", fix=_NO_MOUNT)
    if not mount.writable:
        return Refusal(problem=f"{mount.point} is mounted read-only", fix=_READ_ONLY.format(mount=mount.point))
    return Place(folder=str(Path(mount.point) / below), version=mount.version)


def _own(text: str) -> dict[str, str]:
    """Path by controller, that of version 2 under an empty name."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _mounts(text: str) -> list[_Mount]:
    """Mounts of control groups, the newest first: what is mounted over another hides it."""
    found = []
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        words, kind = fields.split(), rest.split()
        if len(kind) < 3 or kind[0] not in {"cgroup", "cgroup2"}:
            continue
        options, root, point = words[5].split(","), _plain(words[3]), _plain(words[4])
        found.append(
            _Mount(
                version=2 if kind[0] == "cgroup2" else 1,
                controllers=frozenset(kind[2].split(",")),
                root=root,
                point=point,
                writable="ro" not in options and "ro" not in kind[2].split(","),
            )
        )
    return found[::-1]


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
