"""Addresses of ServiceEntries, written into their status."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

from plait.kube.errors import ApiError, Unreachable
from plait.kube.kinds import SERVICE, SERVICEENTRY
from plait.sources.addresses import AddressWriter
from plait.sources.kubernetes import Step
from plait.xds.engine import Remove, Upsert


class Api:
    """Takes patches of status; `trouble` is what it says to the first of them."""

    def __init__(self, *trouble: ApiError) -> None:
        self.trouble = list(trouble)
        self.written: dict[str, Any] = {}
        self.asked = 0

    async def patch(
        self, kind: Any, name: str, namespace: str | None, body: Any, *, subresource: str | None = None
    ) -> Any:
        assert (kind, namespace, subresource) == (SERVICEENTRY, "shop", "status")
        self.asked += 1
        if self.trouble:
            raise self.trouble.pop(0)
        self.written[name] = body["status"]["addresses"]
        return body


def entry(name: str, *addresses: str) -> Upsert:
    host = f"{name}.example"
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    return Upsert(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"hosts": [host], "ports": ports, "resolution": "DNS"},
            "status": {"addresses": [{"host": host, "value": value} for value in addresses]},
        }
    )


def step(*changes: Any, complete: bool = True, kind: Any = SERVICEENTRY) -> Step:
    return Step(kind=kind, changes=changes, complete=complete)


@asynccontextmanager
async def writing(api: Api) -> Any:
    writer = AddressWriter(api)
    task = asyncio.create_task(writer.run())
    try:
        async with asyncio.timeout(60):
            yield writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Any) -> None:
    while not holds():
        await asyncio.sleep(0)


async def test_nothing_is_given_away_before_it_is_known_what_others_have() -> None:
    api = Api()
    async with writing(api) as writer:
        writer.take(step(entry("new"), complete=False))
        first = AddressWriter(Api())
        first.take(step(entry("new")))
        (own,) = (value for _, value in next(iter(first._waiting.values())))
        # What `new` would have alone is the older entry's by now.
        writer.take(step(entry("old", own), complete=False))
        assert not writer._waiting
        writer.take(step(kind=SERVICE))
        await until(lambda: api.written)
    assert api.written.keys() == {"new"}
    assert api.written["new"][0]["host"] == "new.example"
    assert api.written["new"][0]["value"] != own


async def test_what_is_deleted_or_refused_stops_nobody_and_an_api_that_is_away_is_asked_again() -> None:
    api = Api(
        ApiError.of({"code": 404, "reason": "NotFound", "message": "gone"}),
        ApiError.of({"code": 422, "reason": "Invalid", "message": "no"}),
        Unreachable.because("api", OSError("away"), sent=False),
    )
    async with writing(api) as writer:
        writer.take(step(entry("a"), entry("b"), entry("c"), entry("d")))
        writer.take(step(Remove("networking.istio.io", "ServiceEntry", "shop", "d")))
        await until(lambda: "c" in api.written)
        assert not writer._waiting
    assert (api.asked, set(api.written)) == (4, {"c"})
