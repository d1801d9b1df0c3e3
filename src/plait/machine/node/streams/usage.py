"""What containers use: CPU time so far and memory, read from /proc of the node namespace when somebody asks."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PSS: Final = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class ContainerUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One running container. `started_at` names the process: CPU time counts from there. Seconds and bytes."""

    namespace: str
    pod: str
    container: str
    started_at: float
    cpu: float
    memory: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """All running containers, and the whole node with plait's own processes. `at` is seconds since the epoch."""

    at: float
    cpu: float
    memory: int
    containers: tuple[ContainerUsage, ...] = ()


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """The first process of a container."""

    namespace: str
    pod: str
    container: str
    started_at: float
    pid: int


class _Process(msgspec.Struct, frozen=True):
    parent: int
    cpu: float
    reaped: float


def measure(roots: Sequence[Root], *, proc: Path = _PROC) -> Usage:
    """Add up each container's processes: CPU time with that of ended children, memory as proportional set size."""
    processes = dict(_processes(proc))
    children: Mapping[int, list[int]] = defaultdict(list)
    for pid, process in processes.items():
        children[process.parent].append(pid)
    found = []
    for root in roots:
        if root.pid not in processes:
            continue
        below = _below(root.pid, children)
        found.append(
            ContainerUsage(
                namespace=root.namespace,
                pod=root.pod,
                container=root.container,
                started_at=root.started_at,
                cpu=sum(processes[pid].cpu + processes[pid].reaped for pid in below),
                memory=sum(_pss(proc, pid) for pid in below),
            )
        )
    counted = sum(each.memory for each in found)
    others = set(processes) - {pid for root in roots for pid in _below(root.pid, children)}
    return Usage(
        at=time.time(),
        cpu=sum(process.cpu + process.reaped for process in processes.values()),
        memory=counted + sum(_pss(proc, pid) for pid in others),
        containers=tuple(found),
    )


def _processes(proc: Path) -> Iterable[tuple[int, _Process]]:
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        times = [int(field) / _TICKS for field in fields[11:15]]
        yield int(entry.name), _Process(int(fields[1]), times[0] + times[1], times[2] + times[3])


def _below(pid: int, children: Mapping[int, list[int]]) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        found.append(one := waiting.pop())
        waiting += children.get(one, ())
    return found


def _pss(proc: Path, pid: int) -> int:
    """Bytes; shared pages count in shares, so that sums are true. 0 for a process that has ended."""
    try:
        line = _PSS.search((proc / str(pid) / "smaps_rollup").read_bytes())
    except OSError:
        return 0
    return int(line[1]) * 1024 if line else 0
