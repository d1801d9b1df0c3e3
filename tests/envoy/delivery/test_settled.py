"""Settled, against a real Envoy: builder, delivery and prober as in istiod, a core that is told what to publish."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from plait.api.meta import ObjectKey
from plait.delivery.settled.prober import ProbeError, probe
from plait.proxy.envoy import run_envoy
from plait.xds.carriage import Carried
from plait.xds.resource import CDS, EDS, LDS, RDS, ViewUpdate

pytestmark = pytest.mark.envoy


def key(name: str) -> ObjectKey:
    return ObjectKey("VirtualService", "shop", name)


class Core:
    """Publishes to the one view `out` what it is given."""

    def __init__(self) -> None:
        self.updates, self.carries, self.all = [], (), {}

    def apply(self, changes, *, patient) -> None:  # noqa: ARG002
        for update in changes:
            self.updates.append(update)
            for each in update.upserts:
                self.all[each.type_url, each.name] = each

    held = frozenset()

    def release(self, _keys) -> None:
        pass

    def attach(self, _node):
        return ("out",)

    def detach(self, _node) -> None:
        pass

    def moved(self):
        return ()

    def taking(self):
        updates, self.updates = self.updates, []
        return tuple(updates)

    def carried(self):
        carried, self.carries = self.carries, ()
        return carried

    def concerned(self, _key):
        return frozenset({"out"})

    def problems_of(self, _key):
        return ()

    def path_of(self, _key, _type_url, _name, _version=""):
        return "spec.http[0]"

    def origin_of(self, _type_url, _name, _version=""):
        return tuple(str(key(name)) for name in ("other", "web"))

    def refused(self, _type_url, _resources, _reason):
        return ""


class Mesh:
    """istiod's two halves in one loop, and a folder with backends a and b."""

    def __init__(self, folder: Path, make) -> None:
        self.folder, self.make = folder, make
        self.core, self.refusals = Core(), []
        self.control = make.control(self.core, refused=self.refusals.append)
        self.words, self.settling, self.builder = self.control.words, self.control.settling, self.control.builder
        self.generations = {}

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.sock")

    def publish(self, *names: str, contents=(), removed=()) -> int:
        """New generations of these objects, which bring `contents`."""
        updates = [ViewUpdate("out", t, (self.make.resource(t, c),)) for t, c in contents]
        updates += [ViewUpdate("out", t, (), (name,)) for t, name in removed]
        for name in names:
            self.generations[name] = self.generations.get(name, 0) + 1
        views = frozenset({"out"}) if updates else frozenset()
        self.core.carries += tuple(Carried(key(name), self.generations[name], views) for name in names)
        self.builder.apply(updates, endpoints_only=False)
        return self.generations[names[0]] if names else 0

    async def fresh(self):
        """A first generation for the proxy that is connected now."""
        generation = self.publish(
            "web", contents=[(RDS, self.make.routes("80", "b")), (RDS, self.make.routes("80", "a"))]
        )
        return await self.words.until("web", "Settled", generation)

    def shop(self) -> None:
        make = self.make
        contents = [(t, c) for n in "ab" for t, c in ((CDS, make.cluster(n)), (EDS, make.endpoints(n, self.path(n))))]
        contents += [(LDS, make.listener("inbox", self.path("in"), "80")), (RDS, make.routes("80", "a"))]
        self.publish("web", contents=contents)

    @contextlib.asynccontextmanager
    async def envoy(self, *, workers: int = 1, address: str = ""):
        boot = self.make.bootstrap(self.folder, self.builder.port)
        boot["node"]["id"] = boot["node"]["id"].replace("10.0.0.1", address or self.make.address())
        self.make.probed(boot, self.path("admin"))
        more = ("--drain-time-s", "1")
        async with run_envoy(boot, self.folder, concurrency=workers, ready=60, more=more) as running:
            yield running


@pytest.fixture
async def mesh(make):
    with tempfile.TemporaryDirectory(prefix="set") as name:
        made = Mesh(Path(name), make)
        backends = [await make.answer(made.folder / f"{each}.sock", each) for each in "ab"]
        async with made.control.running():
            made.shop()
            made.builder.synced()
            await made.control.serving()
            yield made
        for backend in backends:
            backend.close()
            await backend.wait_closed()


