"""Endpoints that somebody writes become EndpointSlices, as Kubernetes' mirroring controller makes them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from plait.machine.api.bodies import media_type, read_body, read_raw
from plait.machine.api.deleting import delete_options
from plait.machine.api.endpoints.made import (
    MANAGED_BY,
    MIRRORING,
    OWNERS,
    SERVICE_NAME,
    SERVICES,
    SLICES,
    endpoints,
    is_mirrored,
)
from plait.machine.api.errors import (
    MODIFIED,
    StatusError,
    already_exists,
    conflict,
    forbidden,
    invalid,
    method_not_allowed,
    not_found,
    success,
)
from plait.machine.api.objects import at_path, copy_json, metadata, name_of
from plait.machine.api.patching import APPLY, read_apply, read_patch
from plait.machine.api.responses import error_response, json_response
from plait.machine.api.schema.fields import FieldError, required
from plait.machine.api.schema.fields import invalid as invalid_field
from plait.machine.api.schema.validation import names
from plait.machine.api.schema.validation.values import port_number
from plait.machine.api.shaping import check_place
from plait.machine.api.store import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from plait.machine.api.endpoints.made import MadeEndpoints
    from plait.machine.api.registry import Resource
    from plait.machine.api.resources import Call, Engine
    from plait.machine.api.shaping import Shaper, Write
    from plait.machine.api.store import Entry

Json = dict[str, Any]

_IPV4: Final = 4
_SELECTED: Final = "its Service has a selector, so its endpoints are the pods that this takes"
_SLICED: Final = "its endpoints are those of EndpointSlices ({names}): change these"


class Mirror:
    """Answers what would write Endpoints."""

    def __init__(self, engine: Engine, shaper: Shaper, made: MadeEndpoints) -> None:
        self._engine = engine
        self._world = engine.world
        self._shaper = shaper
        self._made = made

    async def answer(self, call: Call) -> web.Response:
        """Raises StatusError."""
        method, name = call.request.method, call.path.name
        if method == "DELETE" and name:
            return await self._delete(call)
        write = call.write()
        try:
            match method:
                case "POST" if not name:
                    body = await read_body(call.request, self._engine.schemas)
                    return self._store(call, body.value, write, repeated=body.repeated, old=None)
                case "PUT" if name:
                    body = await read_body(call.request, self._engine.schemas)
                    return self._store(call, body.value, write, repeated=body.repeated, old=self._present(call))
                case "PATCH" if name:
                    return await self._patch(call, write)
        except StatusError as error:
            return error_response(error, write.warnings)
        raise method_not_allowed()

    async def _patch(self, call: Call, write: Write) -> web.Response:
        media, raw = media_type(call.request), await read_raw(call.request)
        change: Callable[[Json], Any]
        if media == APPLY:
            old = self._find(Key(call.path.namespace, call.path.name))
            made = self._shaper.apply(call.resource, old.obj if old is not None else None, read_apply(raw), write)
            return self._store(call, made, write, old=old, applied=True)
        change = read_patch(call.resource, media, raw, self._engine.schemas)
        old = self._present(call)
        return self._store(call, change(copy_json(old.obj)), write, old=old)

    async def _delete(self, call: Call) -> web.Response:
        body = await read_body(call.request, self._engine.schemas)
        options = delete_options(body.value, call.request.query)
        entry = self._present(call)
        self._check_own(call, entry.key)
        uid = metadata(entry.obj)["uid"]
        if options.uid and options.uid != uid:
            raise conflict(call.resource.kind, entry.key.name, "the UID in the precondition is another")
        for key in self._made.slices(entry.key):
            self._engine.deleter.delete(self._slices(), key.namespace, key.name, delete_options({}, call.request.query))
        return json_response(success(name=entry.key.name, kind=call.resource.kind, uid=uid))

    def _store(
        self,
        call: Call,
        body: Any,
        write: Write,
        *,
        old: Entry | None,
        repeated: tuple[str, ...] = (),
        applied: bool = False,
    ) -> web.Response:
        """Make the slices what the Endpoints say; nothing is changed if any of them would be refused.

        What was `applied` says already who owns its fields.
        """
        kind = call.resource.kind
        obj = self._shaper.decode(call.resource, body, write, repeated=repeated)
        check_place(call.resource, obj, call.path.namespace, call.path.name)
        meta = metadata(obj)
        if not meta.get("name"):
            raise invalid(kind, "", [required("metadata.name", "name is required")])
        key = Key(meta["namespace"], meta["name"])
        present = self._find(key)
        if old is None and present is not None:
            raise already_exists(kind, key.name)
        if (
            old is not None
            and meta.get("resourceVersion", metadata(old.obj)["resourceVersion"])
            != (metadata(old.obj)["resourceVersion"])
        ):
            raise conflict(kind, key.name, MODIFIED)
        self._check_own(call, key)
        if errors := list(_faults(obj)):
            raise invalid(kind, key.name, errors)
        if not applied:
            before = old.obj if old is not None else None
            obj = self._shaper.track(call.resource, before, obj, write, sent=obj)
        service = self._world.store.get(SERVICES, key)
        wanted = [*slices_of(obj, service.obj if service is not None else None)]
        there = self._made.slices(key)
        stored = [self._write(call, each, write, there) for each in wanted]
        names = {name_of(each) for each in wanted}
        for gone in sorted(each for each in there if each.name not in names):
            options = delete_options({"dryRun": ["All"]} if write.options.dry_run else {}, {})
            self._engine.deleter.delete(self._slices(), gone.namespace, gone.name, options)
        made = endpoints(key, service.obj if service is not None else None, [_versioned(each) for each in stored])
        return json_response(msgspec.json.encode(made), status=201 if present is None else 200, warnings=write.warnings)

    def _write(self, call: Call, wanted: Json, write: Write, there: dict[Key, Entry]) -> Json:
        key = Key(call.path.namespace, name_of(wanted))
        writer, resource = self._engine.writer, self._slices()
        if key not in there:
            return writer.create(resource, key.namespace, wanted, write)
        return writer.replace(resource, key.namespace, key.name, wanted, write)

    def _check_own(self, call: Call, key: Key) -> None:
        """Whether the Endpoints are what somebody wrote, or may be."""
        service = self._world.store.get(SERVICES, key)
        if service is not None and at_path(service.obj, "spec", "selector"):
            raise forbidden(call.resource.kind, key.name, _SELECTED)
        others = sorted(each.name for each, entry in self._made.slices(key).items() if not is_mirrored(entry.obj))
        if others:
            raise forbidden(call.resource.kind, key.name, _SLICED.format(names=", ".join(others)))

    def _present(self, call: Call) -> Entry:
        entry = self._find(Key(call.path.namespace, call.path.name))
        if entry is None:
            raise not_found(call.resource.kind, call.path.name)
        return entry

    def _find(self, key: Key) -> Entry | None:
        return next(self._made.entries(SLICES, key.namespace, key.name), None)

    def _slices(self) -> Resource:
        found = self._world.registry.find(SLICES[0], "v1", SLICES[1])
        if found is None:
            raise RuntimeError("EndpointSlices are not served")
        return found


def slices_of(obj: Json, service: Json | None = None) -> Iterator[Json]:
    """The slices of written Endpoints: one a subset and family of addresses, at least one. Pure.

    They go with their Service, where there is one.
    """
    meta = metadata(obj)
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k not in {SERVICE_NAME, MANAGED_BY}}
    shared: Json = {
        "namespace": meta["namespace"],
        "labels": {**labels, SERVICE_NAME: meta["name"], MANAGED_BY: MIRRORING},
    }
    annotations = dict(meta.get("annotations") or {})
    annotations.pop(OWNERS, None)
    if owners := meta.get("managedFields"):
        annotations[OWNERS] = msgspec.json.encode(owners).decode()
    if annotations:
        shared["annotations"] = annotations
    if service is not None:
        own = metadata(service)
        shared["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Service", "name": own["name"], "uid": own["uid"], "controller": True}
        ]
    for index, subset in enumerate(obj.get("subsets") or [{}]):
        ports = [{"protocol": "TCP", **port} for port in subset.get("ports") or ()]
        families: dict[int, list[Json]] = {} if subset else {4: []}
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                told = {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}
                endpoint = {"addresses": [address["ip"]], "conditions": {"ready": ready}, **told}
                families.setdefault(ipaddress.ip_address(address["ip"]).version, []).append(endpoint)
        for version, found in sorted(families.items()):
            name = f"{meta['name']}-mirrored-{index}{'' if version == _IPV4 else '-ipv6'}"
            yield {
                "metadata": {**shared, "name": name},
                "addressType": f"IPv{version}",
                "ports": ports,
                "endpoints": found,
            }


def _faults(obj: Json) -> Iterator[FieldError]:
    """What slices could not say, at its place in the Endpoints."""
    for index, subset in enumerate(obj.get("subsets") or ()):
        where = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield required(where, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for place, address in enumerate(subset.get(field) or ()):
                if fault := names.ip(address.get("ip", "")):
                    yield invalid_field(f"{where}.{field}[{place}].ip", address.get("ip", ""), fault)
        for place, port in enumerate(subset.get("ports") or ()):
            yield from port_number(port.get("port"), f"{where}.ports[{place}].port")


def _versioned(obj: Json) -> Json:
    """With a version, which what was only tried has not."""
    return {**obj, "metadata": {"resourceVersion": "0", **metadata(obj)}}
