"""A Kubernetes API in memory, with versions, watches, conflicts and faults, and a kubelet that makes pods ready."""

# ruff: noqa: ARG002, A002  (the fake has the client's signatures)
from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import pytest

from plait.kube.client import Event, Listing
from plait.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Gone, NotFound, Unreachable
from plait.kube.kinds import (
    CONFIGMAP,
    DEPLOYMENT,
    ENDPOINTSLICE,
    EVENT,
    JOB,
    NAMESPACE,
    POD,
    REPLICASET,
    SERVICE,
    SERVICEACCOUNT,
    Kind,
)
from plait.kube.reflect import Ref, ref_of
from plait.machine.controllers.run import Controllers

SERVED = (NAMESPACE, SERVICEACCOUNT, CONFIGMAP, EVENT, SERVICE, POD, REPLICASET, DEPLOYMENT, JOB, ENDPOINTSLICE)


def fail(kind: type[ApiError], code: int, reason: str, message: str = "") -> ApiError:
    return kind({"code": code, "reason": reason, "message": message or reason})


@dataclass
class FakeApi:
    """What `Writes` and `reflect` need of a client. With a seed, everything takes its own random number of steps."""

    seed: int | None = None
    conflicts: float = 0.0
    lost_answers: float = 0.0
    objects: dict[tuple[Kind, Ref], dict] = field(default_factory=dict)
    version: int = 0
    floor: int = 0
    epoch: int = 0
    log: list[tuple[int, Kind, Event]] = field(default_factory=list)
    writes: list[tuple[str, Kind, str]] = field(default_factory=list)
    refuse: Callable[[str, Kind, dict], ApiError | None] = lambda *_: None
    checks: list[Callable[[], None]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    broken: list[BaseException] = field(default_factory=list)
    waiting_at: dict[Kind, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    # what tests read and do

    def all(self, kind: Kind) -> list[dict]:
        return [obj for (each, _), obj in sorted(self.objects.items(), key=lambda item: item[0][1]) if each == kind]

    def find(self, kind: Kind, name: str, namespace: str = "shop") -> dict | None:
        return self.objects.get((kind, Ref(namespace if kind.namespaced else "", name)))

    async def until(self, what: Callable[[], object]) -> None:
        try:
            async with asyncio.timeout(60), self.changed:
                await self.changed.wait_for(lambda: self.broken or what())
        except TimeoutError:
            raise AssertionError(f"never came true: {[(k.kind, r.name) for k, r in self.objects]}") from None
        if self.broken:
            raise self.broken[0]

    async def rest(self) -> None:
        """Until every watch has delivered all there is, no controller has anything to do now or soon, and nothing
        of it has changed for some steps.
        """
        quiet = 0
        async with asyncio.timeout(60):
            while quiet < 50:
                # Watches are opened again, and refused writes repeated, after times that are real.
                await asyncio.sleep(0 if quiet else 0.001)
                quiet = quiet + 1 if self._all_known() and not self._work() else 0

    def _all_known(self) -> bool:
        return all(at == (self.epoch, self.version) for at in self.waiting_at.values())

    def _work(self) -> bool:
        soon = asyncio.get_running_loop().time() + 5.0
        return any(
            not each.queue.idle or any(timer.when() < soon for timer in each.queue._timers.values())
            for each in self.controllers.all
        )

    async def edit(self, kind: Kind, name: str, change: Callable[[dict], object], namespace: str = "shop") -> dict:
        while True:
            obj = copy.deepcopy(self.find(kind, name, namespace))
            assert obj is not None, name
            change(obj)
            try:
                return await self.replace(kind, obj)
            except (Conflict, Unreachable):
                continue

    async def set_status(self, kind: Kind, name: str, namespace: str = "shop", **status: object) -> None:
        obj = copy.deepcopy(self.find(kind, name, namespace))
        self._write("status", kind, obj | {"status": (obj.get("status") or {}) | status}, subresource="status")
        await self._tell()

    async def restart(self) -> None:
        """Break every watch and forget the history."""
        self.version += 1000
        self.floor = self.version
        self.epoch += 1
        self.log.clear()
        await self._tell()

    # the client

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> dict:
        await self._pause()
        obj = self.objects.get((kind, Ref(namespace or "", name)))
        if obj is None:
            raise fail(NotFound, 404, "NotFound", name)
        return copy.deepcopy(obj)

    async def list(self, kind, namespace=None, *, labels=None, fields=None, metadata_only=False) -> Listing:
        await self._pause()
        items = [obj for obj in self.all(kind) if not namespace or obj["metadata"]["namespace"] == namespace]
        listing = Listing(copy.deepcopy(items), str(self.version))
        await self._pause()
        return listing

    async def watch(
        self,
        kind,
        namespace=None,
        *,
        resource_version,
        labels=None,
        fields=None,
        metadata_only=False,
        timeout_seconds=300,
    ) -> AsyncIterator[Event]:
        since, epoch = int(resource_version), self.epoch
        if since < self.floor:
            raise fail(Gone, 410, "Expired")
        while True:
            async with self.changed:
                self.waiting_at[kind] = epoch, since
                await self.changed.wait_for(lambda seen=since: epoch != self.epoch or self.version > seen)
            if epoch != self.epoch:
                raise Unreachable.because("fake", ConnectionError("cut"), sent=True)
            # The log is in order of versions: only its end is new.
            news = []
            for version, each, event in reversed(self.log):
                if version <= since:
                    break
                if each == kind:
                    news.append((version, event))
            since = self.version
            for _, event in reversed(news):
                await self._pause()
                if epoch != self.epoch:
                    raise Unreachable.because("fake", ConnectionError("cut"), sent=True)
                yield Event(event.type, copy.deepcopy(event.object))

    async def create(self, kind: Kind, obj: dict) -> dict:
        return await self._do("create", kind, copy.deepcopy(obj))

    async def replace(self, kind: Kind, obj: dict, *, subresource: str | None = None) -> dict:
        return await self._do("replace", kind, copy.deepcopy(obj), subresource=subresource)

    async def patch(self, kind, name, namespace, body, *, type="merge", subresource=None) -> dict:
        key = kind, Ref(namespace or "", name)
        await self._pause()
        if key not in self.objects:
            raise fail(NotFound, 404, "NotFound", name)
        before = self.objects[key]
        wanted_uid = (body.get("metadata") or {}).get("uid", before["metadata"]["uid"])
        if wanted_uid != before["metadata"]["uid"]:
            raise fail(Conflict, 409, "Conflict", "uid")
        body = copy.deepcopy(body)
        if type == "strategic" and "ownerReferences" in body["metadata"]:
            owners = {owner["uid"]: owner for owner in before["metadata"].get("ownerReferences") or ()}
            for owner in body["metadata"]["ownerReferences"]:
                if owner.pop("$patch", None) == "delete":
                    owners.pop(owner["uid"], None)
                else:
                    owners[owner["uid"]] = owner
            body["metadata"]["ownerReferences"] = list(owners.values())
        checks_version = "resourceVersion" in (body.get("metadata") or {})
        obj = merge(before, body)
        if not checks_version:
            obj["metadata"].pop("resourceVersion")
        return await self._do("patch", kind, obj, subresource=subresource)

    async def delete(self, kind, name, namespace=None, *, uid=None, grace_seconds=None, propagation=None) -> dict:
        await self._pause()
        key = kind, Ref(namespace or "", name)
        obj = self.objects.get(key)
        if obj is None:
            raise fail(NotFound, 404, "NotFound", name)
        if uid is not None and uid != obj["metadata"]["uid"]:
            raise fail(Conflict, 409, "Conflict", "uid")
        self.writes.append(("delete", kind, name))
        obj = copy.deepcopy(obj)
        held = (
            (kind == POD and obj["spec"].get("nodeName") and grace_seconds != 0)
            or (kind == NAMESPACE and obj["spec"].get("finalizers"))
            or obj["metadata"].get("finalizers")
        )
        if held:
            obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            obj = self._store(kind, obj, "MODIFIED")
        else:
            obj = self._store(kind, obj, None)
        await self._tell()
        await self._lose_answer()
        return copy.deepcopy(obj) if held or kind == POD else {"kind": "Status", "status": "Success"}

    async def request(self, method: str, path: str, *, accept: str | None = None) -> bytes:
        groups: dict[str, dict[str, list]] = {}
        for kind in SERVED:
            if bool(kind.group) == (path == "/apis"):
                groups.setdefault(kind.group, {}).setdefault(kind.version, []).append(
                    {
                        "resource": kind.plural,
                        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
                        "scope": "Namespaced" if kind.namespaced else "Cluster",
                        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
                    }
                )
        items = [
            {"metadata": {"name": name}, "versions": [{"version": v, "resources": r} for v, r in versions.items()]}
            for name, versions in groups.items()
        ]
        return msgspec.json.encode({"kind": "APIGroupDiscoveryList", "items": items})

    # inside

    async def _do(self, verb: str, kind: Kind, obj: dict, subresource: str | None = None) -> dict:
        await self._pause()
        if verb != "create" and self.chance.random() < self.conflicts:
            raise fail(Conflict, 409, "Conflict", "injected")
        if (error := self.refuse(verb, kind, obj)) is not None:
            raise error
        answer = self._write(verb, kind, obj, subresource=subresource)
        await self._tell()
        await self._lose_answer()
        await self._pause()
        return copy.deepcopy(answer)

    def _write(self, verb: str, kind: Kind, obj: dict, *, subresource: str | None = None) -> dict:
        meta = obj["metadata"]
        if verb == "create":
            return self._make(kind, obj)
        key = kind, Ref(meta.get("namespace") or "", meta["name"])
        before = self.objects.get(key)
        if before is None:
            raise fail(NotFound, 404, "NotFound", meta["name"])
        if meta.get("resourceVersion", before["metadata"]["resourceVersion"]) != before["metadata"]["resourceVersion"]:
            raise fail(Conflict, 409, "Conflict", meta["name"])
        if subresource == "status":
            obj = before | {"status": obj["status"]}
        elif "status" in before:
            obj = obj | {"status": before["status"]}
        obj = copy.deepcopy(obj)
        obj["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        obj["metadata"]["generation"] = before["metadata"]["generation"]
        if obj == before:
            return before
        if obj.get("spec") != before.get("spec"):
            obj["metadata"]["generation"] += 1
        self.writes.append((verb, kind, meta["name"]))
        gone = obj["metadata"].get("deletionTimestamp") and not (
            obj["metadata"].get("finalizers") or obj.get("spec", {}).get("finalizers") or kind == POD
        )
        return self._store(kind, obj, None if gone else "MODIFIED")

    def _make(self, kind: Kind, obj: dict) -> dict:
        meta = obj["metadata"]
        if "name" not in meta:
            meta["name"] = f"{meta['generateName']}{self.version:05d}"
        namespace = self.objects.get((NAMESPACE, Ref("", meta.get("namespace") or "")))
        if kind.namespaced and (namespace is None or namespace["metadata"].get("deletionTimestamp")):
            raise fail(Forbidden, 403, "Forbidden", f"namespace {meta['namespace']} is being terminated")
        if (kind, ref_of(obj)) in self.objects:
            raise fail(AlreadyExists, 409, "AlreadyExists", meta["name"])
        meta |= {
            "uid": f"u{self.version}",
            "generation": 1,
            "creationTimestamp": f"2026-01-01T00:00:{self.version:06d}Z",
        }
        if kind == NAMESPACE:
            obj["spec"] = {"finalizers": ["kubernetes"]}
        obj |= {"apiVersion": kind.api_version, "kind": kind.kind}
        self.writes.append(("create", kind, meta["name"]))
        return self._store(kind, obj, "ADDED")

    def _store(self, kind: Kind, obj: dict, event: str | None) -> dict:
        self.version += 1
        obj = copy.deepcopy(obj)
        obj["metadata"]["resourceVersion"] = str(self.version)
        if event is None:
            del self.objects[kind, ref_of(obj)]
        else:
            self.objects[kind, ref_of(obj)] = obj
        self.log.append((self.version, kind, Event(event or "DELETED", obj)))
        for check in self.checks:
            try:
                check()
            except AssertionError as error:
                self.broken.append(error)
        return obj

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _pause(self) -> None:
        steps = 0 if self.seed is None else self.chance.choice((0, 0, 1, 2, 5, 20))
        for _ in range(steps):
            await asyncio.sleep(0)

    async def _lose_answer(self) -> None:
        if self.chance.random() < self.lost_answers:
            raise Unreachable.because("fake", ConnectionError("lost"), sent=True)


def merge(target: dict, patch: dict) -> dict:
    result = copy.deepcopy(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merge(result.get(key) or {}, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


class Kubelet:
    """Gives pods an address and makes them ready, unless their image is bad; ends those that are to end."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self._address = 0
        self.holds_deletions = False

    async def run(self) -> None:
        api = self._api
        while True:
            async with api.changed:
                await api.changed.wait_for(self._todo)
            for pod in self._todo():
                await api._pause()
                await self._one(pod)

    def _todo(self) -> list[dict]:
        return [pod for pod in self._api.all(POD) if self._ends(pod) or self._begins(pod)]

    @staticmethod
    def _begins(pod: dict) -> bool:
        return not pod["spec"].get("nodeName") and (pod.get("status") or {}).get("phase") != "Failed"

    def _ends(self, pod: dict) -> bool:
        return bool(pod["metadata"].get("deletionTimestamp")) and not self.holds_deletions

    async def _one(self, pod: dict) -> None:
        api, ref = self._api, ref_of(pod)
        now = api.objects.get((POD, ref))
        if now is None:
            return
        if now["metadata"].get("deletionTimestamp"):
            if self._ends(now):
                api._store(POD, now, None)
                await api._tell()
            return
        if not self._begins(now):
            return
        now = copy.deepcopy(now)
        self._address += 1
        now["spec"]["nodeName"] = "plait"
        api._store(POD, now, "MODIFIED")
        ready = "bad" not in now["spec"]["containers"][0]["image"]
        conditions = [
            {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ]
        status = {"phase": "Running", "podIP": f"10.42.0.{self._address}", "conditions": conditions}
        await api.set_status(POD, ref.name, ref.namespace, **status)


@pytest.fixture
def cluster() -> Callable[..., object]:
    """`async with cluster(...) as api`: the API with namespace `shop`, controllers and a kubelet."""

    @asynccontextmanager
    async def run(
        *, kubelet: bool = True, api: FakeApi | None = None, patience: float = 0.2, **options: object
    ) -> AsyncIterator[FakeApi]:
        made = api or FakeApi(**options)
        if not made.find(NAMESPACE, "shop"):
            made._write("create", NAMESPACE, {"metadata": {"name": "shop"}})
        started = asyncio.Event()
        made.controllers = Controllers(made, clock=now, patience=patience)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(made.controllers.run(started.set))]
            made.kubelet = Kubelet(made)
            if kubelet:
                running.append(tasks.create_task(made.kubelet.run()))
            async with asyncio.timeout(60):
                await started.wait()
            try:
                yield made
            finally:
                for task in running:
                    task.cancel()
        if made.broken:
            raise made.broken[0]

    return run


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def make_api() -> type[FakeApi]:
    return FakeApi


@pytest.fixture
def deployment() -> Callable[..., dict]:
    def make(name: str = "web", *, image: str = "web:1", replicas: int = 3, **spec: object) -> dict:
        labels = {"app": name}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "containers": [
                            {"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}
                        ]
                    },
                },
            }
            | spec,
        }

    return make


@pytest.fixture
def service() -> Callable[..., dict]:
    def make(name: str = "web", **spec: object) -> dict:
        return {
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {
                "selector": {"app": name},
                "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
            }
            | spec,
        }

    return make
