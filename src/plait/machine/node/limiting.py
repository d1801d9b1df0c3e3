"""Containers with limits run in control groups of their own; see `plait.machine.cgroups`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from plait.machine.cgroups import groups
from plait.machine.cgroups.limits import limits_of

if TYPE_CHECKING:
    from plait.machine.cgroups.ground import Ground

log = logging.getLogger(__name__)

_RETRY_FIRST = 0.002
_RETRY_MOST = 0.1
_PATIENCE = 5.0


def group_name(uid: str, container: str, attempt: int) -> str:
    """The name of the groups of one start of a container, after the mesh's word."""
    return f"{uid}.{container}.{attempt}"


def limit(ground: Ground, name: str, container: Mapping[str, Any]) -> tuple[str, ...]:
    """Make the groups that a container's limits need; the files by which a process joins them.

    Empty where it needs none, and where this machine does not allow any, of which the API has warned. Raises OSError
    and ValueError.
    """
    return groups.make(ground, name, limits_of(container, cpus=os.cpu_count() or 1))


def out_of_memory(ground: Ground, name: str) -> bool:
    """Whether a process of the container was killed because the container had reached its memory limit."""
    return groups.memory_kills(ground, name) > 0


async def unlimit(ground: Ground, name: str) -> None:
    """Remove the groups of a container that has ended; its last processes may still be about to go."""
    await _until_gone(name, lambda: groups.remove(ground, name))


async def unlimit_pod(ground: Ground, uid: str) -> None:
    """Remove all groups of a pod that has ended."""
    await _until_gone(uid, lambda: groups.remove_all(ground, f"{uid}."))


async def _until_gone(what: str, remove: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    end, wait = loop.time() + _PATIENCE, _RETRY_FIRST
    try:
        while not remove():
            if loop.time() > end:
                log.warning("control groups of %s: processes are still in them; they go with the mesh", what)
                return
            await asyncio.sleep(wait)
            wait = min(wait * 2, _RETRY_MOST)
    except OSError as error:
        log.warning("control groups of %s: %s", what, error)
