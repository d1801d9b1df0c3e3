"""Version 2: how the children of plait's own group come to have controllers.

A group that holds processes may not share out controllers to its children (cgroups(7), "no internal processes"; the
root of all groups may). Plait then moves itself, and nobody else, into a child of its own first.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from plait.machine.cgroups import groups
from plait.machine.cgroups.advice import alone, delegation, refusal
from plait.machine.cgroups.ground import WORD, Controller, Ground, Refusal

#: So many of the processes in the way are named.
_NAMED: Final = 3
#: Of plait's own group, when CPU is scarce: a container's is 100, and plait is a handful of processes.
_WEIGHT: Final = "500"


def share(ground: Ground) -> Ground:
    """Have the children of plait's own group of version 2 get the controllers that are bound to it."""
    unified = [name for name, place in ground.places.items() if place.version == 2]
    if not unified:
        return ground
    own = Path(ground.places[unified[0]].folder)
    try:
        there = (own / "cgroup.controllers").read_text().split()
        if lacking := [name for name in unified if name not in there]:
            what = f"{own} has no controller {' and '.join(lacking)} to share out"
            ground = ground.without(lacking, Refusal(problem=what, fix=delegation(str(own))))
        wanted = [name for name in unified if name in there]
        shared = (own / "cgroup.subtree_control").read_text().split()
        missing: tuple[Controller, ...] = tuple(name for name in wanted if name not in shared)
        if not missing:
            return ground
        # The root of all groups has no type.
        if (own / "cgroup.type").exists():
            return _move(ground, own, missing)
        _share_out(own, missing)
    except OSError as error:
        return ground.without(unified, refusal(str(own), 2, error))
    return replace(ground, shared=missing)


def _share_out(own: Path, controllers: Sequence[Controller]) -> None:
    (own / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def _move(ground: Ground, own: Path, missing: tuple[Controller, ...]) -> Ground:
    """Leave the own group to be able to share out; if others are in it too, come back. Raises OSError.

    Whether it is empty is looked at: the kernel lets a group with processes share out cpu, and then lets none of its
    children have processes.
    """
    home = own / f"{ground.prefix}.plait"
    moved = replace(ground, home=str(home), shared=missing)
    home.mkdir(exist_ok=True)
    try:
        (home / "cgroup.procs").write_text("0")
        if others := _who(own):
            leave(moved)
            what = f"{own} holds other processes ({others}), so it may not share out controllers"
            return ground.without(missing, Refusal(problem=what, fix=alone(str(own))))
        _share_out(own, missing)
        if "cpu" in missing:
            (home / "cpu.weight").write_text(_WEIGHT)
    except OSError:
        leave(moved)
        raise
    return moved


def _who(group: Path) -> str:
    """The processes of a group, in words, empty where there is none; those of another pid namespace are all 0."""
    pids = (group / "cgroup.procs").read_text().split()
    named = []
    for pid in pids[:_NAMED]:
        try:
            named.append(f"{Path('/proc', pid, 'comm').read_text().strip()} {pid}")
        except OSError:
            named.append(pid)
    return ", ".join(named) + (f" and {len(pids) - _NAMED} more" if len(pids) > _NAMED else "")


def leave(ground: Ground) -> bool:
    """Go back to where plait was started, and leave things as they were, once all groups but its own are gone; whether
    nothing is left.
    """
    try:
        return not groups.sweep(ground) and _left(ground)
    except OSError:
        return False


def _left(ground: Ground) -> bool:
    unified = [place for place in ground.places.values() if place.version == 2]
    if not ground.shared or not unified:
        return True
    own, home = Path(unified[0].folder), Path(ground.home)
    others = [group for group in own.glob(f"{WORD}*") if not group.name.startswith(f"{ground.prefix}.")]
    if not others:
        # Only a group that shares out nothing takes processes.
        _write(own / "cgroup.subtree_control", " ".join(f"-{name}" for name in ground.shared))
    if not ground.home or not home.is_dir():
        return True
    for pid in (home / "cgroup.procs").read_text().split():
        _write(own / "cgroup.procs", pid)
    with suppress(OSError):
        home.rmdir()
    return not home.is_dir()


def _write(path: Path, text: str) -> None:
    with suppress(OSError):
        path.write_text(text)
