"""Subresources that are more than a part of the object: scale, eviction, token, binding, finalize."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from plait.machine.api.auth.tokens import API_AUDIENCE
from plait.machine.api.bodies import media_type, read_body, read_raw
from plait.machine.api.deleting import delete_options
from plait.machine.api.errors import bad_request, conflict, invalid, method_not_allowed, success
from plait.machine.api.objects import at_path, copy_json, metadata
from plait.machine.api.patching import read_patch
from plait.machine.api.responses import json_response
from plait.machine.api.schema.fields import invalid as invalid_field
from plait.machine.api.schema.kinds import ScalePaths
from plait.machine.api.selectors import selector_text
from plait.machine.api.store import Key
from plait.machine.api.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from plait.machine.api.auth.tokens import TokenIssuer
    from plait.machine.api.resources import Call, Engine
    from plait.machine.api.schema import ServedKind
    from plait.machine.api.shaping import Write

Json = dict[str, Any]

#: Bounds of a token's life, in seconds; asking for less or more is refused or cut, as upstream does.
_TOKEN_SECONDS = range(600, 2**32)
_DEFAULT_TOKEN_SECONDS = 3600
#: A token that is bound to a pod dies with it, and may last as long: a proxy reads its token once.
_LONGEST_UNBOUND_TOKEN = 24 * 3600


class Subresources:
    """Answers by name of the subresource."""

    def __init__(self, engine: Engine, issuer: TokenIssuer) -> None:
        self._engine = engine
        self._world = engine.world
        self._issuer = issuer

    async def scale(self, call: Call) -> web.Response:
        """Read or change `spec.replicas` alone."""
        # The body first: from reading the object to writing it nobody else may come in between.
        change = None if call.request.method == "GET" else await self._change(call)
        path = call.path
        current = _scale(call.resource.kind, self._engine.writer.current(call.resource, path.namespace, path.name))
        if change is None:
            return json_response(current)
        write = call.write()
        obj = self._set_replicas(call, change(current), write)
        return json_response(_scale(call.resource.kind, obj), warnings=write.warnings)

    async def _change(self, call: Call) -> Callable[[Json], Any]:
        """From the Scale there is to the one that is wanted."""
        if call.request.method == "PATCH":
            raw = await read_raw(call.request)
            return read_patch(call.resource, media_type(call.request), raw, self._engine.schemas)
        if call.request.method == "PUT":
            body = (await read_body(call.request, self._engine.schemas)).value
            return lambda _: body
        raise method_not_allowed()

    def _set_replicas(self, call: Call, wanted: Any, write: Write) -> Json:
        replicas = at_path(wanted, "spec", "replicas", default=0)
        if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
            fault = invalid_field("spec.replicas", replicas, "must be greater than or equal to 0")
            raise invalid(call.resource.kind, call.path.name, [fault])
        version = at_path(wanted, "metadata", "resourceVersion", default="")

        def change(obj: Json) -> Json:
            *above, last = _paths(call.resource.kind).spec
            place = obj
            for name in above:
                place = place.setdefault(name, {})
            place[last] = replicas
            if version:
                obj["metadata"]["resourceVersion"] = version
            return obj

        path = call.path
        return self._engine.writer.merge(call.resource, path.namespace, path.name, change, write, subresource="scale")

    async def eviction(self, call: Call) -> web.Response:
        """Delete the pod; there are no disruption budgets to ask."""
        self._only(call, "POST")
        body = (await read_body(call.request, self._engine.schemas)).value
        options = delete_options(at_path(body, "deleteOptions"), call.request.query)
        options = replace(options, dry_run=options.dry_run or call.write().options.dry_run)
        self._engine.deleter.delete(call.resource, call.path.namespace, call.path.name, options)
        return json_response(success(), status=201)

    async def binding(self, call: Call) -> web.Response:
        """Give a pod to a node: what a scheduler does."""
        self._only(call, "POST")
        body = (await read_body(call.request, self._engine.schemas)).value
        target = at_path(body, "target", "name", default="")
        if not target:
            raise bad_request("target.name is required: the node that is to run the pod")
        write, path = call.write(), call.path
        current = self._engine.writer.current(call.resource, path.namespace, path.name)
        taken = at_path(current, "spec", "nodeName", default="")
        if taken and taken != target:
            raise conflict(call.resource.kind, path.name, f"pod {path.name} is already assigned to node {taken!r}")

        def change(obj: Json) -> Json:
            obj["spec"]["nodeName"] = target
            return obj

        self._engine.writer.merge(call.resource, path.namespace, path.name, change, write, subresource="binding")
        return json_response(success(), status=201)

    async def finalize(self, call: Call) -> web.Response:
        """Replace the finalizers of a namespace; without any left a terminating namespace goes."""
        self._only(call, "PUT")
        body = (await read_body(call.request, self._engine.schemas)).value
        if not isinstance(body, dict):
            raise bad_request("the body must be a Namespace")
        write, path = call.write(), call.path
        obj = self._engine.writer.finalize(call.resource, path.name, body, write)
        return json_response(call.resource.present(obj))

    async def token(self, call: Call) -> web.Response:
        """Issue a token for a service account, bound to a pod if the request says so."""
        self._only(call, "POST")
        path = call.path
        account = self._engine.writer.current(call.resource, path.namespace, path.name)
        body = (await read_body(call.request, self._engine.schemas)).value
        spec = at_path(body, "spec", default={}) or {}
        seconds = spec.get("expirationSeconds") or _DEFAULT_TOKEN_SECONDS
        if seconds not in _TOKEN_SECONDS:
            fault = invalid_field("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
            raise invalid(call.resource.kind, path.name, [fault])
        bound = self._bound_pod(call, spec.get("boundObjectRef"))
        if bound is None:
            seconds = min(seconds, _LONGEST_UNBOUND_TOKEN)
        audiences = tuple(spec.get("audiences") or (API_AUDIENCE,))
        token, end = self._issuer.issue(
            namespace=path.namespace,
            account={"name": path.name, "uid": metadata(account)["uid"]},
            pod=bound,
            audiences=audiences,
            seconds=seconds,
        )
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": path.name,
                "namespace": path.namespace,
                "creationTimestamp": timestamp(self._world.clock()),
            },
            "spec": {**spec, "audiences": list(audiences), "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": timestamp(end)},
        }
        return json_response(answer, status=201)

    def _bound_pod(self, call: Call, reference: Any) -> dict[str, str] | None:
        if not reference:
            return None
        if not isinstance(reference, dict) or reference.get("kind") != "Pod":
            raise bad_request("spec.boundObjectRef must name an object of kind Pod")
        name = reference.get("name") or ""
        entry = self._world.store.get(("", "pods"), Key(call.path.namespace, name))
        uid = metadata(entry.obj)["uid"] if entry else ""
        if entry is None or at_path(entry.obj, "spec", "serviceAccountName") != call.path.name:
            raise bad_request(f"cannot bind token to pod {name!r}: there is none that runs as {call.path.name!r}")
        if reference.get("uid") not in {None, "", uid}:
            raise conflict(
                call.resource.kind,
                call.path.name,
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record ({uid})",
            )
        return {"name": name, "uid": uid}

    @staticmethod
    def _only(call: Call, method: str) -> None:
        if call.request.method != method:
            raise method_not_allowed()


_USUAL = ScalePaths(spec=("spec", "replicas"), status=("status", "replicas"))


def _paths(kind: ServedKind) -> ScalePaths:
    return kind.scale or _USUAL


def _scale(kind: ServedKind, obj: Json) -> Json:
    paths = _paths(kind)
    # Workloads have their selector as an object, custom resources as a text in their status.
    selector = at_path(obj, *paths.selector, default="") if kind.scale and paths.selector else ""
    meta = metadata(obj)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: copy_json(meta[key]) for key in kept if key in meta},
        "spec": {"replicas": at_path(obj, *paths.spec, default=0)},
        "status": {
            "replicas": at_path(obj, *paths.status, default=0),
            "selector": selector if kind.scale else selector_text(at_path(obj, "spec", "selector")),
        },
    }
