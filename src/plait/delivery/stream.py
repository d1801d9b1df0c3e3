"""One proxy's delta ADS stream as a state machine: requests and changes in, responses out. No I/O, no clock.

Order of one change on a stream: clusters, endpoints of the touched clusters, listeners, routes, secrets; what is
referred to before what refers to it. Three rules make that free of gaps for traffic:

- Endpoints follow every cluster they belong to at once, unchanged or not, whatever is unacknowledged: Envoy warms an
  updated cluster until it hears of its endpoints again, and does not ask (15 s otherwise).
- Listeners and routes wait for the ACK of clusters that are new to the proxy: Envoy sends it once they are warm.
- Of what is in slots (ECDS) several go in a response each: fillings first, then what is emptied.
- Removals go last: clusters and endpoints when listeners and routes are acknowledged, routes when listeners are. A
  NACK keeps what the last accepted configuration still refers to.

Of several named resources in a refused push each is sent again alone, since Envoy skips the good ones behind the bad.

Within a type a push waits for the ACK of the one before and then carries only the newest. A name that was asked for
is answered at once, known or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from plait.delivery.store import View
from plait.delivery.subscription import NOWHERE, UNCLEAR, Sent, Subscription
from plait.xds.resource import CDS, DELIVERY_ORDER, ECDS, EDS, LDS, RDS
from plait.xds.slots import in_steps

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from plait.delivery.standing import TypeStatus
    from plait.delivery.store import Push, Sight, ViewStore
    from plait.delivery.wire import Request
    from plait.xds.resource import Resource, ViewUpdate

#: As a revision: less than any.
_NOT_KNOWN = -1
#: Types that refer to clusters.
_REFERRING = frozenset({LDS, RDS, ECDS})


class Reaction(NamedTuple):
    """What a request said about an earlier push: `refused` names the resources of a NACK.

    A NACK that does not say yet which resource is bad is no reaction: they are sent again one by one.
    """

    push: Push
    error: str | None = None
    refused: tuple[str, ...] = ()


class ProxyStream:
    """State of one stream; `note` and `assign` take in, `flush` says what to send now."""

    def __init__(self, store: ViewStore) -> None:
        self._store = store
        #: What it sees, beside its own; None: not known yet.
        self._sight: Sight | None = None
        self._own = View("")
        self._views: tuple[View, ...] = ()
        self._types: dict[str, Subscription] = {}
        self._resumed = False
        self._blocked = False
        self._sequence: list[Subscription] = []
        #: The revisions of the sight and of its own up to which there is nothing to send, but of the open types.
        self._seen = self._seen_own = _NOT_KNOWN
        self._open: set[str] = set()
        #: Names subscribed to, over all types: what a stream costs.
        self.names = 0
        #: Pushes sent and not answered, over all types.
        self.unacknowledged = 0

    # in and out at once: what tests and simple callers use

    def on_request(self, request: Request) -> tuple[Push, ...]:
        """Take in a request; what to send now."""
        self.note(request)
        return self.flush()

    def on_update(self) -> tuple[Push, ...]:
        """The store has changed; what to send now."""
        return self.flush()

    def on_assign(self, views: Iterable[str]) -> tuple[Push, ...]:
        """The views of this proxy are known, or others than before; what to send now."""
        self.assign(views)
        return self.flush()

    # in

    def note(self, request: Request) -> Reaction | None:
        """Take in a request: subscriptions, and what it says about a push."""
        subscription = self._types.get(request.type_url)
        if subscription is None:
            subscription = self._types[request.type_url] = Subscription.begin(request)
            self._sequence = [self._types[t] for t in DELIVERY_ORDER if t in self._types]
            self._sequence += [s for t, s in self._types.items() if t not in DELIVERY_ORDER]
            self._open.add(request.type_url)
            self._resumed = self._resumed or bool(request.initial_versions)
        reaction = None
        if request.nonce and (push := subscription.settle(request)) is not None:
            self.unacknowledged -= 1
            if request.error is None:
                reaction = Reaction(push)
            else:
                refused = tuple(name for name in push.versions if name in subscription.rejected)
                if refused or not push.versions:
                    reaction = Reaction(push, request.error, refused)
        if request.error is not None:
            self._open.add(request.type_url)
        if request.subscribe or request.unsubscribe:
            self._open.add(request.type_url)
            self.names -= len(subscription.names)
            subscription.change(request, self._store)
            self.names += len(subscription.names)
        return reaction

    def assign(self, views: Iterable[str], own: Iterable[ViewUpdate] = ()) -> None:
        """Set the views; what the proxy already has stays known."""
        for subscription in self._types.values():
            subscription.materialize()
            subscription.told = subscription.level = -1
        self._seen = self._seen_own = _NOT_KNOWN
        self.amend(own)
        self._sight = self._store.sight(views)
        self._views = (*self._sight.views, self._own)

    def amend(self, own: Iterable[ViewUpdate]) -> None:
        """Change what this proxy has beside its views."""
        self._store.amend(self._own, own)

    # out

    def flush(self, *, patience_over: bool = False) -> tuple[Push, ...]:
        """What to send now; with `patience_over` without waiting any longer for a type that holds others up."""
        sight, views = self._sight, self._views
        if sight is None:
            return ()
        self._blocked = False
        self._resumed = self._resumed and not patience_over
        out: list[Push] = []
        due = self._due(sight)
        for subscription in self._sequence:
            if due is not None and subscription.type_url not in due and not subscription.forced:
                continue
            place = subscription.moved(views)
            if place == NOWHERE:
                subscription.waiting = False
            elif place >= 0 and not patience_over and self._waits(subscription, views[place], place):
                self._open.add(subscription.type_url)
                continue
            elif not (
                self._answer(subscription, views, out)
                if place == UNCLEAR
                else self._follow(subscription, views, place, out)
            ):
                self._send(subscription, views, out, patience_over=patience_over)
                subscription.sent_all()
                if not subscription.idle(views):
                    self._open.add(subscription.type_url)
                    continue
            if subscription.held:
                self._open.add(subscription.type_url)
            else:
                self._open.discard(subscription.type_url)
        if self._open and any(subscription.held for subscription in self._sequence):
            for type_url in (RDS, CDS, EDS, *(t for t in self._types if t not in {CDS, EDS, LDS, RDS})):
                if (late := self._types.get(type_url)) is not None and late.held:
                    self._remove(late, out)
                    if not late.held and late.idle(views):
                        self._open.discard(type_url)
        self._seen, self._seen_own = sight.revision, self._own.revision
        return tuple(out)

    def _due(self, sight: Sight) -> Collection[str] | None:
        """The types that there may be something to send of; None: any."""
        if self._seen == _NOT_KNOWN:
            return None
        due: Collection[str] = self._open
        if sight.revision != self._seen:
            changed = sight.changed_since(self._seen)
            due = {*due, *changed} if due else changed
        if self._own.revision != self._seen_own:
            due = {*due, *self._own.changed_since(self._seen_own)}
        return due

    @property
    def pending(self) -> bool:
        """Whether `flush` may have something to do: after most ACKs it has not."""
        sight = self._sight
        return sight is not None and (
            bool(self._open) or sight.revision != self._seen or self._own.revision != self._seen_own
        )

    @property
    def level(self) -> int:
        """The store's batch that the proxy has acknowledged whole; -1 while it has not asked for listeners."""
        if self._sight is None or LDS not in self._types:
            return -1
        batch = self._store.batch
        if self.pending:
            return min(subscription.reached(self._views, batch) for subscription in self._sequence)
        # The usual case: nothing to send, so only what is unanswered counts.
        return min([s.level for s in self._sequence if s.outstanding], default=batch) if self.unacknowledged else batch

    @property
    def blocked(self) -> bool:
        """Something waits for another type, which should come soon: flush with `patience_over` when it does not."""
        return self._blocked

    def _follow(self, subscription: Subscription, views: tuple[View, ...], place: int, out: list[Push]) -> bool:
        """Send what a change made different in one view, to a proxy that has nothing special about it: `_send` for the
        usual case. False, and nothing done, in others.
        """
        type_url, view = subscription.type_url, views[place]
        if subscription.outstanding or subscription.ahead or subscription.held or view is self._own:
            return False
        if type_url in _REFERRING and self._clusters_coming():
            return False
        lacking = subscription.lacks_of(view, place)
        own = self._own.head(type_url).resources
        if lacking.removed or (own and any(resource.name in own for resource in lacking.upserts)):
            return False
        subscription.follow(view, place, self._store.batch)
        if lacking.upserts:
            if type_url == ECDS and len(lacking.upserts) > 1:
                self._in_steps(subscription, lacking.upserts, (), out, caused=True, adds=lacking.adds)
                subscription.sent_all()
                return True
            push = self._store.push_of(type_url, lacking)
            self._sent(subscription, push, lacking.adds, out)
            if type_url == CDS:
                self._endpoints_too(lacking.upserts)
        subscription.sent_all()
        return True

    def _waits(self, subscription: Subscription, view: View, place: int) -> bool:
        """Whether what a change made different in one view waits for clusters only: `_send` for that case."""
        if subscription.type_url not in _REFERRING or subscription.outstanding or subscription.ahead:
            return False
        if not self._clusters_coming():
            return False
        lacking = subscription.lacks_of(view, place)
        if not (lacking.upserts or lacking.removed):
            return False
        subscription.waiting = self._blocked = True
        return True

    def _answer(self, subscription: Subscription, views: tuple[View, ...], out: list[Push]) -> bool:
        """Send what a proxy has asked for by name that has all else: `_send` for that case. False, and nothing done, in
        others.
        """
        type_url = subscription.type_url
        if type_url in {LDS, RDS} or not subscription.only_asks(views):
            return False
        # A proxy asks for its slots one by one, in one go.
        if subscription.outstanding and type_url != ECDS:
            return False
        own = self._own.head(type_url).resources
        if own and not own.keys().isdisjoint(subscription.urgent):
            return False
        asked = [(name, _find(views, type_url, name)) for name in subscription.urgent]
        removed = [name for name, resource in asked if resource is None]
        for name in removed:
            subscription.held.pop(name, None)
        subscription.urgent = {}
        subscription.waiting = False
        subscription.told = self._store.batch
        self._emit(subscription, [r for _, r in asked if r is not None], removed, out, caused=False, adds=False)
        if type_url == CDS:
            self._endpoints_too(resource for _, resource in asked if resource is not None)
        return True

    def _endpoints_too(self, clusters: Iterable[Resource]) -> None:
        """The endpoints of these clusters must follow."""
        endpoints = self._types.get(EDS)
        if endpoints is not None:
            names = endpoints.names
            for cluster in clusters:
                if cluster.name in names:
                    endpoints.forced[cluster.name] = None

    def _send(
        self, subscription: Subscription, views: tuple[View, ...], out: list[Push], *, patience_over: bool
    ) -> None:
        in_step = subscription.own is None
        lacking = subscription.lacks(views)
        clusters_first = subscription.type_url in _REFERRING and not patience_over and self._clusters_coming()
        busy = bool(subscription.outstanding) and not subscription.forced
        subscription.waiting = (busy or clusters_first) and not subscription.fresh
        upserts: dict[str, Resource] = {}
        removed: list[str] = []
        if not subscription.waiting:
            if lacking.upserts:
                upserts = {r.name: r for r in subscription.filter_held(lacking.upserts)}
            if subscription.type_url == LDS:
                # A listener must give up its address in the response that gives it to another.
                removed.extend(name for name, _ in lacking.removed)
            else:
                subscription.held.update(lacking.removed)
        own = self._own.head(subscription.type_url).resources
        caused = in_step and not (upserts.keys() <= own.keys() and not removed) and not subscription.urgent
        adds = lacking.adds and bool(upserts)
        for name in (*subscription.urgent, *subscription.forced):
            resource = _find(views, subscription.type_url, name)
            if resource is not None:
                upserts[name] = resource
            elif name in subscription.urgent:
                removed.append(name)
                subscription.held.pop(name, None)
            if subscription.waiting:
                subscription.answered(name, resource.version if resource else None)
        must = subscription.fresh and subscription.wildcard
        subscription.urgent, subscription.forced, subscription.fresh = {}, {}, False
        if not subscription.waiting:
            subscription.advance(views, self._store.batch)
        elif not (lacking.upserts or lacking.removed):
            subscription.waiting = False
        elif clusters_first:
            self._blocked = True
        for name, version in subscription.single.items():
            resource = _find(views, subscription.type_url, name)
            if resource is not None and resource.version == version and name not in upserts:
                self._emit(subscription, (resource,), (), out, caused=False, adds=False)
        subscription.single = {}
        if alone := [upserts.pop(name) for name in own if name in upserts]:
            # The rest is the same for many proxies, and made once.
            self._emit(subscription, alone, (), out, caused=False, adds=False)
        if subscription.type_url == ECDS and len(upserts) > 1:
            self._in_steps(subscription, upserts.values(), removed, out, caused=caused, adds=adds)
        elif upserts or removed or must:
            self._emit(subscription, tuple(upserts.values()), removed, out, caused=caused, adds=adds)
            if subscription.type_url == CDS:
                self._endpoints_too(upserts.values())

    def _clusters_coming(self) -> bool:
        clusters = self._types.get(CDS)
        if clusters is None:
            return False
        for sent in clusters.outstanding:
            if sent.adds:
                return True
        return clusters.waiting

    def _remove(self, subscription: Subscription, out: list[Push]) -> None:
        """Send removals that waited, if nothing can refer to the removed any more."""
        before = {RDS: (LDS,), CDS: (LDS, RDS), EDS: (CDS, LDS, RDS)}.get(subscription.type_url, (CDS, LDS, RDS))
        if not all(self._types[t].settled for t in before if t in self._types):
            return
        if self._resumed and subscription.type_url != RDS and not (LDS in self._types and RDS in self._types):
            # After a reconnect the old routes are in use until the proxy has asked for listeners and routes again.
            self._blocked = True
            return
        if subscription.outstanding:
            return
        removed = [name for name in subscription.held if subscription.wants(name)]
        subscription.held = {}
        if removed:
            self._emit(subscription, (), removed, out, caused=True, adds=False)

    def _in_steps(
        self,
        subscription: Subscription,
        upserts: Iterable[Resource],
        removed: Sequence[str],
        out: list[Push],
        *,
        caused: bool,
        adds: bool,
    ) -> None:
        """What decides over requests is not changed at once by a proxy, but one response after the other is."""
        for step in in_steps(upserts):
            self._emit(subscription, step, removed, out, caused=caused, adds=adds)
            removed = ()

    def _emit(
        self,
        subscription: Subscription,
        upserts: Sequence[Resource],
        removed: Sequence[str],
        out: list[Push],
        *,
        caused: bool,
        adds: bool,
    ) -> None:
        push = self._store.push(subscription.type_url, upserts, removed, caused=caused)
        self._sent(subscription, push, adds, out)

    def _sent(self, subscription: Subscription, push: Push, adds: bool, out: list[Push]) -> None:
        subscription.outstanding.append(Sent(push, adds))
        subscription.sent = push.mark
        self.unacknowledged += 1
        out.append(push)

    # status

    def status(self) -> tuple[TypeStatus, ...]:
        """Each type the proxy subscribed to, in delivery order."""
        if self._sight is None:
            return tuple([each.status(None, calm=False) for each in self._sequence])
        if not self.pending:
            return tuple([each.status(self._views, calm=True) for each in self._sequence])
        still = self._sight.revision == self._seen and self._own.revision == self._seen_own
        return tuple(
            [each.status(self._views, calm=still and each.type_url not in self._open) for each in self._sequence]
        )


def _find(views: Iterable[View], type_url: str, name: str) -> Resource | None:
    for view in views:
        if (found := view.head(type_url).resources.get(name)) is not None:
            return found
    return None
