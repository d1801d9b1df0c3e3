"""Requests on Endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.machine.api.endpoints.made import SLICES, MadeEndpoints
from plait.machine.api.endpoints.mirror import Mirror
from plait.machine.api.errors import method_not_allowed, not_found
from plait.machine.api.field_labels import check_fields
from plait.machine.api.negotiation import negotiate
from plait.machine.api.query import ReadOptions
from plait.machine.api.rendering import Renderer
from plait.machine.api.responses import json_response
from plait.machine.api.watching import Watch

if TYPE_CHECKING:
    from aiohttp import web

    from plait.machine.api.resources import Call, Engine
    from plait.machine.api.shaping import Shaper


class EndpointsRequests:
    """Answers requests on Endpoints."""

    def __init__(self, engine: Engine, shaper: Shaper) -> None:
        self._world = engine.world
        self._monotonic = engine.monotonic
        self._made = MadeEndpoints(engine.world.store)
        self._mirror = Mirror(engine, shaper, self._made)

    async def answer(self, call: Call) -> web.StreamResponse:
        """The answer to a request; raises StatusError."""
        if call.path.subresource:
            raise method_not_allowed()
        check_fields(call.request.query.get("fieldSelector", ""), call.resource)
        options = ReadOptions.parse(call.request.query)
        if call.request.method not in {"GET", "HEAD"}:
            return await self._mirror.answer(call)
        one = bool(call.path.name) or options.watch
        accept = call.request.headers.get("Accept", "").replace(";stream=watch", "")
        accepted = negotiate(accept, allowed=("Table", "PartialObjectMetadata" if one else "PartialObjectMetadataList"))
        include = call.request.query.get("includeObject", "") or "Metadata"
        renderer = Renderer(resource=call.resource, accepted=accepted, include=include)
        now = self._world.clock()
        if call.path.name:
            for entry in self._made.entries(SLICES, call.path.namespace, call.path.name):
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
        entries = self._made.entries(SLICES, call.path.namespace)
        found = [entry for entry in entries if options.matches(entry.obj)]
        meta = {"resourceVersion": str(self._world.store.version)}
        return json_response(renderer.many(found, meta, now=now), as_yaml=accepted.yaml)
