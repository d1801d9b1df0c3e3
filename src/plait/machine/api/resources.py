"""HTTP methods on collections and objects of any kind: list, watch, get, create, replace, patch, delete."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import web

from plait.machine.api.admission import PendingError
from plait.machine.api.aside import LARGE, Aside
from plait.machine.api.bodies import media_type, read_body, read_raw
from plait.machine.api.deleting import delete_options
from plait.machine.api.errors import StatusError, bad_request, method_not_allowed, not_found
from plait.machine.api.field_labels import check_fields
from plait.machine.api.listing import list_page
from plait.machine.api.negotiation import negotiate
from plait.machine.api.patching import APPLY, read_apply, read_patch
from plait.machine.api.query import ReadOptions, WriteOptions
from plait.machine.api.rendering import Renderer
from plait.machine.api.responses import error_response, json_response
from plait.machine.api.shaping import Write
from plait.machine.api.store import Key
from plait.machine.api.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.machine.api.admission import User
    from plait.machine.api.deleting import Deleter
    from plait.machine.api.hooks.contract import World
    from plait.machine.api.negotiation import Accepted
    from plait.machine.api.paths import ResourcePath
    from plait.machine.api.registry import Resource
    from plait.machine.api.schema import Schemas
    from plait.machine.api.writing import Writer

Json = dict[str, Any]
_Written = TypeVar("_Written")
#: Another writer may change the object while admission waits, and with it the question; a large one waits often.
_PATIENCE: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The parts every request needs. `monotonic` gives seconds for deadlines."""

    world: World
    schemas: Schemas
    writer: Writer
    deleter: Deleter
    monotonic: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authorized request on a resource."""

    request: web.Request
    path: ResourcePath
    resource: Resource
    user: User

    @property
    def manager(self) -> str:
        """The client by its User-Agent."""
        return self.request.headers.get("User-Agent", "")

    def write(self) -> Write:
        """How the request wants to write."""
        return Write(user=self.user, options=WriteOptions.parse(self.request.query, user_agent=self.manager))


class ResourceRequests:
    """Answers requests on collections, objects and their `status`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._world = engine.world
        self._turn = asyncio.Lock()

    async def answer(self, call: Call) -> web.StreamResponse:
        """The answer to a request; raises StatusError."""
        method = call.request.method
        if method in {"GET", "HEAD"}:
            if call.path.name:
                return self._get(call)
            return await self._list_or_watch(call)
        if method == "DELETE":
            return await self._delete(call)
        write = call.write()
        try:
            match method:
                case "POST" if not call.path.name:
                    return await self._create(call, write)
                case "PUT" if call.path.name:
                    return await self._replace(call, write)
                case "PATCH" if call.path.name:
                    return await self._patch(call, write)
        except StatusError as error:
            return error_response(error, write.warnings)
        raise method_not_allowed()

    def render(self, call: Call, obj: Json, *, status: int = 200, write: Write | None = None) -> web.Response:
        """One object in the form the client asked for."""
        accepted = negotiate(call.request.headers.get("Accept", ""), allowed=("Table", "PartialObjectMetadata"))
        body = self._renderer(call, accepted).one(obj, now=self._world.clock())
        return json_response(body, status=status, warnings=write.warnings if write else (), as_yaml=accepted.yaml)

    def _renderer(self, call: Call, accepted: Accepted) -> Renderer:
        include = call.request.query.get("includeObject", "") or "Metadata"
        return Renderer(resource=call.resource, accepted=accepted, include=include)

    def _get(self, call: Call) -> web.Response:
        entry = self._world.store.get(call.resource.collection, Key(call.path.namespace, call.path.name))
        if entry is None:
            raise not_found(call.resource.kind, call.path.name)
        return self.render(call, entry.obj)

    async def _list_or_watch(self, call: Call) -> web.StreamResponse:
        options = _selection(call)
        accept = call.request.headers.get("Accept", "")
        if options.watch:
            accepted = negotiate(accept.replace(";stream=watch", ""), allowed=("Table", "PartialObjectMetadata"))
            return await self._watch(call, options, accepted)
        accepted = negotiate(accept, allowed=("Table", "PartialObjectMetadataList"))
        page = list_page(self._world.store, call.resource.collection, call.path.namespace, options)
        body = self._renderer(call, accepted).many(page.entries, page.metadata, now=self._world.clock())
        return json_response(body, as_yaml=accepted.yaml)

    async def _watch(self, call: Call, options: ReadOptions, accepted: Accepted) -> web.StreamResponse:
        watch = Watch(
            store=self._world.store,
            renderer=self._renderer(call, accepted),
            options=options,
            namespace=call.path.namespace,
            monotonic=self._engine.monotonic,
            now=self._world.clock,
        )
        return await watch.answer(call.request)

    async def _create(self, call: Call, write: Write) -> web.Response:
        body = await read_body(call.request, self._engine.schemas)
        if body.value is None:
            raise bad_request(f"the body must be an object of kind {call.resource.kind.kind}")
        if call.resource.kind.namespaced and not call.path.namespace:
            raise method_not_allowed()
        value = body.value
        write = self._sized(call, write, body.size)

        def create() -> Json:
            return self._engine.writer.create(call.resource, call.path.namespace, value, write, repeated=body.repeated)

        obj = await _admitted(create, write)
        return self.render(call, obj, status=201, write=write)

    async def _replace(self, call: Call, write: Write) -> web.Response:
        body = await read_body(call.request, self._engine.schemas)
        write = self._sized(call, write, body.size)

        def put() -> Json:
            return self._engine.writer.replace(
                call.resource,
                call.path.namespace,
                call.path.name,
                body.value,
                write,
                subresource=call.path.subresource,
                repeated=body.repeated,
            )

        obj = await _admitted(put, write)
        return self.render(call, obj, write=write)

    async def _patch(self, call: Call, write: Write) -> web.Response:
        media = media_type(call.request)
        raw = await read_raw(call.request)
        writer, path = self._engine.writer, call.path
        entry = self._world.store.get(call.resource.collection, Key(path.namespace, path.name))
        write = self._sized(call, write, max(len(raw), len(entry.raw) if entry else 0))
        if media == APPLY:

            def apply() -> tuple[Json, bool]:
                body = write.work("body", raw, lambda: read_apply(raw))
                return writer.apply(call.resource, path.namespace, path.name, body, write, subresource=path.subresource)

            obj, created = await _admitted(apply, write)
            return self.render(call, obj, status=201 if created else 200, write=write)

        def merge() -> Json:
            change = read_patch(call.resource, media, raw, self._engine.schemas)
            return writer.merge(call.resource, path.namespace, path.name, change, write, subresource=path.subresource)

        obj = await _admitted(merge, write)
        return self.render(call, obj, write=write)

    def _sized(self, call: Call, write: Write, size: int) -> Write:
        """The write, with its work done aside where the object is large; those of built-in kinds have other limits."""
        return replace(write, work=Aside(self._turn)) if size >= LARGE and call.resource.kind.custom else write

    async def _delete(self, call: Call) -> web.Response:
        body = await read_body(call.request, self._engine.schemas)
        options = delete_options(body.value, call.request.query)
        if call.path.subresource:
            raise method_not_allowed()
        if call.path.name:
            answer, _ = self._engine.deleter.delete(call.resource, call.path.namespace, call.path.name, options)
            if answer["kind"] == "Status":
                return json_response(answer)
            return self.render(call, answer)
        read = _selection(call)
        entries = self._engine.deleter.delete_collection(call.resource, call.path.namespace, read, options)
        accepted = negotiate(call.request.headers.get("Accept", ""), allowed=("Table", "PartialObjectMetadataList"))
        meta = {"resourceVersion": str(self._world.store.version)}
        return json_response(self._renderer(call, accepted).many(entries, meta, now=self._world.clock()))


async def _admitted(attempt: Callable[[], _Written], write: Write) -> _Written:
    """A write, tried again after admission has found out what it needs. Nothing is stored before it has."""
    said = tuple(write.warnings)
    for _ in range(_PATIENCE):
        try:
            return attempt()
        except PendingError as pending:
            write.warnings.clear()
            write.warnings.update(dict.fromkeys(said))
            await pending.wait()
    return attempt()


def _selection(call: Call) -> ReadOptions:
    """What is to be listed, watched or deleted together; raises 400 for what cannot be selected by."""
    options = ReadOptions.parse(call.request.query)
    check_fields(call.request.query.get("fieldSelector", ""), call.resource)
    return options
