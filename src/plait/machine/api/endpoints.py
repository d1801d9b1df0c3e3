"""Endpoints: the older form of EndpointSlices, made of them when somebody asks.

kubectl before 1.31 describes a Service by its Endpoints, and people type `kubectl get endpoints`. Nothing here needs
them, so they are not stored: a Service's change is written once, in its slices. Who watches them is told of those.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from plait.machine.api.errors import StatusError, not_found
from plait.machine.api.field_labels import check_fields
from plait.machine.api.negotiation import negotiate
from plait.machine.api.objects import metadata
from plait.machine.api.query import ReadOptions
from plait.machine.api.rendering import Renderer
from plait.machine.api.responses import json_response
from plait.machine.api.store import Change, Entry, Key
from plait.machine.api.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aiohttp import web

    from plait.machine.api.registry import Collection
    from plait.machine.api.resources import Call, Engine
    from plait.machine.api.store import Store

Json = dict[str, Any]

PLURAL: Final = "endpoints"
_SLICES: Final = ("discovery.k8s.io", "endpointslices")
_SERVICES: Final = ("", "services")
_SERVICE_NAME: Final = "kubernetes.io/service-name"
_READ_ONLY: Final = (
    "Endpoints are shown here, not written: write EndpointSlices of discovery.k8s.io/v1, "
    f"with the label {_SERVICE_NAME}: SERVICE"
)


class EndpointsRequests:
    """Answers get, list and watch of Endpoints."""

    def __init__(self, engine: Engine) -> None:
        self._world = engine.world
        self._monotonic = engine.monotonic
        self._made = MadeEndpoints(engine.world.store)

    async def answer(self, call: Call) -> web.StreamResponse:
        """Raises StatusError: 405 for whatever would write."""
        check_fields(call.request.query.get("fieldSelector", ""), call.resource)
        options = ReadOptions.parse(call.request.query)
        if call.request.method not in {"GET", "HEAD"} or call.path.subresource:
            raise StatusError(405, "MethodNotAllowed", _READ_ONLY)
        one = bool(call.path.name) or options.watch
        accept = call.request.headers.get("Accept", "").replace(";stream=watch", "")
        accepted = negotiate(accept, allowed=("Table", "PartialObjectMetadata" if one else "PartialObjectMetadataList"))
        include = call.request.query.get("includeObject", "") or "Metadata"
        renderer = Renderer(resource=call.resource, accepted=accepted, include=include)
        now = self._world.clock()
        if call.path.name:
            for entry in self._made.entries(_SLICES, call.path.namespace, call.path.name):
                return json_response(renderer.one(entry.obj, now=now), as_yaml=accepted.yaml)
            raise not_found(call.resource.kind, call.path.name)
        if options.watch:
            watch = Watch(
                store=self._made,
                renderer=renderer,
                options=options,
                namespace=call.path.namespace,
                monotonic=self._monotonic,
                now=self._world.clock,
            )
            return await watch.answer(call.request)
        entries = self._made.entries(_SLICES, call.path.namespace)
        found = [entry for entry in entries if options.matches(entry.obj)]
        meta = {"resourceVersion": str(self._world.store.version)}
        return json_response(renderer.many(found, meta, now=now), as_yaml=accepted.yaml)


class MadeEndpoints:
    """The Endpoints of a store as something to watch: a change of a Service or of its slices is one of them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def version(self) -> int:
        """See Source."""
        return self._store.version

    def floor(self, _: Collection) -> int:
        """See Source."""
        return max(self._store.floor(_SLICES), self._store.floor(_SERVICES))

    def entries(self, _: Collection, namespace: str = "", name: str = "") -> Iterator[Entry]:
        """See Source; with a `name` those of one Service."""
        slices: dict[Key, list[Json]] = defaultdict(list)
        for entry in self._store.entries(_SLICES, namespace):
            if (key := _service_of(entry)) is not None and key.name == (name or key.name):
                slices[key].append(entry.obj)
        for key, parts in sorted(slices.items()):
            if (service := self._store.get(_SERVICES, key)) is not None:
                yield _entry(key, endpoints(service.obj, parts))

    def changes(self, _: Collection, after: int) -> list[Change]:
        """See Source. Several changes of the same Endpoints are one."""
        services: dict[Key, list[Change]] = defaultdict(list)
        slices: dict[Key, list[Change]] = defaultdict(list)
        for change in self._store.changes(_SERVICES, after):
            services[change.entry.key].append(change)
        for change in self._store.changes(_SLICES, after):
            for key in {_service_of(each) for each in (change.old, change.entry) if each is not None}:
                if key is not None:
                    slices[key].append(change)
        made = (self._change(key, services.get(key, []), slices.get(key, [])) for key in {**services, **slices})
        return sorted((change for change in made if change is not None), key=lambda change: change.version)

    def _change(self, key: Key, services: list[Change], slices: list[Change]) -> Change | None:
        version = max(change.version for change in (*services, *slices))
        service = self._store.get(_SERVICES, key)
        parts = {e.key: e for e in self._store.entries(_SLICES, key.namespace) if _service_of(e) == key}
        old_service, old_parts = services[0].old if services else service, dict(parts)
        for change in reversed(slices):
            old_parts.pop(change.entry.key, None)
            if change.old is not None and _service_of(change.old) == key:
                old_parts[change.old.key] = change.old
        old, new = _made(key, old_service, old_parts), _made(key, service, parts)
        if new is None:
            return None if old is None else Change("DELETED", version, _as_of(old, version), old)
        if old is not None and old.obj["subsets"] == new.obj["subsets"] and _labels(old) == _labels(new):
            return None
        return Change("ADDED" if old is None else "MODIFIED", version, _as_of(new, version), old)

    async def wait(self, _: Collection, seconds: float) -> None:
        """See Source."""
        await self._store.wait_for_any((_SLICES, _SERVICES), seconds)


