"""Taking ground before a mesh starts, and giving it back: whether groups may be made is found by making some."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import replace
from typing import Final

from plait.machine.cgroups import groups
from plait.machine.cgroups.advice import refusal
from plait.machine.cgroups.ground import Controller, Ground, Refusal
from plait.machine.cgroups.limits import Limits
from plait.machine.cgroups.sharing import leave, share

_TRIALS: Final[dict[Controller, Limits]] = {
    "memory": Limits(memory=64 * 1024 * 1024),
    "cpu": Limits(quota=50_000),
}


def claim(ground: Ground) -> Ground:
    """The ground with what really may be used of it; the process may be in another group afterwards (see `home`)."""
    ground = shared = share(ground)
    for controller in ground.places:
        problem = _attempt(ground, controller)
        if problem is not None:
            ground = ground.without([controller], problem)
    if not any(place.version == 2 for place in ground.places.values()):
        leave(shared)
        return replace(ground, home="", shared=())
    return ground


def _attempt(ground: Ground, controller: Controller) -> Refusal | None:
    """Make a group with a limit and have a process join it; why that does not work."""
    limits, name, place = _TRIALS[controller], f"trial-{os.getpid()}", ground.places[controller]
    try:
        (join,) = groups.make(ground, name, limits)
        _join(join)
    except OSError as error:
        return refusal(place.folder, place.version, error)
    finally:
        with suppress(OSError):
            groups.remove(ground, name)
    return None


def _join(group: str) -> None:
    """Have a process of its own go into a group, and end there; raises OSError."""
    pid = os.fork()
    if pid == 0:
        code = errno.EIO
        try:
            with open(group, "w") as file:  # noqa: PTH123  (nothing but this happens in the copy)
                file.write("0")
            code = 0
        except OSError as error:
            code = error.errno or code
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, f"no process may join it: {os.strerror(code)}", group)
