"""One workload: its certificate, kept fresh, and its socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plait.agent import secrets
from plait.agent.authority import AuthorityError
from plait.agent.protocol import WORKLOAD_SOCKET, Workload
from plait.agent.secrets import Secrets
from plait.agent.sessions import DELTA, STREAM, Delta, SessionError, Whole
from plait.kit.aio.wall_clock import wait_until
from plait.kit.protowire import WireError
from plait.kube.backoff import Backoff
from plait.rpc.stream import Refusal

if TYPE_CHECKING:
    from plait.agent.authority import Authority
    from plait.agent.sessions import Session
    from plait.rpc import Door, Server
    from plait.rpc.stream import Stream

log = logging.getLogger(__name__)

#: A certificate is renewed within this part of its life, each at another moment.
_RENEWED: Final = (0.45, 0.55)
#: Failures in a row after which somebody is told; the first ones are those of an istiod that restarts.
_TOLD: Final = 3
_BACKLOG: Final = 16


class Identity:
    """See the module. `run` is its task; `trouble` is told why it has no new certificate, and "" once it has.

    Whoever connects to the socket gets the key: only the proxy of the workload may reach it, and the folder's owner
    sees to that.
    """

    def __init__(
        self,
        workload: Workload,
        authority: Authority,
        server: Server,
        *,
        trouble: Callable[[str], None],
        backoff: Backoff | None = None,
    ) -> None:
        self.workload = workload
        self.secrets = Secrets()
        self._authority = authority
        self._server = server
        self._trouble = trouble
        self._backoff = backoff or Backoff(first=0.1, most=15.0)
        self._renew = asyncio.Event()

    def update(self, workload: Workload) -> None:
        """A newer token."""
        self.workload = workload

    async def run(self) -> None:
        """Until cancelled. Raises OSError where the socket cannot be made."""
        door = await self._open()
        self._authority.listen(self._renew)
        try:
            await self._keep()
        finally:
            self._authority.leave(self._renew)
            with contextlib.suppress(OSError):
                self._path.unlink()
            await door.close()

    @property
    def _path(self) -> Path:
        return Path(self.workload.folder) / WORKLOAD_SOCKET

    async def _open(self) -> Door:
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self._path))
            # The proxy has a uid of its own, and nobody else comes by.
            os.chmod(self._path, 0o666)  # noqa: PTH101, S103
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        return await self._server.open(
            listener, {STREAM: partial(self._serve, Whole), DELTA: partial(self._serve, Delta)}
        )

    async def _keep(self) -> None:
        failures = 0
        while True:
            await self._authority.known()
            self._renew.clear()
            try:
                issued = await self._authority.issue(self.workload.token, seconds=self.workload.seconds)
            except AuthorityError as error:
                failures += 1
                log.log(
                    logging.WARNING if failures == _TOLD else logging.DEBUG,
                    "%s: no certificate: %s", self.workload.name, error,
                )  # fmt: skip
                if failures >= _TOLD:
                    self._trouble(str(error))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._backoff.wait(failures)):
                        await self._authority.moved()
                continue
            if failures >= _TOLD:
                log.info("%s: has a certificate now", self.workload.name)
                self._trouble("")
            failures = 0
            self.secrets.put(secrets.roots(issued.roots), secrets.certificate(issued.chain, issued.key))
            now = time.time()
            life = issued.ends.timestamp() - now
            log.debug("%s: a certificate for %.0f s", self.workload.name, life)
            due = now + life * random.uniform(*_RENEWED)  # noqa: S311 (spreads load)
            # A clock that is set back makes it one of the future, which nobody takes.
            await wait_until(due, or_set=self._renew, since=issued.begins.timestamp())

    async def _serve(self, kind: type[Whole | Delta], stream: Stream) -> None:
        """One stream of the proxy."""
        session: Session = kind(self.secrets, who=self.workload.name)
        wake = asyncio.Event()

        def take(message: bytes) -> None:
            session.take(message)
            wake.set()

        ended = self.secrets.listen(wake.set)
        listening = asyncio.ensure_future(stream.listen(take))
        listening.add_done_callback(lambda _: wake.set())
        try:
            while not listening.done():
                await wake.wait()
                wake.clear()
                while not listening.done() and (message := session.due()) is not None:
                    await stream.send(message)
            listening.result()
        except (SessionError, WireError) as error:
            log.warning("%s: the proxy's request: %s", self.workload.name, error)
            await stream.refuse(Refusal.INVALID_ARGUMENT, str(error))
        except ConnectionError:
            return
        finally:
            ended()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
