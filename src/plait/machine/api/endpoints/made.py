"""Endpoints as they follow from EndpointSlices: to be read, listed and watched."""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from plait.machine.api.objects import metadata
from plait.machine.api.store import Change, Entry, Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plait.machine.api.registry import Collection
    from plait.machine.api.store import Store

Json = dict[str, Any]

PLURAL: Final = "endpoints"
SLICES: Final = ("discovery.k8s.io", "endpointslices")
SERVICES: Final = ("", "services")
SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
#: Who makes slices of Endpoints that somebody wrote, as in Kubernetes.
MIRRORING: Final = "endpointslicemirroring-controller.k8s.io"


#: Slices have no room for it elsewhere: who owns which fields of the Endpoints that somebody wrote, as JSON.
OWNERS: Final = "plait.internal/endpoints-managed-fields"


def is_mirrored(slice_: Json) -> bool:
    """Whether a slice was made of Endpoints that somebody wrote."""
    return bool((metadata(slice_).get("labels") or {}).get(MANAGED_BY) == MIRRORING)


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
        return max(self._store.floor(SLICES), self._store.floor(SERVICES))

    def entries(self, _: Collection, namespace: str = "", name: str = "") -> Iterator[Entry]:
        """See Source; with a `name` those of one Service."""
        slices: dict[Key, list[Json]] = defaultdict(list)
        for entry in self._store.entries(SLICES, namespace):
            if (key := _service_of(entry)) is not None and key.name == (name or key.name):
                slices[key].append(entry.obj)
        for key, parts in sorted(slices.items()):
            if (made := _made(key, self._store.get(SERVICES, key), parts)) is not None:
                yield made

    def slices(self, key: Key) -> dict[Key, Entry]:
        """The slices of one Service."""
        return {e.key: e for e in self._store.entries(SLICES, key.namespace) if _service_of(e) == key}

    def changes(self, _: Collection, after: int) -> list[Change]:
        """See Source. Several changes of the same Endpoints are one."""
        services: dict[Key, list[Change]] = defaultdict(list)
        slices: dict[Key, list[Change]] = defaultdict(list)
        for change in self._store.changes(SERVICES, after):
            services[change.entry.key].append(change)
        for change in self._store.changes(SLICES, after):
            for key in {_service_of(each) for each in (change.old, change.entry) if each is not None}:
                if key is not None:
                    slices[key].append(change)
        made = (self._change(key, services.get(key, []), slices.get(key, [])) for key in {**services, **slices})
        return sorted((change for change in made if change is not None), key=lambda change: change.version)

    def _change(self, key: Key, services: list[Change], slices: list[Change]) -> Change | None:
        version = max(change.version for change in (*services, *slices))
        service = self._store.get(SERVICES, key)
        parts = self.slices(key)
        old_service, old_parts = services[0].old if services else service, dict(parts)
        for change in reversed(slices):
            old_parts.pop(change.entry.key, None)
            if change.old is not None and _service_of(change.old) == key:
                old_parts[change.old.key] = change.old
        old, new = (
            _made(key, of, (each[name].obj for name in sorted(each)))
            for of, each in ((old_service, old_parts), (service, parts))
        )
        if new is None:
            return None if old is None else Change("DELETED", version, _as_of(old, version), old)
        if old is not None and _told(old) == _told(new):
            return None
        return Change("ADDED" if old is None else "MODIFIED", version, _as_of(new, version), old)

    async def wait(self, _: Collection, seconds: float) -> None:
        """See Source."""
        await self._store.wait_for_any((SLICES, SERVICES), seconds)


def _service_of(entry: Entry) -> Key | None:
    """The Service that a slice belongs to."""
    name = (metadata(entry.obj).get("labels") or {}).get(SERVICE_NAME, "")
    return Key(entry.key.namespace, name) if name else None


def _told(entry: Entry) -> tuple[Any, ...]:
    """What of Endpoints can change."""
    meta = metadata(entry.obj)
    return entry.obj["subsets"], meta.get("labels"), meta.get("annotations"), meta.get("managedFields")


def _made(key: Key, service: Entry | None, parts: Iterable[Json]) -> Entry | None:
    parts = list(parts)
    if not parts or (service is None and not any(map(is_mirrored, parts))):
        return None
    return _entry(key, endpoints(key, service.obj if service is not None else None, parts))


def _entry(key: Key, obj: Json) -> Entry:
    return Entry(key=key, version=int(metadata(obj)["resourceVersion"]), obj=obj, raw=_encoded(obj))


def _as_of(entry: Entry, version: int) -> Entry:
    """With the version of a change, from which a watcher can go on."""
    return _entry(entry.key, {**entry.obj, "metadata": {**metadata(entry.obj), "resourceVersion": str(version)}})


def endpoints(key: Key, service: Json | None, slices: Iterable[Json]) -> Json:
    """The Endpoints of a Service from its slices, as Kubernetes' controller would write them. Pure.

    Those that somebody wrote have the labels and annotations that they were given, and need no Service.
    """
    slices = sorted(slices, key=lambda each: str(metadata(each)["name"]))
    written = next(filter(is_mirrored, slices), None)
    origin = metadata(written if written is not None else service or {})
    newest = max((int(metadata(each)["resourceVersion"]) for each in slices), default=0)
    made: Json = {
        "name": key.name,
        "namespace": key.namespace,
        "uid": str(uuid.uuid5(uuid.UUID(origin["uid"]), PLURAL)),
        "resourceVersion": str(newest),
        "creationTimestamp": origin["creationTimestamp"],
    }
    if labels := {k: v for k, v in (origin.get("labels") or {}).items() if k not in {SERVICE_NAME, MANAGED_BY}}:
        made["labels"] = labels
    if written is not None:
        annotations = dict(origin.get("annotations") or {})
        if owners := annotations.pop(OWNERS, ""):
            made["managedFields"] = msgspec.json.decode(owners)
        if annotations:
            made["annotations"] = annotations
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
    ordered = subsets.items() if written is not None else sorted(subsets.items())
    kept = [_filled(subset) for _, subset in ordered]
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
