"""All workloads of the machine, and the socket on which the agent is told of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from plait.agent.identity import Identity
from plait.agent.protocol import Gone, Istiod, Only, Told, Trouble, Workload
from plait.kube.backoff import Backoff

if TYPE_CHECKING:
    from plait.agent.authority import Authority
    from plait.rpc import Server

log = logging.getLogger(__name__)

#: Bytes of one line, a workload with its token for example.
_LONGEST: Final = 1 << 20
_BACKOFF: Final = Backoff(first=0.25, most=15.0)


class Agent:
    """See the module. One who tells it of workloads is listened to at a time, the last who came."""

    def __init__(self, authority: Authority, server: Server) -> None:
        self._authority = authority
        self._server = server
        self._held: dict[str, tuple[Identity, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._teller: asyncio.StreamWriter | None = None
        self._decode = msgspec.json.Decoder(Told)

    async def run(self, path: Path) -> None:
        """Serve the control socket until cancelled. Raises OSError."""
        path.unlink(missing_ok=True)
        listener = await asyncio.start_unix_server(self._hear, path, limit=_LONGEST)
        path.chmod(0o600)
        try:
            await self._server.watch()
        finally:
            listener.close()
            if self._teller is not None:
                self._teller.close()
            for uid in (*self._held,):
                self._end(uid)
            self._authority.close()
            await asyncio.gather(*self._ending, return_exceptions=True)

    @property
    def workloads(self) -> int:
        """How many there are."""
        return len(self._held)

    def take(self, told: Told) -> None:
        """One thing that was told."""
        match told:
            case Istiod():
                self._authority.move(told)
            case Gone():
                self._end(told.uid)
            case Only():
                for uid in self._held.keys() - set(told.uids):
                    self._end(uid)
            case Workload():
                held, _ = self._held.get(told.uid, (None, None))
                if held is not None and held.workload.folder == told.folder:
                    held.update(told)
                else:
                    self._end(told.uid)
                    self._begin(told)

    def _begin(self, workload: Workload) -> None:
        identity = Identity(
            workload, self._authority, self._server, trouble=lambda problem: self._say(workload.uid, problem)
        )
        task = asyncio.get_running_loop().create_task(self._run(identity), name=f"identity of {workload.name}")
        self._held[workload.uid] = identity, task

    async def _run(self, identity: Identity) -> None:
        """A fault in one identity must not end the others, nor itself for good."""
        failures = 0
        while True:
            try:
                await identity.run()
            except OSError as error:
                log.warning("%s: no socket for its proxy: %s", identity.workload.name, error)
                self._say(identity.workload.uid, f"no socket for its proxy: {error}")
            except Exception:
                log.exception("%s: begin again", identity.workload.name)
            failures += 1
            await asyncio.sleep(_BACKOFF.wait(failures))

    def _end(self, uid: str) -> None:
        _, task = self._held.pop(uid, (None, None))
        if task is not None:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _say(self, uid: str, problem: str) -> None:
        if self._teller is not None and not self._teller.is_closing():
            self._teller.write(msgspec.json.encode(Trouble(uid=uid, problem=problem)) + b"\n")

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._teller = writer
        try:
            while line := await reader.readline():
                try:
                    told = self._decode.decode(line)
                except msgspec.DecodeError as error:
                    log.warning("a line that is not understood: %s", error)
                    continue
                self.take(told)
        except (ConnectionError, ValueError) as error:
            log.warning("who tells of workloads: %s", error)
        finally:
            if self._teller is writer:
                self._teller = None
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
