"""`pods/log`: the node's text, passed on as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from plait.machine.api.errors import bad_request
from plait.machine.api.objects import metadata
from plait.machine.api.query import flag, number
from plait.machine.api.responses import headers
from plait.machine.api.times import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plait.machine.api.streams.node import NodeSocket

Json = dict[str, Any]

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def choose_container(pod: Json, wanted: str) -> str:
    """The container whose log is meant; raises 400 if that cannot be known."""
    spec, name = pod.get("spec", {}), metadata(pod)["name"]
    containers = [item["name"] for item in spec.get("containers") or []]
    initial = [item["name"] for item in spec.get("initContainers") or []]
    ephemeral = [item["name"] for item in spec.get("ephemeralContainers") or []]
    if wanted:
        if wanted not in {*containers, *initial, *ephemeral}:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    default = (metadata(pod).get("annotations") or {}).get(_DEFAULT_CONTAINER)
    if default in containers:
        return str(default)
    if len(containers) == 1:
        return str(containers[0])
    choice = f"a container name must be specified for pod {name}, choose one of: [{' '.join(containers)}]"
    if initial:
        choice += f" or one of the init containers: [{' '.join(initial)}]"
    raise bad_request(choice)


def log_query(query: Mapping[str, str]) -> dict[str, str]:
    """The parameters for the node, checked; raises 400."""
    made: dict[str, str] = {}
    for name in ("follow", "previous", "timestamps"):
        if flag(query, name):
            made[name] = "true"
    for name in ("tailLines", "sinceSeconds", "limitBytes"):
        value = number(query, name)
        if value is None:
            continue
        if value < (0 if name == "tailLines" else 1):
            raise bad_request(f"invalid value {value} for parameter {name}: must be greater than 0")
        made[name] = str(value)
    since = query.get("sinceTime", "")
    if since:
        if parse_timestamp(since) is None:
            raise bad_request(f"invalid value {since!r} for parameter sinceTime: write RFC 3339, 2026-01-31T12:00:00Z")
        if "sinceSeconds" in made:
            raise bad_request("at most one of sinceTime or sinceSeconds may be specified")
        made["sinceTime"] = since
    return made


async def serve_log(request: web.Request, pod: Json, node: NodeSocket) -> web.StreamResponse:
    """Stream a log; raises StatusError as long as nothing is sent."""
    container = choose_container(pod, request.query.get("container", ""))
    meta = metadata(pod)
    async with node.logs(meta["namespace"], meta["name"], container, log_query(request.query)) as pieces:
        response = web.StreamResponse(headers=headers())
        response.content_type = "text/plain"
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            async for piece in pieces:
                await response.write(piece)
        except ConnectionError:
            return response  # the reader went away
        await response.write_eof()
    return response
