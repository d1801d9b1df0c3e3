"""The front door: every request is authenticated, authorized and sent to the part that answers it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from aiohttp import web

from plait.machine.api import discovery
from plait.machine.api.auth.impersonation import acting_user
from plait.machine.api.auth.permissions import PUBLIC_PATHS, Action, may, refusal
from plait.machine.api.endpoints.made import PLURAL as ENDPOINTS
from plait.machine.api.endpoints.requests import EndpointsRequests
from plait.machine.api.errors import (
    StatusError,
    forbidden,
    internal,
    method_not_allowed,
    no_such_resource,
    unauthorized,
)
from plait.machine.api.metrics import GROUP as METRICS
from plait.machine.api.metrics import Metrics
from plait.machine.api.negotiation import negotiate
from plait.machine.api.openapi_v2 import OPENAPI_V2, OPENAPI_V2_TYPE
from plait.machine.api.paths import has_true, parse_path
from plait.machine.api.resources import Call
from plait.machine.api.responses import error_response, json_response, warning
from plait.machine.api.schema import GroupVersion
from plait.machine.api.store import StoreWriteError
from plait.machine.api.streams.logs import serve_log
from plait.machine.api.times import timestamp
from plait.machine.settings import KUBERNETES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plait.machine.api.admission import User
    from plait.machine.api.auth.credentials import Authenticator
    from plait.machine.api.auth.tokens import TokenIssuer
    from plait.machine.api.paths import ResourcePath
    from plait.machine.api.resources import Engine, ResourceRequests
    from plait.machine.api.reviews import Reviews
    from plait.machine.api.streams.node import NodeSocket
    from plait.machine.api.streams.portforward import PortForward
    from plait.machine.api.streams.remote import RemoteCommand
    from plait.machine.api.subresources import Subresources

Json = dict[str, Any]

log = logging.getLogger(__name__)

_FAR_AHEAD = 365 * 86400.0
_ROOTS = ("/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Who answers what."""

    engine: Engine
    resources: ResourceRequests
    subresources: Subresources
    reviews: Reviews
    metrics: Metrics
    endpoints: EndpointsRequests
    authenticator: Authenticator
    issuer: TokenIssuer
    node: NodeSocket
    forward: PortForward
    remote: RemoteCommand
    version: str


