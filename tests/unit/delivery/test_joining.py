"""Proxies that register themselves, against a small API: entries come, are taken over, and go after a while."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import pytest

from plait.api.workloadentry import HEALTH_ANNOTATION
from plait.delivery.joining import CONNECTED, CONTROLLER, DISCONNECTED, Registrar
from plait.delivery.objects import Objects
from plait.delivery.proxies import Proxy
from plait.delivery.wire import Caller
from plait.kube.errors import AlreadyExists, Invalid, NotFound
from plait.mesh.node import ProxyNode

GROUP = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "WorkloadGroup",
    "metadata": {"name": "store", "namespace": "shop", "uid": "7"},
    "spec": {"metadata": {"labels": {"app": "store"}}, "template": {"ports": {"http": 80}, "serviceAccount": "store"}},
}
NAME = ("WorkloadEntry", "shop", "store-10.42.0.2")


def missing() -> NotFound:
    return NotFound({"code": 404})


class Api:
    """Keeps WorkloadEntries, and tells the registrar of changes as a watch does."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.entries: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.pods = {"istiod-1", "istiod-2"}
        self.registrar: Registrar | None = None
        self.changed = asyncio.Event()
        self.version = 0

    def _put(self, obj: dict[str, Any]) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        meta = obj["metadata"]
        self.entries["WorkloadEntry", meta["namespace"], meta["name"]] = obj
        self._told(meta["namespace"], meta["name"], deepcopy(obj))

    def _told(self, namespace: str, name: str, obj: dict[str, Any] | None) -> None:
        if obj is not None:
            self.objects.put(obj)
        else:
            self.objects.remove("WorkloadEntry", namespace, name)
        if self.registrar is not None:
            self.registrar.take("WorkloadEntry", namespace, name)
        self.changed.set()

    async def get(self, kind: Any, name: str, namespace: str | None = None) -> dict[str, Any]:
        if kind.kind == "Pod":
            if name not in self.pods:
                raise missing()
            return {}
        if (kind.kind, namespace, name) not in self.entries:
            raise missing()
        return self.entries[kind.kind, namespace, name]

    async def create(self, kind: Any, obj: dict[str, Any]) -> dict[str, Any]:
        if (kind.kind, obj["metadata"]["namespace"], obj["metadata"]["name"]) in self.entries:
            raise AlreadyExists({"code": 409})
        self._put(deepcopy(obj))
        return obj

    async def patch(self, kind: Any, name: str, namespace: str | None, body: dict[str, Any]) -> dict[str, Any]:
        obj = deepcopy(await self.get(kind, name, namespace))
        annotations = obj["metadata"].setdefault("annotations", {})
        for key, value in body["metadata"]["annotations"].items():
            if value is None:
                annotations.pop(key, None)
            else:
                annotations[key] = value
        self._put(obj)
        return obj

    async def delete(self, kind: Any, name: str, namespace: str | None = None, **_: Any) -> dict[str, Any]:
        await self.get(kind, name, namespace)
        del self.entries[kind.kind, namespace, name]
        self._told(namespace, name, None)
        return {}

    async def until(self, condition: Any, what: str) -> None:
        try:
            async with asyncio.timeout(60):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pytest.fail(f"not in 60 s: {what}; {self.entries}")

    @property
    def annotations(self) -> dict[str, str]:
        found = self.entries.get(NAME)
        return found["metadata"]["annotations"] if found else {}


class Records:
    def __init__(self) -> None:
        self.said: list[str] = []

    def record(self, obj: Any, *, reason: str, message: str, **_: str) -> None:
        self.said.append(f"{obj['metadata']['name']} {reason} {message}")


@asynccontextmanager
async def registering(api: Api, **more: Any):
    records = Records()
    usual = {"grace": 0.05, "return_time": 3600.0}
    api.registrar = Registrar(api, api.objects, records, istiod="istiod-1", **(usual | more))
    task = asyncio.create_task(api.registrar.run())
    try:
        yield api.registrar, records
    finally:
        task.cancel()
        await asyncio.wait((task,))


def proxy(connection: int, account: str = "store", group: str = "store") -> Proxy:
    node = ProxyNode(
        kind="sidecar", ip="10.42.0.2", pod="vm", namespace="shop", labels=(("v", "1"),), service_account=account
    )
    return Proxy(connection=connection, caller=Caller(node=node, group=group, locality="west/1"), views=())


async def test_a_proxy_that_names_its_group_has_its_entry_until_some_time_after_it_has_gone():
    api, now = Api(), [0.0]
    api.objects.put(GROUP)
    async with registering(api, clock=lambda: now[0]) as (registrar, _):
        registrar.connected(proxy(1))
        await api.until(lambda: api.annotations.get(CONNECTED), "registered")
        entry = api.entries[NAME]
        assert entry["spec"] == {
            "address": "10.42.0.2",
            "labels": {"app": "store", "v": "1"},
            "locality": "west/1",
            "ports": {"http": 80},
            "serviceAccount": "store",
        }
        assert api.annotations[CONTROLLER] == "istiod-1"
        # A second connection of the same proxy, as after a break: the entry stays as long as one is left.
        registrar.connected(proxy(2))
        registrar.disconnected(1)
        assert NAME in api.entries
        registrar.disconnected(2)
        await api.until(lambda: DISCONNECTED in api.annotations, "noted")
        assert CONNECTED not in api.annotations
        now[0] = 1.0
        await api.until(lambda: NAME not in api.entries, "removed")


