"""A small mesh as the core would hand it over, and a client that keeps what it is sent as Envoy does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from plait.delivery.store import Push, ViewStore
from plait.delivery.stream import ProxyStream
from plait.delivery.wire import Request, encode_element
from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, Resource, ViewUpdate

SHORT = {"cds": CDS, "eds": EDS, "lds": LDS, "rds": RDS, "ecds": ECDS}


def resource(type_url: str, name: str, content: str = "1") -> Resource:
    """A resource whose version is the hash of its content."""
    version = hashlib.sha1(f"{name}{content}".encode()).hexdigest()[:8]
    encoded = encode_element(type_url=type_url, name=name, version=version, value=content.encode())
    return Resource(type_url, name, version, encoded)


def update(view: str, type_url: str, *upserts: str, removed: tuple[str, ...] = ()) -> ViewUpdate:
    """`name` or `name=content` per resource."""
    made = (resource(type_url, *(text.split("=", 1))) for text in upserts)
    return ViewUpdate(view, type_url, tuple(made), removed)


@dataclass
class Shop:
    """A store with one view `out` and a stream on it."""

    store: ViewStore = field(default_factory=lambda: ViewStore("run"))
    stream: ProxyStream = field(init=False)

    def __post_init__(self) -> None:
        self.stream = ProxyStream(self.store)

    def have(self, type_url: str, *upserts: str, removed: tuple[str, ...] = (), view: str = "out") -> None:
        self.store.apply([update(view, type_url, *upserts, removed=removed)], since=1.0)

    def assign(self, *views: str) -> list[str]:
        return texts(self.stream.on_assign(views or ("out",)))

    def ask(self, type_url: str, *subscribe: str, versions: dict[str, str] | None = None, **more: object) -> list[str]:
        request = Request(type_url=type_url, subscribe=subscribe, initial_versions=versions or {}, **more)  # type: ignore[arg-type]
        return texts(self.stream.on_request(request))

    def change(self, type_url: str, *upserts: str, removed: tuple[str, ...] = ()) -> list[str]:
        self.have(type_url, *upserts, removed=removed)
        return texts(self.stream.on_update())

    def ack(self, type_url: str, error: str | None = None) -> list[str]:
        """Acknowledge the oldest outstanding push of a type."""
        nonce = self.stream._types[type_url].outstanding[0].push.nonce
        return texts(self.stream.on_request(Request(type_url=type_url, nonce=nonce, error=error)))

    def settle(self) -> list[str]:
        """Acknowledge everything, over and over; what was sent meanwhile."""
        sent = []
        while busy := [t for t, s in self.stream._types.items() if s.outstanding]:
            for type_url in busy:
                sent += self.ack(type_url)
        return sent

    def start(self) -> None:
        """A fresh proxy with everything subscribed and acknowledged."""
        self.assign()
        for type_url in (CDS, EDS, LDS, RDS):
            names = self.store.view("out").head(type_url).resources if type_url in {EDS, RDS} else ()
            self.ask(type_url, *names)
            self.settle()

    def status(self) -> dict[str, tuple[str, str]]:
        names = {url: short for short, url in SHORT.items()}
        return {names[s.type_url]: (s.state, s.error) for s in self.stream.status()}


def texts(pushes: tuple[Push, ...]) -> list[str]:
    """Each response as `cds +a +b -c`, read back from its bytes."""
    return [text(push.body) for push in pushes]


def text(body: bytes) -> str:
    names = {url: short for short, url in SHORT.items()}
    response = DeltaDiscoveryResponse.FromString(body)
    assert response.nonce
    assert all(r.resource.type_url == response.type_url for r in response.resources)
    parts = [names[response.type_url], *(f"+{r.name}" for r in response.resources)]
    return " ".join([*parts, *(f"-{name}" for name in response.removed_resources)])


@pytest.fixture
def shop() -> Shop:
    """Two services, one route table, one listener."""
    made = Shop()
    made.have(CDS, "a", "b")
    made.have(EDS, "a", "b")
    made.have(LDS, "80")
    made.have(RDS, "80")
    return made


@pytest.fixture
def empty() -> Shop:
    """No configuration at all."""
    return Shop()