async def test_an_object_is_settled_when_the_data_plane_has_it(mesh):
    async with mesh.envoy():
        first = await mesh.fresh()
        assert (first.proxies, first.acknowledged, first.settled) == (1, 1, 1)
        for round_ in range(20):
            target = "ba"[round_ % 2]
            generation = mesh.publish("web", contents=[(RDS, mesh.make.routes("80", target))])
            await mesh.words.until("web", "Settled", generation)
            assert await mesh.make.ask(Path(mesh.path("in"))) == f"200 {target}"
        before = mesh.settling.probes
        generation = mesh.publish("web")
        assert (await mesh.words.until("web", "Settled", generation)).proxies == 0
        assert mesh.settling.probes == before


async def test_every_worker_is_asked(mesh):
    async with mesh.envoy(workers=3):
        await mesh.fresh()
        (workers,) = mesh.settling._workers.values()
        assert workers == 3
        generation = mesh.publish("web", contents=[(RDS, mesh.make.routes("80", "b"))])
        await mesh.words.until("web", "Settled", generation)
        answers = await asyncio.gather(*(mesh.make.ask(Path(mesh.path("in"))) for _ in range(20)))
        assert set(answers) == {"200 b"}


async def test_a_listener_that_waits_for_its_routes_is_warming(mesh):
    async with mesh.envoy():
        await mesh.fresh()
        # Its routes never come: Envoy acknowledges the listener at once and holds it back.
        generation = mesh.publish("web", contents=[(LDS, mesh.make.listener("late", mesh.path("late"), "81"))])
        found = await mesh.words.until("web", "Warming", generation)
        assert (found.acknowledged, found.warming, found.settled) == (1, 1, 0)
        mesh.publish(contents=[(RDS, mesh.make.routes("81", "b"))])
        await mesh.words.until("web", "Settled", generation)
        assert await mesh.make.ask(Path(mesh.path("late"))) == "200 b"


async def test_a_refused_object_does_not_hold_up_the_others_of_its_push(mesh):
    async with mesh.envoy():
        await mesh.fresh()
        bad = mesh.make.listener("bad", mesh.path("bad"), "80")
        bad["listener_filters"] = [{"name": "no.such.filter"}]
        generation = mesh.publish("web", contents=[(LDS, bad)])
        mesh.publish("good", contents=[(RDS, mesh.make.routes("80", "b"))])
        found = await mesh.words.until("web", "Rejected", generation)
        assert (found.rejected, found.proxies, found.blame.path) == (1, 1, "spec.http[0]")
        assert "no.such.filter" in found.blame.message
        await mesh.words.until("good", "Settled", 1)
        assert await mesh.make.ask(Path(mesh.path("in"))) == "200 b"
        # Of the objects that are in the resource only the one that changed it is blamed.
        assert [refusal.origins for refusal in mesh.refusals] == [(str(key("web")),)]
        generation = mesh.publish("web", contents=[(LDS, mesh.make.listener("bad", mesh.path("bad"), "80"))])
        await mesh.words.until("web", "Settled", generation)


async def test_a_proxy_without_its_port_is_told_and_one_that_goes_leaves_the_count(mesh, make):
    probed = make.address()
    with socket.create_server((probed, 15004), reuse_port=False):
        async with mesh.envoy(address=probed):
            generation = mesh.publish("web", contents=[(RDS, mesh.make.routes("80", "b"))])
            found = await mesh.words.until("web", "ProbeFailed", generation)
            assert (found.proxies, found.acknowledged, found.settled) == (1, 1, 0)
            assert "15004" in found.examples[0]
            assert await mesh.make.ask(Path(mesh.path("in"))) == "200 b"
        assert (await mesh.words.until("web", "Settled", generation)).proxies == 0


async def test_without_the_secret_the_probe_says_nothing(mesh):
    async with mesh.envoy():
        await mesh.fresh()
        (door,) = mesh.settling._doors.values()
        for path in (
            "/",
            "/token",
            "/stats",
            f"/{'x' * len(door.secret)}/token",
            f"/{door.secret}/",
            f"/{door.secret}",
        ):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                await asyncio.to_thread(urllib.request.urlopen, f"http://{door.address}:{door.port}{path}", timeout=60)
        with pytest.raises(ProbeError, match="Connect"):
            await probe(type(door)(address=door.address, port=1, secret=door.secret), "x")
