"""metrics.k8s.io: what `kubectl top` shows, measured by the node when it is asked for.

A rate needs two measurements. The earlier one is that of the last question if it is some seconds old; otherwise it is
taken now and the answer comes a second later. Nothing is measured while nobody asks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from plait.machine.api.errors import method_not_allowed, not_found
from plait.machine.api.objects import metadata
from plait.machine.api.responses import json_response
from plait.machine.api.selectors import parse_labels
from plait.machine.api.times import timestamp

if TYPE_CHECKING:
    from aiohttp import web

    from plait.machine.api.resources import Call, Engine
    from plait.machine.api.streams.node import NodeSocket

Json = dict[str, Any]

GROUP: Final = "metrics.k8s.io"
PODS: Final = ("", "pods")
NODES: Final = ("", "nodes")
#: Seconds between two measurements, at least and at most.
_WINDOW: Final = 1.0
_OLDEST: Final = 30.0


class Metrics:
    """Answers get and list of PodMetrics and NodeMetrics."""

    def __init__(self, engine: Engine, node: NodeSocket) -> None:
        self._engine = engine
        self._node = node
        self._last: Json | None = None

    async def answer(self, call: Call) -> web.Response:
        """Raises StatusError; 503 while the node is away."""
        if call.request.method != "GET":
            raise method_not_allowed()
        before, now = await self._measure()
        window = now["at"] - before["at"]
        wanted = parse_labels(call.request.query.get("labelSelector", ""))
        made = self._pods(call, before, now) if call.path.plural == "pods" else self._nodes(before, now)
        common = {"timestamp": timestamp(now["at"]), "window": f"{window:.3f}s"}
        kind = {"kind": call.resource.kind.kind, "apiVersion": call.resource.api_version}
        items = [{**kind, **item, **common} for item in made if wanted is None or wanted(item)]
        if call.path.name:
            for item in items:
                if item["metadata"]["name"] == call.path.name:
                    return json_response(item)
            raise not_found(call.resource.kind, call.path.name)
        return json_response({**kind, "kind": call.resource.kind.list_kind, "metadata": {}, "items": items})

    async def _measure(self) -> tuple[Json, Json]:
        """An earlier measurement and one of now."""
        now = await self._node.usage()
        if self._last is None or not _WINDOW <= now["at"] - self._last["at"] <= _OLDEST:
            earlier = now
            await asyncio.sleep(_WINDOW)
            now = await self._node.usage()
        else:
            earlier = self._last
        self._last = now
        return earlier, now

    def _pods(self, call: Call, before: Json, now: Json) -> list[Json]:
        stored = {
            (metadata(entry.obj).get("namespace"), metadata(entry.obj)["name"]): entry.obj
            for entry in self._engine.world.store.entries(PODS, call.path.namespace)
        }
        earlier = {_process(each): each["cpu"] for each in before["containers"]}
        containers: dict[tuple[str, str], list[Json]] = {}
        window = now["at"] - before["at"]
        for each in now["containers"]:
            # A container that has just started has used all of its time since.
            used = max(0.0, each["cpu"] - earlier.get(_process(each), 0.0)) / window
            containers.setdefault((each["namespace"], each["pod"]), []).append(
                {"name": each["container"], "usage": _usage(used, each["memory"])}
            )
        return [
            {
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "labels": metadata(stored[namespace, name]).get("labels") or {},
                    "creationTimestamp": timestamp(now["at"]),
                },
                "containers": sorted(parts, key=lambda part: str(part["name"])),
            }
            for (namespace, name), parts in sorted(containers.items())
            if (namespace, name) in stored
        ]

    def _nodes(self, before: Json, now: Json) -> list[Json]:
        used = max(0.0, now["cpu"] - before["cpu"]) / (now["at"] - before["at"])
        return [
            {
                "metadata": {
                    "name": metadata(entry.obj)["name"],
                    "labels": metadata(entry.obj).get("labels") or {},
                    "creationTimestamp": timestamp(now["at"]),
                },
                "usage": _usage(used, now["memory"]),
            }
            for entry in self._engine.world.store.entries(NODES)
        ]


def _process(usage: Json) -> tuple[str, str, str, float]:
    return usage["namespace"], usage["pod"], usage["container"], usage["started_at"]


def _usage(cores: float, memory: int) -> Json:
    return {"cpu": f"{round(cores * 1e9)}n", "memory": f"{memory // 1024}Ki"}
