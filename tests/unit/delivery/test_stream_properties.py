"""Whatever happens in whatever order, a proxy that answers ends with exactly what the store has."""

from __future__ import annotations

from dataclasses import dataclass, field

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from plait.delivery.store import Push, ViewStore
from plait.delivery.stream import ProxyStream
from plait.delivery.wire import Request, encode_element
from plait.xds.resource import CDS, EDS, LDS, RDS, Resource, ViewUpdate

NAMES = ("a", "b", "c", "d")
BAD = "bad"


def resource(type_url: str, name: str, version: str) -> Resource:
    return Resource(type_url, name, version, encode_element(type_url=type_url, name=name, version=version, value=b""))


@dataclass
class Client:
    """What Envoy does: applies in order, refuses version `bad`, asks for the endpoints of the clusters it has."""

    stream: ProxyStream
    inbox: list[Push] = field(default_factory=list)
    has: dict[str, dict[str, str]] = field(default_factory=lambda: {CDS: {}, EDS: {}, LDS: {}, RDS: {}})
    asked: dict[str, set[str]] = field(default_factory=lambda: {EDS: set(), RDS: set()})
    refuses: str = BAD
    #: It does not read: what there is to send it is asked for later.
    lags: bool = False

    def send(self, request: Request) -> None:
        if self.lags:
            self.stream.note(request)
        else:
            self.inbox += self.stream.on_request(request)

    def look(self) -> None:
        """Send it what there is."""
        if not self.lags:
            self.inbox += self.stream.on_update()

    def answer(self) -> None:
        """Apply the oldest response and acknowledge it."""
        push = self.inbox.pop(0)
        response = DeltaDiscoveryResponse.FromString(push.body)
        has = self.has[push.type_url]
        bad = [r.name for r in response.resources if r.version == self.refuses]
        named = push.type_url in self.asked
        for r in response.resources:
            if named and bad:
                continue  # the rest of the response is skipped
            if r.version != self.refuses and (not named or r.name in self.asked[push.type_url]):
                has[r.name] = r.version
        for name in response.removed_resources:
            has.pop(name, None)
        error = f"refused {', '.join(bad)}" if bad else None
        self.send(Request(type_url=push.type_url, nonce=push.nonce, error=error))
        self.follow()

    def follow(self) -> None:
        """Subscribe to what clusters and listeners refer to: names equal theirs."""
        for leads, to in ((CDS, EDS), (LDS, RDS)):
            new, gone = self.has[leads].keys() - self.asked[to], self.asked[to] - self.has[leads].keys()
            if new or gone:
                self.asked[to] = set(self.has[leads])
                for name in gone:
                    self.has[to].pop(name, None)
                self.send(Request(type_url=to, subscribe=tuple(sorted(new)), unsubscribe=tuple(sorted(gone))))


def connected(store: ViewStore, known: dict[str, dict[str, str]], refuses: str = BAD) -> Client:
    """A client that has something from a connection before."""
    client = Client(ProxyStream(store), refuses=refuses)
    client.stream.assign(("x", "y"))
    client.has |= {type_url: dict(names) for type_url, names in known.items()}
    for type_url in (CDS, EDS, LDS, RDS):
        versions = client.has[type_url]
        if type_url in client.asked:
            client.asked[type_url] = set(client.has[CDS if type_url == EDS else LDS])
            names = tuple(sorted(client.asked[type_url]))
            if names:
                client.send(Request(type_url=type_url, subscribe=names, initial_versions=versions))
        else:
            client.send(Request(type_url=type_url, initial_versions=versions))
    return client


CHANGES = st.lists(
    st.tuples(
        st.sampled_from((CDS, EDS, LDS, RDS)), st.sampled_from(NAMES), st.sampled_from(("1", "2", "3", BAD, None))
    ),
    max_size=5,
)


def updates_of(changes: list[tuple[str, str, str | None]]) -> list[ViewUpdate]:
    """Each name is in one of the two views."""
    return [
        ViewUpdate("x" if name in "ab" else "y", type_url, (), (name,))
        if version is None
        else ViewUpdate("x" if name in "ab" else "y", type_url, (resource(type_url, name, version),))
        for type_url, name, version in changes
    ]


