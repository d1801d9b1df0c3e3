"""What the launcher hands to init."""

from __future__ import annotations

import msgspec

from plait.machine.settings import MachineSettings


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One of plait's own processes: always running. `fds` are inherited descriptors, under the same numbers."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    log: str | None = None
    fds: tuple[int, ...] = ()
    #: Those with a higher rank are stopped first; pods end after the ranks above 0.
    rank: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the launcher wants of init."""

    settings: MachineSettings
    services: tuple[Service, ...]
    #: Folders that every uid must reach: the state folder, Python, the virtual environment, plait itself.
    readable: tuple[str, ...]
