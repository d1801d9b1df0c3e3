"""What is mounted in a container's root, in order, as the text that `mount` reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from plait.machine.node.roots import Mount, Root, in_user_namespace

_FLAGS = (
    (os.ST_NOSUID, "nosuid"),
    (os.ST_NODEV, "nodev"),
    (os.ST_NOEXEC, "noexec"),
    (os.ST_NOATIME, "noatime"),
    (os.ST_NODIRATIME, "nodiratime"),
    (os.ST_RELATIME, "relatime"),
)


def overlay_mounts(root: Root, *, read_only: bool) -> list[Mount]:
    """The overlays of a root, outermost first."""
    mounts = []
    for number, (section, stack) in enumerate(root.sections):
        options = [
            "lowerdir=" + ":".join(str(layer) for layer in stack[1:]),
            f"upperdir={stack[0]}",
            f"workdir={root.folder / f'work{number}'}",
        ]
        options += ["userxattr"] if in_user_namespace() else []
        options += ["ro"] if read_only else []
        mounts.append(Mount(source="overlay", target=section, kind="overlay", options=",".join(options)))
    return mounts


def place_mounts(root: Root, mounts: Iterable[Mount]) -> list[Mount]:
    """Mounts with resolved targets, in order; a place is made for each, in the volume it falls into if any."""
    placed: list[Mount] = []
    for mount in mounts:
        target = root.resolve(mount.target)
        folder = mount.kind != "none" or Path(mount.source.replace("{root}", "")).is_dir()
        outer = next((m for m in reversed(placed) if (target + "/").startswith(m.target.rstrip("/") + "/")), None)
        if outer is None:
            root.make(target, folder=folder)
        elif outer.kind == "none" and outer.target != target and "ro" not in outer.options.split(","):
            place = Path(outer.source) / os.path.relpath(target, outer.target)
            (place if folder else place.parent).mkdir(parents=True, exist_ok=True)
            if not folder:
                place.touch()
        placed.append(Mount(source=mount.source, target=target, kind=mount.kind, options=mount.options))
    return placed


def fstab(root: Root, mounts: Iterable[Mount]) -> str:
    """Mounts as the text that `mount --fstab FILE -a` reads."""
    lines = []
    for mount in mounts:
        source = mount.source.replace("{root}", str(root.mountpoint))
        target = str(root.mountpoint) + mount.target.rstrip("/")
        options = ",".join([mount.options, *_locked(mount)])
        lines.append(f"{_escape(source)} {_escape(target)} {mount.kind} {_escape(options)} 0 0\n")
    return "".join(lines)


def _locked(mount: Mount) -> list[str]:
    """Options of a source's file system that must be repeated when a bind mount of it is made read-only.

    In a user namespace they cannot be taken away, and a mount that does not name them asks for that (EPERM).
    """
    if mount.kind != "none" or "ro" not in mount.options.split(",") or mount.source.startswith("{root}"):
        return []
    try:
        flags = os.statvfs(mount.source).f_flag
    except OSError:
        return []
    return [name for flag, name in _FLAGS if flags & flag and name not in mount.options.split(",")]


def _escape(text: str) -> str:
    return "".join(f"\\{ord(char):03o}" if char in " \t\n\\" else char for char in text)
