"""Delivery: the streams of all proxies, and what reaches them of every change.

Each stream has one reader and one writer. The writer asks the state machine what to send only when the message before
is on its way, so a slow proxy has no queue: it skips what it was too slow for and gets the newest.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from plait.delivery.auth import AuthenticationUnavailableError, UnauthenticatedError, bearer, check
from plait.delivery.stream import ProxyStream
from plait.delivery.transport import Refusal
from plait.delivery.wire import MalformedRequestError, decode_caller, decode_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plait.delivery.auth import Authenticator
    from plait.delivery.store import Push, ViewStore
    from plait.delivery.stream import Reaction, TypeStatus
    from plait.delivery.transport import Stream
    from plait.delivery.wire import Caller, Request
    from plait.xds.resource import ViewUpdate

log = logging.getLogger(__name__)

_NAMES = 200_000
_UNACKNOWLEDGED = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds a proxy may take: to send its first request, to read one response, and to let a type that others wait
    for be acknowledged before they stop waiting.
    """

    first: float = 10.0
    write: float = 30.0
    patience: float = 1.0


class Observer(Protocol):
    """Hears what happens on the streams; must not wait."""

    def connected(self, connection: int, caller: Caller) -> None:
        """A proxy has identified itself; answer with `Delivery.assign`."""
        ...

    def disconnected(self, connection: int) -> None:
        """A stream is over."""
        ...

    def progressed(self, connection: int) -> None:
        """The status of a stream may be different."""
        ...

    def pushed(self, push: Push) -> None:
        """A response was written."""
        ...

    def reacted(self, connection: int, reaction: Reaction) -> None:
        """A proxy accepted or refused a push."""
        ...


@dataclass(slots=True, eq=False)
class _Session:
    """One stream being served."""

    connection: int
    stream: Stream
    state: ProxyStream
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    impatient: bool = False

    def lose_patience(self) -> None:
        """Let the writer send what waits for another type."""
        self.impatient = True
        self.wake.set()


class Delivery:
    """Serves streams from a store of views. One event loop owns it."""

    def __init__(
        self,
        store: ViewStore,
        authenticator: Authenticator,
        observer: Observer,
        *,
        limits: Limits = Limits(),
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._observer = observer
        self._limits = limits
        self._sessions: dict[int, _Session] = {}
        self._connections = 0

    def apply(self, updates: Iterable[ViewUpdate], *, since: float | None = None) -> None:
        """Take in changes; `since` is when their cause was seen (monotonic seconds)."""
        if self._store.apply(updates, since=since):
            for session in self._sessions.values():
                session.wake.set()

    def assign(self, connection: int, views: Iterable[str]) -> None:
        """Say what a proxy sees; nothing happens when its stream is over."""
        if (session := self._sessions.get(connection)) is not None:
            session.state.assign(views)
            session.wake.set()

    def drop(self, views: Iterable[str]) -> None:
        """Forget views no proxy has."""
        self._store.drop(views)

    @property
    def streams(self) -> int:
        """How many proxies are connected."""
        return len(self._sessions)

    def status(self, connection: int) -> tuple[TypeStatus, ...]:
        """Where a stream stands; empty when it is over."""
        session = self._sessions.get(connection)
        return session.state.status() if session else ()

    async def handle(self, stream: Stream) -> None:
        """Serve one stream until it ends (a transport's Handler)."""
        first = await self._first(stream)
        if first is None:
            return
        caller, request = await self._caller(stream, first)
        self._connections += 1
        session = _Session(self._connections, stream, ProxyStream(self._store))
        self._sessions[session.connection] = session
        try:
            session.state.note(request)
            self._observer.connected(session.connection, caller)
            await self._converse(session)
        finally:
            del self._sessions[session.connection]
            self._observer.disconnected(session.connection)

    async def _first(self, stream: Stream) -> bytes | None:
        try:
            async with asyncio.timeout(self._limits.first):
                return await stream.receive()
        except TimeoutError:
            await stream.refuse(Refusal.INVALID_ARGUMENT, f"no request within {self._limits.first:g} s")

    async def _caller(self, stream: Stream, first: bytes) -> tuple[Caller, Request]:
        try:
            identity = await self._authenticator.identify(bearer(stream.metadata))
            caller, request = decode_caller(first), decode_request(first)
            check(identity, caller.node)
        except MalformedRequestError as error:
            await stream.refuse(Refusal.INVALID_ARGUMENT, str(error))
        except UnauthenticatedError as error:
            log.warning("refused a proxy: %s", error)
            await stream.refuse(Refusal.UNAUTHENTICATED, str(error))
        except AuthenticationUnavailableError as error:
            log.warning("cannot authenticate a proxy: %s", error)
            await stream.refuse(Refusal.UNAVAILABLE, str(error))
        return caller, request

    async def _converse(self, session: _Session) -> None:
        """Read and write until the proxy ends the stream, stops reading, or breaks the rules."""
        refusals: list[tuple[Refusal, str]] = []
        reader = asyncio.create_task(self._read(session), name=f"read {session.connection}")
        writer = asyncio.create_task(self._write(session), name=f"write {session.connection}")
        try:
            done, _ = await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            refusals.extend(refusal for task in done if (refusal := task.result()) is not None)
        finally:
            for task in (reader, writer):
                task.cancel()
            for task in (reader, writer):
                with suppress(asyncio.CancelledError):
                    await task
        if refusals:
            log.warning("closing the stream of connection %d: %s", session.connection, refusals[0][1])
            await session.stream.refuse(*refusals[0])

    async def _read(self, session: _Session) -> tuple[Refusal, str] | None:
        while (message := await session.stream.receive()) is not None:
            try:
                request = decode_request(message)
            except MalformedRequestError as error:
                return Refusal.INVALID_ARGUMENT, str(error)
            reaction = session.state.note(request)
            if reaction is not None:
                self._observer.reacted(session.connection, reaction)
            if session.state.names > _NAMES or session.state.unacknowledged > _UNACKNOWLEDGED:
                return Refusal.RESOURCE_EXHAUSTED, "too many subscriptions or unacknowledged responses"
            if session.state.pending:
                session.wake.set()
            else:
                self._observer.progressed(session.connection)
        return None

    async def _write(self, session: _Session) -> tuple[Refusal, str] | None:
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None
        try:
            while True:
                await session.wake.wait()
                session.wake.clear()
                pushes = session.state.flush(patience_over=session.impatient)
                if session.impatient:
                    session.impatient, timer = False, None
                for push in pushes:
                    async with asyncio.timeout(self._limits.write):
                        await session.stream.send(push.body)
                    self._observer.pushed(push)
                self._observer.progressed(session.connection)
                if timer is not None and not session.state.blocked:
                    timer.cancel()
                    timer = None
                elif timer is None and session.state.blocked:
                    timer = loop.call_later(self._limits.patience, session.lose_patience)
        except TimeoutError:
            return Refusal.RESOURCE_EXHAUSTED, f"the proxy did not read a response for {self._limits.write:g} s"
        except ConnectionError:
            return None
        finally:
            if timer is not None:
                timer.cancel()
