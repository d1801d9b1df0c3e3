"""Delivery: the streams of all proxies, and what reaches them of every change.

A request is taken where it comes in, and what there is to send is sent where it is known: no task is woken for either
as long as the proxy keeps up. For one that does not, a writer waits until the message before is on its way and then
asks the state machine again, so a slow proxy has no queue: it skips what it was too slow for and gets the newest.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from plait.delivery.auth import UnauthenticatedError, check
from plait.delivery.patience import Patience
from plait.delivery.stream import ProxyStream
from plait.delivery.wire import HEALTH, MalformedRequestError, decode_caller, decode_request
from plait.rpc.stream import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plait.delivery.auth import Prover
    from plait.delivery.standing import TypeStatus
    from plait.delivery.store import Push, ViewStore
    from plait.delivery.stream import Reaction
    from plait.delivery.wire import Caller, Request
    from plait.rpc.stream import Stream
    from plait.xds.resource import ViewUpdate

log = logging.getLogger(__name__)

_NAMES = 200_000
_UNACKNOWLEDGED = 1_000
#: Sessions flushed before the loop looks at what else has come.
_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds a proxy may take: to send its first request, to read one response (both without the time in which we were
    too busy to look), and to let a type that others wait for be acknowledged before they stop waiting.
    """

    first: float = 10.0
    write: float = 30.0
    patience: float = 5.0


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

    def reported(self, connection: int, fault: str) -> None:
        """A client said how the program beside it is; empty: well."""
        ...


@dataclass(slots=True, eq=False)
class _Session:
    """One stream being served. `over` has the reason why we end it; `writer` sends what could not be sent at once."""

    connection: int
    stream: Stream
    state: ProxyStream
    over: asyncio.Future[tuple[Refusal, str] | None]
    views: tuple[str, ...] = ()
    writer: asyncio.Task[None] | None = None

    def end(self, code: Refusal | None, reason: str = "") -> None:
        """End the stream; of two reasons the first."""
        if not self.over.done():
            self.over.set_result(None if code is None else (code, reason))

    def fail(self, error: Exception) -> None:
        """End the stream because of a fault of our own, which its handler raises."""
        if not self.over.done():
            self.over.set_exception(error)


