"""Tells the agent which workloads there are, and all of it again whenever there is a new agent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from plait.agent.protocol import Gone, Istiod, Only, Told, Trouble, Workload
from plait.kube.backoff import Backoff

log = logging.getLogger(__name__)

_BACKOFF: Final = Backoff(first=0.05, most=1.0)


class AgentClient:
    """See the module. `run` is to be its task; what is said before it runs is said then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._workloads: dict[str, Workload] = {}
        self._expected: set[str] | None = None
        self._istiod: Istiod | None = None
        self._writer: asyncio.StreamWriter | None = None

    def begin(self, workload: Workload) -> None:
        """A workload is there, or has a newer token."""
        self._workloads[workload.uid] = workload
        self._tell(workload)

    def end(self, uid: str) -> None:
        """It is gone."""
        self._workloads.pop(uid, None)
        if self._expected is not None:
            self._expected.discard(uid)
        self._tell(Gone(uid=uid))

    def only(self, uids: set[str]) -> None:
        """No others than these are there, of whom an earlier client may have told."""
        self._expected = set(uids)
        self._tell_only()

    def istiod(self, istiod: Istiod) -> None:
        """Where certificates are signed."""
        if istiod != self._istiod:
            self._istiod = istiod
            self._tell(istiod)

    async def run(self, trouble: Callable[[str, str], None]) -> None:
        """Until cancelled. `trouble` is told the uid of a workload and why it has no new certificate, or ""."""
        failures = 0
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
            except OSError:
                failures += 1
                await asyncio.sleep(_BACKOFF.wait(failures))
                continue
            failures = 0
            self._writer = writer
            try:
                if self._istiod is not None:
                    self._tell(self._istiod)
                for workload in self._workloads.values():
                    self._tell(workload)
                self._tell_only()
                while line := await reader.readline():
                    told = msgspec.json.decode(line, type=Trouble)
                    trouble(told.uid, told.problem)
            except (OSError, msgspec.DecodeError) as error:
                log.warning("the agent: %s", error)
            finally:
                self._writer = None
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            log.info("the agent has gone; it is told everything when it is back")

    def _tell_only(self) -> None:
        """Those that are expected and not told of yet are not others."""
        if self._expected is not None:
            self._tell(Only(uids=tuple(sorted(self._expected | self._workloads.keys()))))

    def _tell(self, told: Told) -> None:
        if self._writer is not None:
            self._writer.write(msgspec.json.encode(told) + b"\n")