async def test_a_proxy_that_comes_back_in_time_keeps_its_entry():
    api = Api()
    api.objects.put(GROUP)
    async with registering(api, grace=3600.0) as (registrar, _):
        registrar.connected(proxy(1))
        await api.until(lambda: api.annotations.get(CONNECTED), "registered")
        registrar.disconnected(1)
        await api.until(lambda: DISCONNECTED in api.annotations, "noted")
        registrar.connected(proxy(2))
        await api.until(lambda: api.annotations.get(CONNECTED), "it is back")
        assert DISCONNECTED not in api.annotations


async def test_a_group_that_comes_late_is_waited_for_and_a_foreign_account_is_not_let_in():
    api = Api()
    async with registering(api) as (registrar, records):
        registrar.connected(proxy(1))
        await asyncio.sleep(0)
        assert not api.entries
        api.objects.put(GROUP)
        registrar.take("WorkloadGroup", "shop", "store")
        await api.until(lambda: NAME in api.entries, "registered with the group")
        registrar.disconnected(1)
        await api.until(lambda: NAME not in api.entries, "removed")
        registrar.connected(proxy(2, account="thief"))
        await asyncio.wait_for(_until(lambda: records.said), 60)
        assert "its programs have the service account 'store', this one has 'thief'" in records.said[0]
        assert not api.entries


async def test_why_an_entry_is_refused_is_told_once():
    class Refusing(Api):
        tries = 0

        async def create(self, kind: Any, obj: dict[str, Any]) -> dict[str, Any]:
            self.tries += 1
            if self.tries > 1:
                return await super().create(kind, obj)
            raise Invalid({"code": 422, "message": "metadata.annotations: 'x y' is no name"})

    api = Refusing()
    api.objects.put(GROUP)
    async with registering(api) as (registrar, records):
        registrar.connected(proxy(1))
        await asyncio.wait_for(_until(lambda: records.said), 60)
        registrar.take("WorkloadGroup", "shop", "store")
        await api.until(lambda: NAME in api.entries, "registered once the group is mended")
        (said,) = records.said
        assert said.startswith(
            "store NotRegistered proxy vm at 10.42.0.2 is not registered: its WorkloadEntry is refus"
        )
        assert said.endswith("'x y' is no name")


async def _until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_entries_of_an_istiod_that_is_no_more_go_if_nobody_comes_back():
    api = Api()
    api.objects.put(GROUP)

    def left(name: str, istiod: str) -> None:
        said = {"istio.io/autoRegistrationGroup": "store", CONTROLLER: istiod, CONNECTED: "then"}
        meta = {"name": name, "namespace": "shop", "annotations": said}
        api._put({"apiVersion": GROUP["apiVersion"], "kind": "WorkloadEntry", "metadata": meta, "spec": {}})

    left("store-10.42.0.2", "istiod-0")
    left("store-10.42.0.3", "istiod-0")
    left("store-10.42.0.4", "istiod-2")
    # Of the process before in this very pod.
    left("store-10.42.0.5", "istiod-1")
    api._put(
        {"apiVersion": GROUP["apiVersion"], "kind": "WorkloadEntry", "metadata": {"name": "own", "namespace": "shop"}}
    )
    async with registering(api, return_time=0.05) as (registrar, _):
        registrar.connected(proxy(1))
        registrar.serving()
        for name in ("store-10.42.0.3", "store-10.42.0.5"):
            await api.until(lambda name=name: ("WorkloadEntry", "shop", name) not in api.entries, f"{name} given up")
        await api.until(lambda: api.annotations.get(CONTROLLER) == "istiod-1", "taken over")
        assert {name for _, _, name in api.entries} == {"own", "store-10.42.0.2", "store-10.42.0.4"}


async def test_a_client_that_reports_its_program_has_its_health_count():
    api, heard = Api(), []
    api.objects.put(GROUP)
    async with registering(api, reports=lambda key, fault: heard.append((key.name, fault))) as (registrar, _):
        registrar.connected(proxy(1))
        await api.until(lambda: api.annotations.get(CONNECTED), "registered")
        assert HEALTH_ANNOTATION not in api.annotations
        registrar.reported(1, "starting")
        registrar.reported(1, "")
        registrar.reported(9, "a stranger's")
        await api.until(lambda: api.annotations.get(HEALTH_ANNOTATION) == "true", "it counts")
        assert heard == [("store-10.42.0.2", "starting"), ("store-10.42.0.2", "")]