class Front:
    """Handles every path."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._registry = parts.engine.world.registry
        sub = parts.subresources
        self._special: dict[tuple[str, str, str], Callable[[Call], Awaitable[web.StreamResponse]]] = {
            ("", "pods", "eviction"): sub.eviction,
            ("", "pods", "binding"): sub.binding,
            ("", "pods", "log"): self._log,
            ("", "pods", "portforward"): self._portforward,
            ("", "pods", "exec"): self._remote,
            ("", "pods", "attach"): self._remote,
            ("", "namespaces", "finalize"): sub.finalize,
            ("", "serviceaccounts", "token"): sub.token,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The answer to any request; refusals become `Status`, mistakes of ours are logged and become a 500."""
        try:
            return await self._route(request)
        except StatusError as error:
            return error_response(error)
        except (ConnectionError, web.HTTPException):
            raise
        except StoreWriteError as error:
            log.warning("%s %s: %s", request.method, request.path, error)
            return error_response(internal(str(error)))
        except Exception as error:
            log.exception("request failed", extra={"method": request.method, "path": request.path})
            return error_response(internal(f"{type(error).__name__}: {error}"))

    async def _route(self, request: web.Request) -> web.StreamResponse:
        path = parse_path(request.path)
        user = self._parts.authenticator.of_header(request.headers.get("Authorization"))
        if user is None:
            if path is None and request.path.rstrip("/") in PUBLIC_PATHS and "Authorization" not in request.headers:
                return self._public(request)
            raise unauthorized()
        user = acting_user(user, request.headers)
        if path is None:
            action = Action(verb=request.method.lower().replace("head", "get"), path=request.path)
            if not may(user, action):
                raise forbidden(None, "", refusal(user, action))
            return self._other(request)
        return await self._resource(request, path, user)

    async def _resource(self, request: web.Request, path: ResourcePath, user: User) -> web.StreamResponse:
        resource = self._registry.find(path.group, path.version, path.plural)
        if resource is None:
            raise no_such_resource()
        action = path.action(request.method, watch=has_true(request.query, "watch"))
        if not may(user, action):
            raise forbidden(resource.kind, path.name, refusal(user, action))
        if not resource.kind.namespaced and path.namespace:
            raise no_such_resource()
        if resource.kind.namespaced and path.name and not path.namespace:
            raise no_such_resource()
        response = await self._answer(Call(request=request, path=path, resource=resource, user=user))
        old = resource.kind.deprecated.get(resource.version)
        if old and not response.prepared:
            response.headers.add("Warning", warning(old))
        return response

    async def _answer(self, call: Call) -> web.StreamResponse:
        resource, path = call.resource, call.path
        if resource.kind.group == METRICS:
            return await self._parts.metrics.answer(call)
        if (resource.kind.group, resource.kind.plural) == ("", ENDPOINTS):
            return await self._parts.endpoints.answer(call)
        if not resource.kind.stored:
            return await self._parts.reviews.answer(call)
        if not path.subresource:
            return await self._parts.resources.answer(call)
        special = self._special.get((resource.kind.group, path.plural, path.subresource))
        if special is not None:
            return await special(call)
        sub = resource.kind.subresource(path.subresource)
        if sub is None:
            raise no_such_resource()
        if path.subresource == "status" or sub.part:
            return await self._parts.resources.answer(call)
        if path.subresource == "scale":
            return await self._parts.subresources.scale(call)
        raise no_such_resource()

    async def _log(self, call: Call) -> web.StreamResponse:
        if call.request.method != "GET":
            raise method_not_allowed()
        pod = self._parts.engine.writer.current(call.resource, call.path.namespace, call.path.name)
        return await serve_log(call.request, pod, self._parts.node)

    async def _portforward(self, call: Call) -> web.StreamResponse:
        pod = self._parts.engine.writer.current(call.resource, call.path.namespace, call.path.name)
        return await self._parts.forward.serve(call.request, pod)

    async def _remote(self, call: Call) -> web.StreamResponse:
        if call.request.method not in {"GET", "POST"}:
            raise method_not_allowed()
        pod = self._parts.engine.writer.current(call.resource, call.path.namespace, call.path.name)
        return await self._parts.remote.serve(call.request, pod, call.path.subresource)

    def _public(self, request: web.Request) -> web.Response:
        if request.path.rstrip("/") == "/version":
            major, minor, _ = KUBERNETES.removeprefix("v").split(".")
            return json_response(
                {
                    "major": major,
                    "minor": minor,
                    "gitVersion": f"{KUBERNETES}+plait-{self._parts.version}",
                    "gitCommit": "",
                    "gitTreeState": "clean",
                    "buildDate": timestamp(0),
                    "goVersion": "none",
                    "compiler": "none",
                    "platform": "linux/amd64",
                }
            )
        return web.Response(text="ok")

    def _other(self, request: web.Request) -> web.Response:
        if request.method not in {"GET", "HEAD"}:
            raise method_not_allowed()
        parts = request.path.strip("/").split("/")
        found: web.Response | None = None
        match parts:
            case [("healthz" | "livez" | "readyz" | "version"), *_]:
                found = self._public(request)
            case ["api" | "apis" as root]:
                found = self._groups(request, core=root == "api")
            case ["api", version]:
                found = self._document(discovery.resource_list(self._registry, GroupVersion(group="", version=version)))
            case ["apis", group]:
                found = self._document(discovery.group(self._registry, group))
            case ["apis", group, version]:
                at = GroupVersion(group=group, version=version)
                found = self._document(discovery.resource_list(self._registry, at))
            case ["openapi", "v2"]:
                found = web.Response(body=OPENAPI_V2, content_type=OPENAPI_V2_TYPE)
            case ["openapi", "v3"]:
                found = json_response(self._parts.engine.schemas.openapi_index().body)
            case ["openapi", "v3", "api", version]:
                found = self._openapi(request, "", version)
            case ["openapi", "v3", "apis", group, version]:
                found = self._openapi(request, group, version)
            case ["openid", "v1", "jwks"]:
                found = json_response(self._parts.issuer.jwks(), content_type="application/jwk-set+json")
            case [""]:
                found = json_response({"paths": list(_ROOTS)})
        if found is None:
            raise no_such_resource()
        return found

    def _groups(self, request: web.Request, *, core: bool) -> web.Response:
        accepted = negotiate(request.headers.get("Accept", ""), allowed=("APIGroupDiscoveryList",))
        if accepted.form == "APIGroupDiscoveryList":
            media = f"application/json;g=apidiscovery.k8s.io;v={accepted.version};as=APIGroupDiscoveryList"
            value = discovery.aggregated(self._registry, core=core, version=accepted.version)
            response = json_response(value, content_type=media)
        elif core:
            response = json_response(discovery.api_versions(request.host))
        else:
            response = json_response(discovery.group_list(self._registry))
        response.headers["Vary"] = "Accept"
        return response

    @staticmethod
    def _document(value: Json | None) -> web.Response | None:
        return None if value is None else json_response(value)

    def _openapi(self, request: web.Request, group: str, version: str) -> web.Response | None:
        """Documents are found under their hash, so clients may keep them as long as they like."""
        found = self._parts.engine.schemas.openapi_document(group, version)
        if found is None:
            return None
        tag = f'"{found.hash}"'
        if request.headers.get("If-None-Match") == tag:
            response = web.Response(status=304)
        else:
            response = json_response(found.body)
        response.headers["ETag"] = tag
        if request.query.get("hash") == found.hash:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
            ahead = self._parts.engine.world.clock() + _FAR_AHEAD
            response.headers["Expires"] = formatdate(ahead, usegmt=True)
        return response
