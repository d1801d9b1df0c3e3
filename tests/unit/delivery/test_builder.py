"""The builder between a core and a delivery process, both small fakes."""

from __future__ import annotations

import asyncio

import pytest

from plait.delivery.builder import Builder
from plait.delivery.debounce import Debounce
from plait.delivery.frames import (
    Alike,
    Assign,
    Certified,
    Certify,
    Connected,
    Counters,
    Disconnected,
    Drop,
    Fill,
    Progress,
    Refused,
    Serve,
    Serving,
)
from plait.delivery.pieces import updates_of
from plait.delivery.standing import TypeStatus
from plait.delivery.store import ViewStore
from plait.delivery.wire import Caller, encode_element
from plait.mesh.node import ProxyNode
from plait.xds.resource import CDS, RDS, Resource, ViewUpdate

SHARED = b"shared" * 99


def cluster(name, version="1"):
    return Resource(CDS, name, version, encode_element(type_url=CDS, name=name, version=version, value=b""))


class Core:
    """Each change is a (view, name, version); a proxy sees the view of its namespace."""

    def __init__(self):
        self.world, self.live, self.updates, self.relocated = {}, {}, [], []
        self.held = frozenset()
        self.released = []
        self.carries = ()
        self.origins = None

    def release(self, keys):
        self.released += keys
        self.held -= frozenset(keys)

    def apply(self, changes, *, patient):  # noqa: ARG002
        for view, name, version in changes:
            self.world.setdefault(view, {})[name] = version
            if view in self.live:
                self.updates.append(ViewUpdate(view, CDS, (cluster(name, version),)))

    def attach(self, node):
        if self.live.get(node.namespace, 0) == 0:
            everything = tuple(cluster(*pair) for pair in self.world.get(node.namespace, {}).items())
            self.updates.append(ViewUpdate(node.namespace, CDS, everything))
        self.live[node.namespace] = self.live.get(node.namespace, 0) + 1
        return (node.namespace,)

    def detach(self, node):
        self.live[node.namespace] -= 1
        if not self.live[node.namespace]:
            del self.live[node.namespace]

    def moved(self):
        moved, self.relocated = tuple(self.relocated), []
        return moved

    def taking(self):
        updates, self.updates = tuple(self.updates), []
        return updates

    def carried(self):
        carried, self.carries = self.carries, ()
        return carried

    def path_of(self, _key, _type_url, _name, _version=""):
        return "spec.trafficPolicy"

    def refused(self, _type_url, resources, _reason):
        return "EnvoyFilter/shop/f" if ("patched", "") in resources else ""

    def origin_of(self, _type_url, name, _version=""):
        return (f"DestinationRule/shop/{name}",) if self.origins is None else self.origins.get(name, ())


class Outlet:
    def __init__(self):
        self.frames, self.closed = [], asyncio.Event()
        self._some = asyncio.Event()

    def post(self, frame):
        self.frames.append(frame)
        self._some.set()

    async def posted(self):
        while not self.frames:
            self._some.clear()
            await self._some.wait()

    async def drain(self):
        pass

    def close(self):
        self.closed.set()

    def take(self):
        frames, self.frames = self.frames, []
        return [
            (
                type(f).__name__,
                [(u.view, *(f"{r.name}={r.version}" for r in u.upserts)) for u in f.updates],
                *((f.assigns,) if f.assigns else ()),
            )
            if isinstance(f, Fill)
            else f
            for f in frames
        ]


def connected(number, pod="a-1", namespace="shop"):
    node = ProxyNode(kind="sidecar", ip="10.0.0.1", pod=pod, namespace=namespace)
    return Connected(number, Caller(node=node, version="0.1.0"))


@pytest.fixture
def refusals():
    return []


@pytest.fixture
def core():
    return Core()


@pytest.fixture
async def builder(core, refusals):
    return Builder(core, refused=refusals.append, debounce=Debounce(quiet=0.001, limit=0.01), keep=0.0)


