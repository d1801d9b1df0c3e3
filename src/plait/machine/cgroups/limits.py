"""From a container's `resources` to what is written into its groups' files. Pure.

The arithmetic is the kubelet's: a quota of CPU time in each 100 ms, at least 1 ms of it, and no swap beyond the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from plait.machine.cgroups.ground import Controller, Place
from plait.machine.quantity import parse_quantity

#: Microseconds.
_PERIOD: Final = 100_000
_LEAST_QUOTA: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`memory` in bytes, `quota` in microseconds of CPU time per 100 ms; None: as much as there is."""

    memory: int | None = None
    quota: int | None = None

    @property
    def controllers(self) -> tuple[Controller, ...]:
        """Those that are needed."""
        memory: tuple[Controller, ...] = () if self.memory is None else ("memory",)
        return memory if self.quota is None else (*memory, "cpu")


def limits_of(container: Mapping[str, Any], *, cpus: int) -> Limits:
    """What a container may use at most on a machine with so many `cpus`; raises ValueError for what is no quantity.

    Zero means no limit, as on Kubernetes. As much CPU as the machine has is none either: a group would only cost.
    """
    given = (container.get("resources") or {}).get("limits") or {}
    memory, cpu = (parse_quantity(given.get(name) or 0) for name in ("memory", "cpu"))
    return Limits(
        memory=ceil(memory) if memory > 0 else None,
        quota=max(int(cpu * _PERIOD), _LEAST_QUOTA) if 0 < cpu < cpus else None,
    )


def writes(limits: Limits, controller: Controller, place: Place) -> tuple[tuple[str, str, bool], ...]:
    """(file, text, needed) in the order in which they are to be written.

    What is not needed is not there on kernels that do not count swap.
    """
    if controller == "memory":
        bytes_ = str(limits.memory)
        if place.version == 1:
            return ("memory.limit_in_bytes", bytes_, True), ("memory.memsw.limit_in_bytes", bytes_, False)
        # As the kubelet has it since 1.28: who goes over the limit ends whole, not one process of it.
        return (
            ("memory.max", bytes_, True),
            ("memory.swap.max", "0", False),
            ("memory.oom.group", "1", False),
        )
    if limits.quota is None:
        return ()
    if place.version == 1:
        return ("cpu.cfs_period_us", str(_PERIOD), True), ("cpu.cfs_quota_us", str(limits.quota), True)
    return (("cpu.max", f"{limits.quota} {_PERIOD}", True),)


def kills(text: str) -> int:
    """How often a process was killed for memory: of `memory.oom_control` (version 1) or `memory.events` (2)."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)
