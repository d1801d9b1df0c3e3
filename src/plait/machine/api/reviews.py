"""Reviews: requests that store nothing and answer a question about a user or a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.admission import User
from plait.machine.api.auth.permissions import Action, may, rules
from plait.machine.api.auth.tokens import API_AUDIENCE
from plait.machine.api.bodies import read_body
from plait.machine.api.errors import bad_request, method_not_allowed
from plait.machine.api.responses import json_response
from plait.machine.api.times import timestamp

if TYPE_CHECKING:
    from aiohttp import web

    from plait.machine.api.auth.credentials import Authenticator
    from plait.machine.api.resources import Call, Engine

Json = dict[str, Any]


class Reviews:
    """Answers by plural of the review."""

    def __init__(self, engine: Engine, authenticator: Authenticator) -> None:
        self._engine = engine
        self._authenticator = authenticator

    async def answer(self, call: Call) -> web.Response:
        """The review with its status filled in; raises StatusError."""
        if call.request.method != "POST" or call.path.name:
            raise method_not_allowed()
        body = (await read_body(call.request, self._engine.schemas)).value
        if not isinstance(body, dict):
            raise bad_request(f"the body must be a {call.resource.kind.kind}")
        spec = body.get("spec") or {}
        made: Json = {"kind": call.resource.kind.kind, "apiVersion": call.resource.api_version}
        made["metadata"] = {"creationTimestamp": None, **(body.get("metadata") or {})}
        made["metadata"] = {key: value for key, value in made["metadata"].items() if value is not None}
        match call.path.plural:
            case "selfsubjectreviews":
                made["metadata"]["creationTimestamp"] = timestamp(self._engine.world.clock())
                made["status"] = {"userInfo": user_info(call.user)}
            case "selfsubjectrulesreviews":
                resources, paths = rules(call.user)
                made["spec"] = spec
                made["status"] = {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
            case "tokenreviews":
                made["spec"] = spec
                made["status"] = self._token(spec)
            case "selfsubjectaccessreviews":
                made["spec"] = spec
                made["status"] = _access(call.user, spec, call.path.namespace)
            case _:
                made["spec"] = spec
                groups = tuple(spec.get("groups") or spec.get("group") or ())
                made["status"] = _access(User(name=str(spec.get("user", "")), groups=groups), spec, call.path.namespace)
        return json_response(made, status=201)

    def _token(self, spec: Json) -> Json:
        audiences = tuple(spec.get("audiences") or (API_AUDIENCE,))
        user, good, problem = self._authenticator.of_token(str(spec.get("token") or ""), audiences=audiences)
        if user is None:
            return {"authenticated": False, "user": {}, "error": problem}
        return {"authenticated": True, "user": user_info(user), "audiences": list(good)}


def user_info(user: User) -> Json:
    """UserInfo, as reviews and audit name a user."""
    made: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        made["uid"] = user.uid
    if user.extra:
        made["extra"] = {key: list(values) for key, values in user.extra.items()}
    return made


def _access(user: User, spec: Json, namespace: str) -> Json:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        raise bad_request("exactly one of spec.resourceAttributes and spec.nonResourceAttributes must be set")
    if path is not None:
        action = Action(verb=path.get("verb", ""), path=path.get("path", "") or "/")
    else:
        assert resource is not None  # noqa: S101 - for the type checker; decided above
        action = Action(
            verb=resource.get("verb", ""),
            group=resource.get("group", ""),
            resource=resource.get("resource", ""),
            subresource=resource.get("subresource", ""),
            namespace=resource.get("namespace", "") or namespace,
            name=resource.get("name", ""),
        )
    allowed = may(user, action)
    return {"allowed": allowed} if allowed else {"allowed": False, "reason": "read-only role of this machine"}
