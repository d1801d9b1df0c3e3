"""Requests to a Kubernetes API server.

Objects are JSON dictionaries as the API gives them. What a program may rely on:

- connections are kept and reused; one client serves a whole process;
- every request has a time limit, a watch has one of its own;
- only what is safe is repeated: reads, and writes that cannot have reached the server (refused connections,
  429 with a wait). Any other lost write surfaces as `Unreachable`, since whether it happened is unknown;
- failures are `errors.ApiError`, never aiohttp's.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import aiohttp
import msgspec

from plait.kube.access import Access, TokenSource
from plait.kube.backoff import Backoff
from plait.kube.errors import ApiError, TooManyRequests, Unauthorized, Unreachable
from plait.kube.wire import (
    METADATA,
    METADATA_LIST,
    PATCH_TYPES,
    Answer,
    Event,
    Listing,
    Options,
    PatchType,
    lively_socket,
    raise_refusal,
    read_event,
    read_warnings,
    selector_params,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType

    from plait.kube.kinds import Kind

__all__ = ["Answer", "Client", "Event", "Listing", "Object", "PatchType"]

Object = dict[str, Any]

_ATTEMPTS = 3
_PAUSE = Backoff(first=0.05, most=1.0)
_LONGEST_WAIT = 10.0


class Client:
    """An async context manager; see the module."""

    def __init__(self, access: Access, *, user_agent: str = "plait", timeout: float = 30.0) -> None:
        self.access = access
        self._agent = user_agent
        self._timeout = timeout
        self._tokens = TokenSource(access)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Local and in-cluster traffic: compressing costs both ends more than the bytes do.
        headers = {"User-Agent": self._agent, "Accept": "application/json", "Accept-Encoding": "identity"}
        connector = aiohttp.TCPConnector(
            ssl=self.access.tls(), limit=0, keepalive_timeout=75, socket_factory=lively_socket, ttl_dns_cache=60
        )
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # reads

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        """One object; raises NotFound."""
        return await self._object("GET", kind.path(namespace, name))

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> Listing:
        """All objects of a kind, of one namespace if named; `labels` and `fields` are selectors."""
        accept, params = METADATA_LIST if metadata_only else None, selector_params(labels, fields)
        answer = await self._object("GET", kind.path(namespace), params=params, accept=accept)
        items = answer.get("items") or []
        for item in items:
            # A real API server leaves these out of the items of a list.
            item["apiVersion"], item["kind"] = kind.api_version, kind.kind
        return Listing(items, str((answer.get("metadata") or {}).get("resourceVersion") or ""))

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
        timeout_seconds: int = 300,
    ) -> AsyncIterator[Event]:
        """Changes after `resource_version`, bookmarks included, until the server ends the stream.

        Raises Gone when the version is too old, Unreachable when the stream breaks. Close it when leaving early
        (`contextlib.aclosing`).
        """
        params = selector_params(labels, fields) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_seconds),
        }
        limit = aiohttp.ClientTimeout(total=timeout_seconds + self._timeout, sock_connect=self._timeout)
        rest = b""
        try:
            accept = METADATA if metadata_only else None
            path = kind.path(namespace)
            async with self._open("GET", path, params=params, accept=accept, timeout=limit) as response:
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield read_event(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable.because(self.access.server, error, sent=True) from error

    # writes

    async def create(self, kind: Kind, obj: Object) -> Object:
        """Create from `metadata.name` or `generateName`; raises AlreadyExists, Invalid, Forbidden."""
        return await self._object("POST", kind.path(_namespace(kind, obj)), json=obj)

    async def replace(self, kind: Kind, obj: Object, *, subresource: str | None = None) -> Object:
        """PUT the object; with a resourceVersion in it, raises Conflict when that is not the current one."""
        path = kind.path(_namespace(kind, obj), obj["metadata"]["name"], subresource)
        return await self._object("PUT", path, json=obj)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        body: Object | Sequence[Object],
        *,
        type: PatchType = "merge",  # noqa: A002  (kubectl's word)
        subresource: str | None = None,
        field_manager: str | None = None,
        force: bool = False,
    ) -> Object:
        """Change parts of an object; `apply` needs a `field_manager` and creates what is missing."""
        params: dict[str, str] = {}
        if type == "apply":
            params["fieldManager"] = field_manager or self._agent.partition("/")[0]
            params["force"] = "true" if force else "false"
        elif field_manager:
            params["fieldManager"] = field_manager
        return await self._object(
            "PATCH", kind.path(namespace, name, subresource), params=params, json=body, content=PATCH_TYPES[type]
        )

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> Object:
        """Delete, only the object with this `uid` and version if given (else Conflict); raises NotFound."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if given := {key: value for key, value in preconditions.items() if value is not None}:
            options["preconditions"] = given
        if propagation is not None:
            options["propagationPolicy"] = propagation
        return await self._object("DELETE", kind.path(namespace, name), json=options)

    async def request(self, method: str, path: str, **options: Unpack[Options]) -> bytes:
        """Any request; the body of a 2xx answer."""
        return (await self.exchange(method, path, **options)).body

    async def exchange(self, method: str, path: str, **options: Unpack[Options]) -> Answer:
        """Any request; a 2xx answer with its status and the API's warnings."""
        limit = aiohttp.ClientTimeout(total=self._timeout)
        try:
            async with self._open(method, path, timeout=limit, **options) as response:
                warnings = read_warnings(response.headers.getall("Warning", []))
                return Answer(response.status, await response.read(), warnings)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable.because(self.access.server, error, sent=True) from error

    # streams of pods

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str | None = None,
        follow: bool = False,
        previous: bool = False,
        timestamps: bool = False,
        tail: int | None = None,
        since_seconds: int | None = None,
    ) -> AsyncIterator[bytes]:
        """A container's output in pieces as they come; with `follow` until the container ends."""
        params = {key: "true" for key, on in (("follow", follow), ("previous", previous)) if on}
        params |= {"timestamps": "true"} if timestamps else {}
        params |= {"container": container} if container else {}
        params |= {"tailLines": str(tail)} if tail is not None else {}
        params |= {"sinceSeconds": str(since_seconds)} if since_seconds is not None else {}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        limit = aiohttp.ClientTimeout(total=None if follow else self._timeout, sock_connect=self._timeout)
        try:
            async with self._open("GET", path, params=params, accept="text/plain, */*", timeout=limit) as response:
                async for chunk in response.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable.because(self.access.server, error, sent=True) from error

    @asynccontextmanager
    async def websocket(
        self, path: str, *, params: Mapping[str, str], protocols: Sequence[str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket to the API server; raises ApiError when the upgrade is refused."""
        try:
            opened = await self._live().ws_connect(
                self.access.server + path,
                params=params,
                protocols=protocols,
                headers=self._authorization(),
                server_hostname=self.access.server_name,
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            )
        except aiohttp.WSServerHandshakeError as error:
            status = {"code": error.status, "message": f"{path}: {error.message} (HTTP {error.status})"}
            raise ApiError.of(status) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable.because(self.access.server, error, sent=False) from error
        async with opened as stream:
            yield stream

    # the one way out

    async def _object(self, method: str, path: str, **options: Unpack[Options]) -> Object:
        body = await self.request(method, path, **options)
        try:
            answer: Object = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            # After a 2xx: a proxy or a captive portal speaks here, not an API server.
            raise Unreachable.because(f"{self.access.server}{path}", error, sent=True) from error
        return answer

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        content: str = "application/json",
        accept: str | None = None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send, repeat where that is safe, and give the 2xx answer; its body is the caller's."""
        headers = {"Content-Type": content} if json is not None else {}
        if accept is not None:
            headers["Accept"] = accept
        body = msgspec.json.encode(json) if json is not None else None
        attempt = 0
        while True:
            attempt += 1
            pause = _PAUSE.wait(attempt)
            try:
                response = await self._live().request(
                    method,
                    self.access.server + path,
                    params=params,
                    data=body,
                    headers=headers | self._authorization(),
                    timeout=timeout,
                    server_hostname=self.access.server_name,
                )
                if response.status < 300:
                    break
                await raise_refusal(response)
            except aiohttp.ClientConnectorError as error:
                if attempt >= _ATTEMPTS or isinstance(error, aiohttp.ClientSSLError):
                    raise Unreachable.because(self.access.server, error, sent=False) from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if attempt >= _ATTEMPTS or method != "GET" or isinstance(error, TimeoutError):
                    raise Unreachable.because(self.access.server, error, sent=True) from error
            except TooManyRequests as error:
                if attempt >= _ATTEMPTS:
                    raise
                pause = min(error.retry_after or pause, _LONGEST_WAIT)
            except Unauthorized:
                # A rotated token may have been read a moment too early.
                if attempt > 1 or self.access.token_file is None:
                    raise
            await asyncio.sleep(pause)
        try:
            yield response
        finally:
            # Gives a finished connection back to the pool and closes one whose body was left unread.
            response.close()

    def _live(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is closed: use it inside `async with Client(...)`")
        return self._session

    def _authorization(self) -> dict[str, str]:
        token = self._tokens.token()
        return {"Authorization": f"Bearer {token}"} if token else {}


def _namespace(kind: Kind, obj: Object) -> str | None:
    if not kind.namespaced:
        return None
    namespace = obj["metadata"].get("namespace")
    if not namespace:
        raise ValueError(f"{kind.kind} {obj['metadata'].get('name')!r} has no metadata.namespace")
    return str(namespace)