def _service_of(entry: Entry) -> Key | None:
    """The Service that a slice belongs to."""
    name = (metadata(entry.obj).get("labels") or {}).get(_SERVICE_NAME, "")
    return Key(entry.key.namespace, name) if name else None


def _labels(entry: Entry) -> Any:
    return metadata(entry.obj).get("labels")


def _made(key: Key, service: Entry | None, parts: Mapping[Key, Entry]) -> Entry | None:
    if service is None or not parts:
        return None
    return _entry(key, endpoints(service.obj, (parts[each].obj for each in sorted(parts))))


def _entry(key: Key, obj: Json) -> Entry:
    return Entry(key=key, version=int(metadata(obj)["resourceVersion"]), obj=obj, raw=_encoded(obj))


def _as_of(entry: Entry, version: int) -> Entry:
    """With the version of a change, from which a watcher can go on."""
    return _entry(entry.key, {**entry.obj, "metadata": {**metadata(entry.obj), "resourceVersion": str(version)}})


def endpoints(service: Json, slices: Iterable[Json]) -> Json:
    """The Endpoints of a Service from its slices, as Kubernetes' controller would write them. Pure."""
    slices = list(slices)
    meta = metadata(service)
    newest = max((int(metadata(each)["resourceVersion"]) for each in slices), default=0)
    made: Json = {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "uid": str(uuid.uuid5(uuid.UUID(meta["uid"]), PLURAL)),
        "resourceVersion": str(newest),
        "creationTimestamp": meta["creationTimestamp"],
    }
    if meta.get("labels"):
        made["labels"] = meta["labels"]
    subsets: dict[bytes, Json] = {}
    for each in slices:
        if each.get("addressType") == "FQDN":
            continue
        ports = [{key: port[key] for key in _PORT if port.get(key)} for port in each.get("ports") or ()]
        subset = subsets.setdefault(_encoded(ports), {"addresses": [], "notReadyAddresses": [], "ports": ports})
        for endpoint in each.get("endpoints") or ():
            ready = (endpoint.get("conditions") or {}).get("ready", True)
            address: Json = {"ip": endpoint["addresses"][0]}
            address |= {key: endpoint[key] for key in ("hostname", "nodeName", "targetRef") if endpoint.get(key)}
            subset["addresses" if ready is not False else "notReadyAddresses"].append(address)
    kept = [_filled(subset) for _, subset in sorted(subsets.items())]
    obj: Json = {"kind": "Endpoints", "apiVersion": "v1", "metadata": made}
    return obj | {"subsets": [each for each in kept if "addresses" in each or "notReadyAddresses" in each]}


_PORT: Final = ("name", "port", "protocol", "appProtocol")


def _filled(subset: Json) -> Json:
    """Without empty lists, and in the order of addresses."""
    return {
        key: value if key == "ports" else sorted(value, key=lambda each: str(each["ip"]))
        for key, value in subset.items()
        if value
    }


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
