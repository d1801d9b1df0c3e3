"""What one proxy wants of one type, what it has of it, and what became of the pushes to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from plait.delivery.standing import State, TypeStatus, type_status
from plait.delivery.store import Difference, Mark, Push, Snapshot
from plait.delivery.wire import WILDCARD
from plait.xds.resource import CDS, LDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from plait.delivery.store import View, ViewStore
    from plait.delivery.wire import Request
    from plait.xds.resource import Resource

#: Types of which a first request without names means everything (xDS: only these two by name-less subscription).
_WILDCARD_TYPES = frozenset((CDS, LDS))


class Sent(NamedTuple):
    """A push that is not acknowledged yet; `adds` when it brings names the proxy did not have."""

    push: Push
    adds: bool


NOWHERE: Final = -1
UNCLEAR: Final = -2


@dataclass(slots=True)
class Subscription:
    """State of one type on one stream.

    The proxy has either `bases` (one snapshot per view, as far as subscribed) or, after a reconnect or a change of
    views, `own` versions by name. `ahead` are answers given since then; `held` are removals that wait for others;
    `urgent` are names it asked for and waits for; `forced` must be sent although equal; `single` are names (with
    versions) of a refused push, each to be sent alone. `told` is the store's batch up to which everything was sent,
    `level` that up to which everything was answered; `sent` and `acked` are the marks of the last such push.
    """

    type_url: str
    wildcard: bool = False
    names: frozenset[str] = frozenset()
    bases: tuple[Snapshot, ...] = ()
    own: dict[str, str] | None = None
    ahead: dict[str, str | None] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    urgent: dict[str, None] = field(default_factory=dict)
    forced: dict[str, None] = field(default_factory=dict)
    single: dict[str, str] = field(default_factory=dict)
    fresh: bool = True
    waiting: bool = False
    told: int = -1
    level: int = -1
    outstanding: list[Sent] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    error: str = ""
    sent: Mark | None = None
    acked: Mark | None = None

    @classmethod
    def begin(cls, request: Request) -> Subscription:
        """From the first request of a type on a stream; with versions in it the proxy resumes."""
        made = cls(request.type_url, own=dict(request.initial_versions), fresh=not request.initial_versions)
        made.wildcard = not request.subscribe and request.type_url in _WILDCARD_TYPES
        return made

    def wants(self, name: str) -> bool:
        """Whether a resource is subscribed to."""
        return self.wildcard or name in self.names

    # what the proxy says

    def change(self, request: Request, store: ViewStore) -> None:
        """Take over the request's subscriptions; new names become urgent unless the proxy says it has them."""
        if not (request.unsubscribe or request.initial_versions or WILDCARD in request.subscribe):
            self.names = store.subscribed(self.names, request.subscribe)
            self.urgent.update(dict.fromkeys(request.subscribe))
            return
        gone, new = frozenset(request.unsubscribe), frozenset(request.subscribe)
        if WILDCARD in new and not self.wildcard:
            self.materialize()
            self.wildcard = True
        if WILDCARD in gone:
            self.wildcard = False
        if gone:
            # Who keeps the wildcard but gives up a name has dropped the resource and must be told it again.
            self.urgent.update(
                dict.fromkeys(name for name in request.unsubscribe if self.wildcard and name in self.names)
            )
        if gone or new:
            self.names = store.share((self.names - gone | new) - {WILDCARD})
        for name in request.subscribe:
            if name != WILDCARD and name not in request.initial_versions:
                self.urgent[name] = None
        if gone:
            for name in gone:
                if not self.wants(name):
                    for kept in (self.urgent, self.forced, self.single, self.held, self.ahead, self.rejected):
                        kept.pop(name, None)

    def settle(self, request: Request) -> Push | None:
        """Note an ACK or NACK; the push it is about, None for a nonce that is not (or no longer) outstanding."""
        for sent in self.outstanding:
            if sent.push.nonce == request.nonce:
                break
        else:
            return None
        self.outstanding.remove(sent)
        push = sent.push
        if request.error is None:
            self.acked = push.mark
            if self.rejected:
                for name in ("", *push.versions, *push.removed):
                    self.rejected.pop(name, None)
        elif len(push.versions) > 1 and self.type_url not in _WILDCARD_TYPES:
            # Of several route tables in a response Envoy applies those before the bad one and skips the rest, and it
            # does not say which one is bad. Sent one by one, the good ones apply and the bad one is known.
            self.single.update(push.versions)
        else:
            self.error = request.error
            self.rejected.update({name: push.versions.get(name, "") for name in blamed(push, request.error)})
        if not self.rejected:
            self.error = ""
        self._climb()
        return push

    def _climb(self) -> None:
        if not self.outstanding and not self.single:
            self.level = self.told

    # what it lacks

    def materialize(self) -> None:
        """Turn snapshots into versions by name: what they mean is about to change (views, wildcard)."""
        if self.own is None:
            self.own = {
                name: resource.version
                for base in self.bases
                for name, resource in base.resources.items()
                if self.wants(name)
            }
            self.bases = ()
        for name, version in self.ahead.items():
            if version is None:
                self.own.pop(name, None)
            else:
                self.own[name] = version
        self.ahead = {}
        self.own.update(self.held)
        self.held = {}

    def idle(self, views: Sequence[View]) -> bool:
        """Whether there is certainly nothing to send: the usual case for most types of most changes."""
        return self.moved(views) == NOWHERE

    def moved(self, views: Sequence[View]) -> int:
        """Which view alone is a newer one than the proxy was told; NOWHERE: there is certainly nothing to send;
        UNCLEAR: there may be something else.
        """
        if self.fresh or self.urgent or self.forced or self.single or self.own is not None:
            return UNCLEAR
        type_url, found, place = self.type_url, NOWHERE, 0
        for base in self.bases:
            if base is not views[place].head(type_url):
                if found != NOWHERE:
                    return UNCLEAR
                found = place
            place += 1  # noqa: SIM113  (called for every type of every ACK)
        return found

    def only_asks(self, views: Sequence[View]) -> bool:
        """Whether it was told all there is, and waits for nothing but what the proxy has asked for by name."""
        if self.fresh or self.forced or self.single or self.ahead or self.own is not None:
            return False
        type_url = self.type_url
        for base, view in zip(self.bases, views, strict=True):  # noqa: SIM110  (asked for every subscription)
            if base is not view.head(type_url):
                return False
        return True

    def lacks_of(self, view: View, place: int) -> Difference:
        """What changed in one view since the proxy was last told, as far as it is subscribed."""
        if self.wildcard:
            return view.difference(self.type_url, self.bases[place])
        return view.wanted(self.type_url, self.bases[place], self.names)

    def lacks(self, views: Sequence[View]) -> Difference:
        """What changed since the proxy was last told, as far as it is subscribed."""
        if self.own is not None:
            return self._compare(views)
        moved = [pair for pair in zip(views, self.bases, strict=True) if pair[1] is not pair[0].head(self.type_url)]
        if not moved:
            return _NOTHING
        if len(moved) == 1 and not self.ahead:
            ((view, base),) = moved
            if self.wildcard:
                return view.difference(self.type_url, base)
            return view.wanted(self.type_url, base, self.names)
        parts = [view.difference(self.type_url, base) for view, base in moved]
        return Difference(
            tuple(r for part in parts for r in part.upserts if self._lacks(r)),
            tuple(
                (name, version)
                for part in parts
                for name, version in part.removed
                if self.wants(name) and self.ahead.get(name, version) is not None
            ),
            any(part.adds for part in parts),
        )

    def _lacks(self, resource: Resource) -> bool:
        return self.wants(resource.name) and self.ahead.get(resource.name) != resource.version

    def _compare(self, views: Sequence[View]) -> Difference:
        own = self.own or {}
        upserts: list[Resource] = []
        there: set[str] = set()
        for view in views:
            for name, resource in view.head(self.type_url).resources.items():
                if self.wants(name):
                    there.add(name)
                    if own.get(name) != resource.version:
                        upserts.append(resource)
        return Difference(
            tuple(upserts),
            tuple((name, version) for name, version in own.items() if name not in there and self.wants(name)),
            any(resource.name not in own for resource in upserts),
        )

    def advance(self, views: Sequence[View], batch: int) -> None:
        """The proxy has been sent everything there is, or is about to be."""
        self.told = batch
        self.bases = tuple(view.head(self.type_url) for view in views)
        self.own = None
        self.ahead = {}

    def follow(self, view: View, place: int, batch: int) -> None:
        """The proxy has been sent what is new in the one view that moved."""
        self.waiting = False
        self.told = batch
        self.bases = (*self.bases[:place], view.head(self.type_url), *self.bases[place + 1 :])

    def answered(self, name: str, version: str | None) -> None:
        """A name was answered before the rest of the type could be sent."""
        if self.own is None:
            self.ahead[name] = version
        elif version is None:
            self.own.pop(name, None)
        else:
            self.own[name] = version

    def filter_held(self, upserts: Iterable[Resource]) -> list[Resource]:
        """Without what came back, unchanged, before its removal was sent."""
        return [r for r in upserts if not (r.name in self.held and self.held.pop(r.name) == r.version)]

    def sent_all(self) -> None:
        """What `advance` announced is on its way: without an unanswered push there was nothing to send."""
        self._climb()

    def reached(self, views: Sequence[View], batch: int) -> int:
        """The batch up to which the proxy has answered everything; removals that wait for others do not count.

        A refused resource is answered too: it is for `rejected` to say.
        """
        if self.waiting or self.outstanding or not self.idle(views):
            return self.level
        return batch

    def status(self, views: tuple[View, ...] | None, *, calm: bool) -> TypeStatus:
        """Where the type stands; `calm` says that its stream knows of nothing to send."""
        acked = self.acked
        if calm and acked is not None and acked is self.sent and not (self.outstanding or self.rejected or self.fresh):
            return acked.synced
        state: State = "SYNCED"
        if self.rejected:
            state = "NACK"
        elif views is None or self.fresh:
            state = "NOT SENT"
        elif self.outstanding or not (calm or (not self.held and self.lacks(views) == _NOTHING)):
            state = "STALE"
        rejected = tuple(sorted(self.rejected)) if self.rejected else ()
        return type_status(self.type_url, state, *_shown(self.sent), *_shown(acked), self.error, rejected)

    @property
    def settled(self) -> bool:
        """Everything told has been accepted, and nothing waits."""
        return not (self.outstanding or self.waiting or self.held or self.rejected)


_NOTHING = Difference()


def _shown(mark: Mark | None) -> tuple[str, int]:
    return (mark.nonce, mark.revision) if mark is not None else ("", 0)


def blamed(push: Push, error: str) -> tuple[str, ...]:
    """The resources a NACK is about: those its message names, else all of the push (`""` for a push without any)."""
    named = tuple(name for name in push.versions if re.search(rf"(?<![\w.|-]){re.escape(name)}(?![\w|-])", error))
    return named or tuple(push.versions) or ("",)