class Delivery:
    """Serves streams from a store of views. One event loop owns it."""

    def __init__(
        self,
        store: ViewStore,
        prover: Prover,
        observer: Observer,
        *,
        limits: Limits = Limits(),
    ) -> None:
        self._store = store
        self._prover = prover
        self._observer = observer
        self._limits = limits
        self._sessions: dict[int, _Session] = {}
        self._viewers: dict[str, dict[int, _Session]] = {}
        self._due: dict[int, _Session] = {}
        self._partly: dict[int, None] = {}
        #: Sessions in which something waits for another type, and since when. One timer is for all of them.
        self._blocked: dict[int, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._connections = 0

    def apply(self, updates: Iterable[ViewUpdate], *, since: float | None = None, batch: int = 0) -> None:
        """Take in changes; `since` is when their cause was seen (monotonic seconds).

        `batch` is the publication that is complete with them, 0 before its last piece.
        """
        for view in sorted(self._store.apply(updates, since=since)):
            for session in self._viewers.get(view, {}).values():
                self._soon(session)
                self._partly[session.connection] = None
        if batch > self._store.batch:
            self._store.batch = batch
            # Who was quick has acknowledged the first pieces already, and has now all of it.
            for connection in self._partly:
                self._observer.progressed(connection)
            self._partly.clear()

    def assign(self, connection: int, views: Iterable[str], own: Iterable[ViewUpdate] = ()) -> None:
        """Say what a proxy sees; nothing happens when its stream is over."""
        if (session := self._sessions.get(connection)) is not None:
            self._look_away(session)
            session.views = tuple(views)
            for view in session.views:
                self._viewers.setdefault(view, {})[connection] = session
            session.state.assign(session.views, own)
            self._soon(session)

    def amend(self, connection: int, own: Iterable[ViewUpdate]) -> None:
        """Change what only this proxy has; nothing happens when its stream is over."""
        if (session := self._sessions.get(connection)) is not None:
            session.state.amend(own)
            self._soon(session)

    def drop(self, views: Iterable[str]) -> None:
        """Forget views no proxy has."""
        self._store.drop(views)

    @property
    def connections(self) -> int:
        """How many proxies have connected so far."""
        return self._connections

    @property
    def streams(self) -> int:
        """How many proxies are connected."""
        return len(self._sessions)

    def unsettled(self, connection: int) -> bool:
        """Whether there will soon be something else to say of a proxy: it has not answered, or is to be sent more."""
        session = self._sessions.get(connection)
        return session is not None and (
            session.state.unacknowledged > 0 or connection in self._due or connection in self._partly
        )

    def standing(self, connection: int) -> tuple[tuple[TypeStatus, ...], int]:
        """Where a stream stands, and the batch that it has acknowledged whole; empty and -1 when it is over."""
        session = self._sessions.get(connection)
        return (session.state.status(), session.state.level) if session else ((), -1)

    async def handle(self, stream: Stream) -> None:
        """Serve one stream until it ends (a transport's Handler)."""
        first = await self._first(stream)
        if first is None:
            return
        caller, request = await self._caller(stream, first)
        self._connections += 1
        over = asyncio.get_running_loop().create_future()
        session = _Session(self._connections, stream, ProxyStream(self._store), over)
        self._sessions[session.connection] = session
        try:
            session.state.note(request)
            self._observer.connected(session.connection, caller)
            await self._converse(session)
        finally:
            del self._sessions[session.connection]
            self._due.pop(session.connection, None)
            self._partly.pop(session.connection, None)
            self._blocked.pop(session.connection, None)
            self._look_away(session)
            self._observer.disconnected(session.connection)

    def _look_away(self, session: _Session) -> None:
        """Forget what a session sees."""
        for view in session.views:
            if (viewers := self._viewers.get(view)) is not None:
                viewers.pop(session.connection, None)
                if not viewers:
                    del self._viewers[view]

    async def _first(self, stream: Stream) -> bytes | None:
        try:
            async with Patience(self._limits.first):
                return await stream.receive()
        except TimeoutError:
            await stream.refuse(Refusal.INVALID_ARGUMENT, f"no request within {self._limits.first:g} s")

    async def _caller(self, stream: Stream, first: bytes) -> tuple[Caller, Request]:
        identity = await self._prover.prove(stream)
        try:
            caller, request = decode_caller(first), decode_request(first)
            check(identity, caller.node)
        except MalformedRequestError as error:
            await stream.refuse(Refusal.INVALID_ARGUMENT, str(error))
        except UnauthenticatedError as error:
            log.warning("refused a proxy: %s", error)
            await stream.refuse(Refusal.UNAUTHENTICATED, str(error))
        return caller, request

    async def _converse(self, session: _Session) -> None:
        """Listen until the proxy ends the stream, stops reading, or breaks the rules."""
        listening = asyncio.create_task(
            session.stream.listen(partial(self._take, session)), name=f"listen {session.connection}"
        )
        try:
            await asyncio.wait((listening, session.over), return_when=asyncio.FIRST_COMPLETED)
            refusal = (session.over if session.over.done() else listening).result()
        finally:
            session.end(None)
            for task in (listening, session.writer):
                if task is not None:
                    task.cancel()
                    await asyncio.wait((task,))
        if refusal is not None:
            log.warning("closing the stream of connection %d: %s", session.connection, refusal[1])
            await session.stream.refuse(*refusal)

    def _take(self, session: _Session, message: bytes) -> None:
        """One request."""
        if session.over.done():
            return
        try:
            request = decode_request(message)
        except MalformedRequestError as error:
            session.end(Refusal.INVALID_ARGUMENT, str(error))
            return
        if request.type_url == HEALTH:
            self._observer.reported(session.connection, request.error or "")
            return
        reaction = session.state.note(request)
        if reaction is not None:
            self._observer.reacted(session.connection, reaction)
        if session.state.names > _NAMES or session.state.unacknowledged > _UNACKNOWLEDGED:
            session.end(Refusal.RESOURCE_EXHAUSTED, "too many subscriptions or unacknowledged responses")
        elif session.state.pending:
            self._flush(session)
        else:
            self._observer.progressed(session.connection)

    # out

    def _soon(self, session: _Session) -> None:
        """Flush a session in its turn: what concerns many does not keep the loop from what else there is to do."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._flush_due)
        self._due[session.connection] = session

    def _flush_due(self) -> None:
        for connection in (*islice(self._due, _AT_ONCE),):
            session = self._due.pop(connection)
            try:
                self._flush(session)
            except Exception as error:  # noqa: BLE001 -- a fault of one stream: its handler ends with it
                session.fail(error)
        if self._due:
            asyncio.get_running_loop().call_soon(self._flush_due)

    def _flush(self, session: _Session, *, patience_over: bool = False) -> None:
        """Send what there is to send; a writer that is at work does it when it has sent what it has."""
        if session.writer is not None or session.over.done():
            return
        pushes = session.state.flush(patience_over=patience_over)
        for place, push in enumerate(pushes):
            if not session.stream.offer(push.message):
                name = f"write {session.connection}"
                session.writer = asyncio.create_task(self._write(session, pushes[place:]), name=name)
                return
            self._observer.pushed(push)
        self._flushed(session)

    async def _write(self, session: _Session, pushes: tuple[Push, ...]) -> None:
        """Send pushes that have to wait, and what there is afterwards."""
        try:
            while pushes:
                for push in pushes:
                    async with Patience(self._limits.write):
                        await session.stream.send(push.message)
                    self._observer.pushed(push)
                pushes = session.state.flush()
                self._flushed(session)
        except TimeoutError:
            reason = f"the proxy did not read a response for {self._limits.write:g} s"
            session.end(Refusal.RESOURCE_EXHAUSTED, reason)
        except ConnectionError:
            session.end(None)
        except Exception as error:  # noqa: BLE001 -- see _flush_due
            session.fail(error)
        finally:
            session.writer = None

    def _flushed(self, session: _Session) -> None:
        """What could be sent is on its way; what waits for another type does so for a while only."""
        self._observer.progressed(session.connection)
        if not session.state.blocked:
            self._blocked.pop(session.connection, None)
        elif session.connection not in self._blocked and not session.over.done():
            loop = asyncio.get_running_loop()
            self._blocked[session.connection] = loop.time()
            if self._timer is None:
                self._timer = loop.call_later(self._limits.patience, self._lose_patience)

    def _lose_patience(self) -> None:
        """Send what has waited too long for another type, and look at the next in its time."""
        self._timer = None
        loop = asyncio.get_running_loop()
        for connection, since in (*self._blocked.items(),):
            if since + self._limits.patience > loop.time():
                self._timer = loop.call_at(since + self._limits.patience, self._lose_patience)
                return
            del self._blocked[connection]
            session = self._sessions[connection]
            try:
                self._flush(session, patience_over=True)
            except Exception as error:  # noqa: BLE001 -- see _flush_due
                session.fail(error)
