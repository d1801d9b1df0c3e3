"""Analysis beside the builder: when it works, what it tells, and that it lets everything else have its turn."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from plait.api.meta import ObjectKey
from plait.delivery.analyst import Analyst, Rhythm
from plait.delivery.objects import Objects
from plait.delivery.settled.settling import Settling
from plait.delivery.settled.verdict import Verdict
from plait.xds.engine import Engine, Remove, Upsert

WEB = ObjectKey("VirtualService", "shop", "web")
QUICK = Rhythm(quiet=0.001, most=0.01)


def obj(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    version = "v1" if kind == "Service" else "networking.istio.io/v1"
    meta = {"name": name, "namespace": "shop", "generation": 1, **metadata}
    return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}


def service(name: str) -> dict[str, Any]:
    return obj("Service", name, {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80}]})


def routes(name: str, **metadata: Any) -> dict[str, Any]:
    http = [{"route": [{"destination": {"host": name}}]}]
    return obj("VirtualService", name, {"hosts": [f"{name}.example"], "http": http}, **metadata)


class Mesh:
    """An engine with its analyst, and of whom there was news."""

    def __init__(self, rhythm: Rhythm = QUICK) -> None:
        self.engine, self.news, self.event = Engine(), [], asyncio.Event()
        self.analyst = Analyst(snapshot=self.engine.entry, problems=self.engine.problems_of, rhythm=rhythm)
        self.engine.listen(self.analyst.moved)
        self.analyst.bind(self.hear)

    def hear(self, key: ObjectKey) -> None:
        self.news.append(str(key))
        self.event.set()

    def apply(self, *changes: Any) -> None:
        self.engine.apply(changes)
        self.analyst.take(changes)

    def codes(self, key: ObjectKey = WEB) -> list[str] | None:
        found = self.analyst.findings(key)
        return None if found is None else [one.code for one in found]

    async def until(self, count: int) -> list[str]:
        async with asyncio.timeout(60):
            while len(self.news) < count:
                self.event.clear()
                await self.event.wait()
        return self.news


@contextlib.asynccontextmanager
async def running(mesh: Mesh) -> Any:
    task = asyncio.create_task(mesh.analyst.run())
    yield
    task.cancel()


async def test_news_of_an_object_comes_when_another_changes():
    mesh = Mesh()
    mesh.apply(Upsert(routes("web")), Upsert(service("web")))
    assert mesh.codes() is None
    async with running(mesh):
        mesh.analyst.begin()
        assert await mesh.until(1) == ["VirtualService/shop/web"]
        assert mesh.codes() == []
        mesh.apply(Remove("", "Service", "shop", "web"))
        await mesh.until(2)
        assert mesh.codes() == ["IST0101"]
        # Nothing of it is news when nothing is said: no third time.
        mesh.apply(Upsert(service("other")), Upsert(routes("other")))
        assert (await mesh.until(3))[2:] == ["VirtualService/shop/other"]
        mesh.apply(Remove("networking.istio.io", "VirtualService", "shop", "web"), Upsert(routes("third")))
        assert (await mesh.until(4))[3:] == ["VirtualService/shop/third"]
        assert mesh.codes() == []
        assert mesh.analyst.current.known == 1


async def test_who_asks_is_answered_at_once_by_what_is_so_now():
    mesh = Mesh(Rhythm(quiet=3600, most=3600))
    mesh.analyst.begin()
    mesh.apply(Upsert(routes("web")))
    assert mesh.codes() == ["IST0101"]
    mesh.apply(Upsert(service("web")))
    assert mesh.codes() == []


async def test_a_large_mesh_is_judged_in_slices():
    mesh = Mesh(Rhythm(quiet=0, most=0, slice=0))
    mesh.apply(*(Upsert(routes(f"web{index}")) for index in range(50)))
    turns = 0
    async with running(mesh):
        mesh.analyst.begin()
        async with asyncio.timeout(60):
            while len(mesh.news) < 50:
                await asyncio.sleep(0)
                turns += 1
    # Each object is taken in and judged by itself: others had their turn between.
    assert turns >= 50
    assert mesh.analyst.current.judged == 50


class Words:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def put(self, key: ObjectKey, told: Any) -> None:
        self.told.append((str(key), told.verdict))

    def remove(self, key: ObjectKey) -> None: ...


@pytest.mark.parametrize("kind", ["VirtualService", "ProxyConfig"])
async def test_what_analysis_says_is_told_with_the_verdict_of_that_generation_or_without(kind: str) -> None:
    objects, words = Objects(), Words()
    settling = Settling(Engine(), objects, words)
    key = ObjectKey(kind, "shop", "web")
    settling.refresh(key)
    assert words.told == []
    objects.put(obj(kind, "web", {}))
    settling.refresh(key)
    settling.verdicts[key] = Verdict(generation=1, state="Settled")
    settling.refresh(key)
    objects.put(obj(kind, "web", {}, generation=2))
    settling.refresh(key)
    assert words.told == [(str(key), None), (str(key), settling.verdicts[key]), (str(key), None)]