@pytest.fixture
def outlet():
    return Outlet()


async def test_nobody_is_served_before_the_first_full_state(builder, outlet):
    builder.connect(outlet)
    builder.apply([("shop", "a", "1")], endpoints_only=False)
    assert outlet.take() == []
    builder.synced()
    builder.synced()
    assert outlet.take() == [Serve()]
    assert not builder.ready
    builder.receive(Serving(15010))
    assert builder.ready


def authority(domain="cluster.local"):
    return Certify(certificate=b"C", key=b"very secret", chain=b"", roots=b"R", domains=(domain,))


async def test_the_authority_comes_before_anything_is_served_and_again_to_a_new_process(outlet):
    builder = Builder(Core(), refused=print, secure=True)
    builder.certify(authority())
    builder.synced()
    builder.connect(outlet)
    assert outlet.take() == [authority(), Serve()]
    builder.receive(Serving(15010))
    assert not builder.ready
    builder.receive(Serving(15012, secure=True))
    assert builder.ready
    assert (builder.port, builder.secure_port) == (15010, 15012)
    builder.certify(authority("other"))
    assert outlet.take() == [authority("other")]
    builder.disconnect()
    assert not builder.ready
    builder.connect(outlet)
    assert outlet.take() == [authority("other"), Serve()]


async def test_counts_of_signing_requests_go_on_over_a_restart(builder, outlet):
    builder.connect(outlet)
    builder.receive(Certified(asked=3, issued=2))
    builder.receive(Certified(asked=5, issued=3))
    builder.disconnect()
    builder.connect(outlet)
    builder.receive(Certified(asked=1, issued=1))
    assert builder.totals.requests == {"asked": 6, "issued": 4, "unauthenticated": 0, "unreadable": 0, "refused": 0}


def test_a_key_is_not_shown():
    assert "secret" not in repr(authority())
    assert "secret" not in str([authority()])


async def test_a_proxy_gets_its_views_before_it_is_assigned_them(builder, outlet):
    builder.apply([("shop", "a", "1")], endpoints_only=False)
    builder.synced()
    builder.connect(outlet)
    outlet.take()
    builder.receive(connected(7))
    assert outlet.take() == [("Fill", [("shop", "a=1")]), Assign(7, ("shop",))]
    builder.receive(connected(8, "a-2"))
    assert outlet.take() == [Assign(8, ("shop",))]


async def test_changes_are_published_when_due(builder, outlet):
    builder.synced()
    builder.connect(outlet)
    builder.receive(connected(1))
    outlet.take()
    async with asyncio.timeout(60):
        task = asyncio.create_task(builder.publishing())
        builder.apply([("shop", "a", "1")], endpoints_only=True)
        await outlet.posted()
        assert outlet.frames[0].since is not None
        assert outlet.take() == [("Fill", [("shop", "a=1")])]
        for version in "234":
            builder.apply([("shop", "a", version)], endpoints_only=False)
        await outlet.posted()
        task.cancel()
    assert builder.mirror.view("shop").head(CDS).resources["a"].version == "4"


async def test_a_new_delivery_process_is_told_everything(builder, outlet):
    builder.apply([("shop", "a", "1"), ("shop", "b", "1")], endpoints_only=False)
    builder.synced()
    builder.connect(outlet)
    builder.receive(Serving(1))
    builder.receive(connected(1))
    builder.disconnect()
    assert not builder.ready
    assert len(builder.proxies) == 0
    fresh = Outlet()
    builder.connect(fresh)
    assert fresh.take() == [("Fill", [("shop", "a=1", "b=1")]), Serve()]
    assert builder.totals.deliveries == 2