class Delivering(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = ViewStore("run")
        self.client = connected(self.store, {})

    @rule(changes=CHANGES)
    def change(self, changes) -> None:
        for update in updates_of(changes):
            self.store.apply([update])
        self.client.inbox += self.client.stream.on_update()

    @rule(count=st.integers(1, 4))
    def answer(self, count) -> None:
        for _ in range(min(count, len(self.client.inbox))):
            self.client.answer()

    @rule()
    def patience(self) -> None:
        if self.client.stream.blocked:
            self.client.inbox += self.client.stream.flush(patience_over=True)

    @rule()
    def reconnect(self) -> None:
        self.client = connected(self.store, self.client.has)

    @rule()
    def swap_views(self) -> None:
        self.client.inbox += self.client.stream.on_assign(("y", "x"))

    @rule()
    def settle(self) -> None:
        """Answer everything: then the proxy has what the store has, unless it refused it."""
        for _ in range(200):
            if self.client.inbox:
                self.client.answer()
            elif self.client.stream.blocked:
                self.client.inbox += self.client.stream.flush(patience_over=True)
            else:
                break
        assert not self.client.inbox
        stuck = any(status.state == "NACK" for status in self.client.stream.status())
        for type_url, has in self.client.has.items():
            wanted = {
                name: r.version
                for view in ("x", "y")
                for name, r in self.store.view(view).head(type_url).resources.items()
                if type_url not in self.client.asked or name in self.client.asked[type_url]
            }
            good = {name: version for name, version in wanted.items() if version != BAD}
            assert good.items() <= has.items()
            if not stuck:
                assert has == wanted
                (status,) = [s for s in self.client.stream.status() if s.type_url == type_url] or [None]
                assert status is None or status.state == "SYNCED"
        before = len(self.client.inbox)
        assert self.client.stream.on_update() == ()
        assert len(self.client.inbox) == before

    @rule()
    def reconnect_sends_nothing_equal(self) -> None:
        self.settle()
        had = {type_url: dict(names) for type_url, names in self.client.has.items()}
        self.client = connected(self.store, self.client.has)
        for push in self.client.inbox:
            assert not push.versions.items() & had[push.type_url].items()

    @invariant()
    def one_wildcard_push_at_a_time(self) -> None:
        for type_url in (CDS, LDS):
            waiting = [p for p in self.client.inbox if p.type_url == type_url]
            assert len(waiting) <= 1


TestDelivering = Delivering.TestCase


PROXIES = st.integers(0, 1)


class InCompany(RuleBasedStateMachine):
    """Of two proxies with the same views each is told what it would be told alone: beside each a twin does the same
    on a store of its own. They refuse, lag, come again, and have resources of their own, each in its own time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stores = [ViewStore("run") for _ in range(3)]
        self.pairs = [self.pair(number, {}) for number in range(2)]
        self.settle()

    def pair(self, number: int, known: dict[str, dict[str, str]]) -> tuple[Client, Client]:
        refuses = BAD if number else "3"
        together, alone = self.stores[0], self.stores[number + 1]
        return connected(together, known, refuses), connected(alone, known, refuses)

    @rule(changes=CHANGES)
    def change(self, changes) -> None:
        for store in self.stores:
            store.apply(updates_of(changes), since=float(store.batch))
            store.batch += 1
        for pair in self.pairs:
            for client in pair:
                client.look()

    @rule(number=PROXIES, count=st.integers(1, 4))
    def answer(self, number, count) -> None:
        for client in self.pairs[number]:
            for _ in range(min(count, len(client.inbox))):
                client.answer()

    @rule()
    def settle(self) -> None:
        """All answer, but those that read nothing."""
        for client in (each for pair in self.pairs for each in pair if not each.lags):
            for _ in range(200):
                if client.inbox:
                    client.answer()
                elif client.stream.blocked:
                    client.inbox += client.stream.flush(patience_over=True)

    @rule(number=PROXIES)
    def lag(self, number) -> None:
        for client in self.pairs[number]:
            client.lags = not client.lags
            client.look()

    @rule(number=PROXIES)
    def reconnect(self, number) -> None:
        self.pairs[number] = self.pair(number, self.pairs[number][0].has)

    @rule(number=PROXIES, version=st.sampled_from(("1", "2", None)), name=st.sampled_from(("own", "a")))
    def own(self, number, version, name) -> None:
        made = () if version is None else (resource(LDS, name, version),)
        for client in self.pairs[number]:
            client.stream.amend([ViewUpdate("", LDS, made, () if made else (name,))])
            client.look()

    @rule(number=PROXIES)
    def swap_views(self, number) -> None:
        for client in self.pairs[number]:
            client.stream.assign(("y", "x"))
            client.look()

    @rule(number=PROXIES)
    def patience(self, number) -> None:
        for client in self.pairs[number]:
            if client.stream.blocked and not client.lags:
                client.inbox += client.stream.flush(patience_over=True)

    @invariant()
    def as_alone(self) -> None:
        for together, alone in self.pairs:
            assert [said(push) for push in together.inbox] == [said(push) for push in alone.inbox]
            assert together.has == alone.has
            assert standing(together) == standing(alone)


def said(push: Push) -> tuple[object, ...]:
    return push.type_url, dict(push.versions), push.removed, push.since


def standing(client: Client) -> tuple[object, ...]:
    """Without nonces and revisions, of which a store that serves more has other ones."""
    stream = client.stream
    told = [
        (s.type_url, s.state, s.error, s.rejected, bool(s.sent_nonce), bool(s.acked_nonce)) for s in stream.status()
    ]
    answered = [status.sent_nonce == status.acked_nonce for status in stream.status()]
    return told, answered, stream.level, stream.pending, stream.unacknowledged


TestInCompany = InCompany.TestCase
