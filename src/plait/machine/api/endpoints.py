"""Endpoints: the older form of EndpointSlices, made of them when somebody asks.

kubectl before 1.31 describes a Service by its Endpoints, and people type `kubectl get endpoints`. Nothing here needs
them, so they are neither stored nor watched: a Service's change is written once, in its slices.
"""

from __future__ import annotations

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
from plait.machine.api.store import Entry, Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aiohttp import web

    from plait.machine.api.resources import Call, Engine

Json = dict[str, Any]

PLURAL: Final = "endpoints"
_SLICES: Final = ("discovery.k8s.io", "endpointslices")
_SERVICES: Final = ("", "services")
_SERVICE_NAME: Final = "kubernetes.io/service-name"
_READ_ONLY: Final = (
    "Endpoints are shown here, not written and not watched: use EndpointSlices of discovery.k8s.io/v1, "
    f"with the label {_SERVICE_NAME}"
)


class EndpointsRequests:
    """Answers get and list of Endpoints."""

    def __init__(self, engine: Engine) -> None:
        self._world = engine.world

    async def answer(self, call: Call) -> web.Response:
        """Raises StatusError: 405 for all but get and list."""
        check_fields(call.request.query.get("fieldSelector", ""), call.resource)
        options = ReadOptions.parse(call.request.query)
        if call.request.method not in {"GET", "HEAD"} or options.watch or call.path.subresource:
            raise StatusError(405, "MethodNotAllowed", _READ_ONLY)
        accepted = negotiate(
            call.request.headers.get("Accept", ""),
            allowed=("Table", "PartialObjectMetadata" if call.path.name else "PartialObjectMetadataList"),
        )
        include = call.request.query.get("includeObject", "") or "Metadata"
        renderer = Renderer(resource=call.resource, accepted=accepted, include=include)
        now = self._world.clock()
        if call.path.name:
            for entry in self._entries(call.path.namespace, call.path.name):
                return json_response(renderer.one(entry.obj, now=now), as_yaml=accepted.yaml)
            raise not_found(call.resource.kind, call.path.name)
        found = [entry for entry in self._entries(call.path.namespace) if options.matches(entry.obj)]
        meta = {"resourceVersion": str(self._world.store.version)}
        return json_response(renderer.many(found, meta, now=now), as_yaml=accepted.yaml)

    def _entries(self, namespace: str, name: str = "") -> Iterator[Entry]:
        slices: dict[Key, list[Json]] = defaultdict(list)
        for entry in self._world.store.entries(_SLICES, namespace):
            service = (metadata(entry.obj).get("labels") or {}).get(_SERVICE_NAME, "")
            if service and service == (name or service):
                slices[Key(entry.key.namespace, service)].append(entry.obj)
        for key, parts in sorted(slices.items()):
            service = self._world.store.get(_SERVICES, key)
            if service is not None:
                obj = endpoints(service.obj, parts)
                version = int(metadata(obj)["resourceVersion"])
                yield Entry(key=key, version=version, obj=obj, raw=_encoded(obj))


def endpoints(service: Json, slices: Iterable[Json]) -> Json:
    """The Endpoints of a Service from its slices, as Kubernetes' controller would write them. Pure."""
    slices = list(slices)
    meta = metadata(service)
    newest = max((int(metadata(each)["resourceVersion"]) for each in slices), default=0)
    made: Json = {
        "name": meta["name"],
        "namespace": meta["namespace"],
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
