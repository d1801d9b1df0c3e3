"""Writing to the API so that the cache knows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from plait.kube.errors import NotFound
from plait.kube.reflect import Source

if TYPE_CHECKING:
    from plait.kube.kinds import Kind
    from plait.machine.controllers.cache import Cache

Object = dict[str, Any]


class Api(Source, Protocol):
    """The part of `kube.client.Client` that the controllers use."""

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        """See `Client.get`."""
        ...

    async def create(self, kind: Kind, obj: Object) -> Object:
        """See `Client.create`."""
        ...

    async def replace(self, kind: Kind, obj: Object, *, subresource: str | None = None) -> Object:
        """See `Client.replace`."""
        ...

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        body: Object,
        *,
        type: Literal["merge", "strategic"] = "merge",  # noqa: A002
        subresource: str | None = None,
    ) -> Object:
        """See `Client.patch`."""
        ...

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> Object:
        """See `Client.delete`."""
        ...

    async def request(self, method: str, path: str, *, accept: str | None = None) -> bytes:
        """See `Client.request`."""
        ...


class Writes:
    """Creates, patches and deletes, each noted in the cache. All raise ApiError."""

    def __init__(self, api: Api, cache: Cache) -> None:
        self.api = api
        self._cache = cache

    async def fetch(self, kind: Kind, name: str, namespace: str | None) -> Object:
        """Read past the cache, into it; raises NotFound."""
        with self._cache.writing(kind) as flight:
            found = await self.api.get(kind, name, namespace)
            flight.put(found)
        return found

    async def create(self, kind: Kind, obj: Object) -> Object:
        """Create; raises AlreadyExists."""
        with self._cache.writing(kind) as flight:
            made = await self.api.create(kind, obj)
            flight.put(made)
        return made

    async def merge(self, kind: Kind, obj: Object, change: Object, *, subresource: str | None = None) -> Object:
        """Merge `change` into `obj`; raises Conflict if somebody else changed it since."""
        meta = obj["metadata"]
        guard = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        body = change | {"metadata": (change.get("metadata") or {}) | guard}
        return await self._patch(kind, obj, body, subresource=subresource)

    async def merge_lists(self, kind: Kind, obj: Object, change: Object) -> Object:
        """Merge by list keys (strategic), whatever its version but only into the object with this uid."""
        body = change | {"metadata": (change.get("metadata") or {}) | {"uid": obj["metadata"]["uid"]}}
        return await self._patch(kind, obj, body, strategic=True)

    async def replace(self, kind: Kind, obj: Object, *, subresource: str | None = None) -> Object:
        """PUT; raises Conflict if somebody else changed it since."""
        with self._cache.writing(kind) as flight:
            now = await self.api.replace(kind, obj, subresource=subresource)
            flight.put(now)
        return now

    async def status(self, kind: Kind, obj: Object, status: Object) -> Object:
        """PUT the status."""
        return await self.replace(kind, obj | {"status": status}, subresource="status")

    async def delete(self, kind: Kind, obj: Object, *, background: bool = False) -> None:
        """Delete exactly this object; that it is gone already is fine."""
        meta = obj["metadata"]
        with self._cache.writing(kind) as flight:
            try:
                answer = await self.api.delete(
                    kind,
                    meta["name"],
                    meta.get("namespace"),
                    uid=meta["uid"],
                    propagation="Background" if background else None,
                )
            except NotFound:
                flight.gone(obj)
                return
            if answer.get("kind") == kind.kind:
                flight.put(answer)
            else:
                flight.gone(obj)

    async def _patch(
        self, kind: Kind, obj: Object, body: Object, *, subresource: str | None = None, strategic: bool = False
    ) -> Object:
        meta = obj["metadata"]
        with self._cache.writing(kind) as flight:
            try:
                now = await self.api.patch(
                    kind,
                    meta["name"],
                    meta.get("namespace"),
                    body,
                    type="strategic" if strategic else "merge",
                    subresource=subresource,
                )
            except NotFound:
                flight.gone(obj)
                raise
            flight.put(now)
        return now