async def test_a_proxy_that_comes_back_soon_finds_its_views_ready(core, refusals, outlet):
    builder = Builder(core, refused=refusals.append, keep=30.0)
    builder.synced()
    builder.connect(outlet)
    builder.receive(connected(1))
    builder.receive(Disconnected(1))
    builder.receive(connected(2))
    assert not [frame for frame in outlet.frames if isinstance(frame, Drop)]
    assert core.live == {"shop": 2}


async def test_views_without_proxies_are_dropped_and_complete_when_they_return(builder, core, outlet):
    builder.apply([("shop", "a", "1")], endpoints_only=False)
    builder.synced()
    builder.connect(outlet)
    builder.receive(connected(1))
    builder.receive(connected(2, "a-2"))
    builder.receive(Disconnected(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert core.live == {"shop": 1}
    builder.receive(Disconnected(2))
    while core.live:
        await asyncio.sleep(0)
    assert outlet.frames[-1] == Drop(("shop",))
    outlet.take()
    builder.receive(connected(3))
    assert outlet.take() == [("Fill", [("shop", "a=1")]), Assign(3, ("shop",))]


async def test_a_proxy_that_belongs_elsewhere_now_is_moved(builder, core, outlet):
    builder.synced()
    builder.connect(outlet)
    builder.receive(connected(1))
    outlet.take()
    (proxy,) = builder.proxies
    core.relocated.append((proxy.caller.node, ("shop/labelled",)))
    core.updates.append(ViewUpdate("shop/labelled", CDS, (cluster("z"),)))
    builder.receive(connected(2, "b-1", "other"))
    assert outlet.take() == [
        ("Fill", [("shop/labelled", "z=1"), ("other",)], (Assign(1, ("shop/labelled",)),)),
        Drop(("shop",)),
        Assign(2, ("other",)),
    ]
    assert proxy.views == ("shop/labelled",)


async def test_statuses_become_syncz(builder, outlet):
    builder.synced()
    builder.connect(outlet)
    builder.receive(connected(1))
    status = TypeStatus(
        type_url=CDS, state="SYNCED", sent_nonce="n2", sent_version=2, acked_nonce="n2", acked_version=2
    )
    counters = Counters({CDS: 2}, {}, (1,) + (0,) * 14, 0.001)
    builder.receive(Progress((Alike((status,), 0, (1, 99)),), counters))
    builder.receive(Progress((), Counters({CDS: 3}, {CDS: 1}, (2,) + (0,) * 14, 0.002)))
    (proxy,) = builder.proxies.syncz(istiod="istiod-1", version="x")
    assert proxy["proxy"] == "a-1.shop"
    assert proxy["istio_version"] == "0.1.0"
    assert (proxy["cluster_sent"], proxy["cluster_acked"]) == ("n2", "n2")
    assert proxy["plait"]["types"]["cds"]["status"] == "SYNCED"
    assert builder.totals.pushes == {CDS: 3}
    assert builder.totals.rejects == {CDS: 1}
    assert builder.totals.convergence[0] == 2


async def test_totals_go_on_counting_after_a_restart_of_delivery(builder, outlet):
    builder.connect(outlet)
    builder.receive(Progress((), Counters({CDS: 5})))
    builder.disconnect()
    builder.connect(outlet)
    builder.receive(Progress((), Counters({CDS: 2})))
    assert builder.totals.pushes == {CDS: 7}


async def test_a_refusal_names_its_objects(builder, outlet, refusals):
    builder.synced()
    builder.connect(outlet)
    builder.receive(connected(1))
    builder.receive(Refused(1, CDS, ("a",), "no"))
    assert [(r.proxy, r.names, r.origins) for r in refusals] == [("a-1.shop", ("a",), ("DestinationRule/shop/a",))]


async def test_a_port_that_somebody_else_has_takes_no_patch_out_of_service(builder, outlet, refusals):
    builder.synced()
    builder.connect(outlet)
    builder.receive(connected(1))
    builder.receive(Refused(1, CDS, ("patched",), "no such field"))
    builder.receive(Refused(1, CDS, ("patched",), "cannot bind '0.0.0.0:15001': Address already in use"))
    assert [refusal.withdrawn for refusal in refusals] == [True, False]


async def test_of_a_slower_proxy_the_objects_are_named_too(builder, core, outlet, refusals):
    """When the first has refused, what it refused is taken out of service, and nothing is made from it any more."""
    builder.synced()
    builder.connect(outlet)
    builder.receive(connected(1))
    builder.receive(connected(2, "a-2"))
    builder.receive(Refused(1, CDS, ("a",), "no", ("1",)))
    core.origins = {}
    builder.receive(Refused(2, CDS, ("a",), "no", ("1",)))
    builder.receive(Refused(2, CDS, ("a",), "no", ("2",)))
    assert [(r.proxy, r.origins, r.paths) for r in refusals] == [
        ("a-1.shop", ("DestinationRule/shop/a",), ("spec.trafficPolicy",)),
        ("a-2.shop", ("DestinationRule/shop/a",), ("spec.trafficPolicy",)),
        ("a-2.shop", (), ()),
    ]


async def test_a_reconnected_proxy_is_listed_once(builder, outlet):
    builder.synced()
    builder.connect(outlet)
    builder.receive(connected(1))
    builder.receive(connected(2))
    assert len(builder.proxies.syncz(istiod="i", version="v")) == 1
    assert builder.proxies.find("a-1.shop").connection == 2
    assert builder.proxies.find("sidecar~10.0.0.1~a-1.shop~shop.svc.cluster.local").connection == 2
    assert builder.proxies.find("b-1.shop") is None


async def test_delivery_that_does_not_read_is_replaced(core, refusals):
    class Stuck(Outlet):
        async def drain(self):
            await asyncio.Event().wait()

    builder = Builder(core, refused=refusals.append, stuck=0.01)
    stuck = Stuck()
    builder.synced()
    builder.connect(stuck)
    builder.receive(connected(1))
    task = asyncio.create_task(builder.publishing())
    builder.apply([("shop", "a", "1")], endpoints_only=True)
    async with asyncio.timeout(60):
        await stuck.closed.wait()
    task.cancel()


async def test_what_waits_for_its_other_half_waits_no_longer_than_patience(core, refusals, outlet):
    now = [100.0]
    builder = Builder(core, refused=refusals.append, patience=2.0, clock=lambda: now[0])
    builder.synced()
    builder.connect(outlet)
    builder.receive(connected(1))
    outlet.take()
    core.held = frozenset({"route"})
    builder.apply([], endpoints_only=False)
    now[0] = 101.0
    core.held = frozenset({"route", "rule"})
    builder.apply([("shop", "a", "1")], endpoints_only=False)
    async with asyncio.timeout(60):
        task = asyncio.create_task(builder.publishing())
        await outlet.posted()
        assert outlet.take() == [("Fill", [("shop", "a=1")])], "what needs nobody does not wait"
        assert core.released == []
        now[0] = 102.0
        builder.apply([], endpoints_only=False)
        while not core.released:
            await asyncio.sleep(0)
        task.cancel()
    assert core.released == ["route"]


async def test_a_new_process_is_told_of_resources_in_parts_as_they_are():
    tables = {f"v{n}": Resource(RDS, "80", str(n), (b"head%d" % n, SHARED, b"end")) for n in range(20)}
    builder = Builder(Core(), refused=lambda _: None)
    builder.mirror.apply([ViewUpdate(view, RDS, (table,)) for view, table in tables.items()])
    outlet, told = Outlet(), ViewStore("delivery")
    builder.connect(outlet)
    for frame in outlet.frames:
        told.apply(updates_of(frame, told))
    assert {view.name: view.head(RDS).resources["80"] for view in told.views()} == tables
    assert not any(SHARED in frame.fresh for frame in outlet.frames), "it is in the first views' already"
