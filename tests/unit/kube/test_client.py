from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing

import pytest
from aiohttp import web

from plait.kube.access import Access
from plait.kube.client import Client
from plait.kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from plait.kube.kinds import CONFIGMAP, DEPLOYMENT, NODE, POD, VIRTUALSERVICE
from plait.kube.portforward import port_forward
from plait.proxy.admin import Admin


def config(name: str, **meta: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default", **meta}}


def test_paths_follow_group_namespace_and_subresource():
    assert POD.path() == "/api/v1/pods"
    assert POD.path("a", "b", "status") == "/api/v1/namespaces/a/pods/b/status"
    assert NODE.path(None, "plait") == "/api/v1/nodes/plait"
    assert VIRTUALSERVICE.path("a") == "/apis/networking.istio.io/v1/namespaces/a/virtualservices"
    assert DEPLOYMENT.resource == "deployments.apps"
    with pytest.raises(ValueError, match="needs a namespace"):
        POD.path(None, "b")


async def test_list_gives_every_item_its_kind(api, client):
    await api.set("a", "1")
    listing = await client.list(CONFIGMAP, labels="x=y", fields="metadata.name=a")
    assert listing.items[0]["kind"] == "ConfigMap"
    assert listing.items[0]["apiVersion"] == "v1"
    assert listing.resource_version == "101"
    method, path, query, headers = api.requests[-1]
    assert (method, path) == ("GET", "/api/v1/configmaps")
    assert query == {"labelSelector": "x=y", "fieldSelector": "metadata.name=a"}
    assert headers["Authorization"] == "Bearer secret"
    assert headers["User-Agent"] == "plait-test/1"


async def test_requests_share_a_connection(api, client):
    await api.set("a", "1")
    for _ in range(5):
        await client.get(CONFIGMAP, "a", "default")
        with pytest.raises(NotFound):
            await client.get(CONFIGMAP, "missing", "default")
    assert len(api.peers) == 1


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
        (503, "ServiceUnavailable", Unreachable),
    ],
)
async def test_failures_are_typed(api, client, failure, *, code, reason, error):
    api.faults.append(lambda _: failure(code, reason, "because", causes=[{"field": "spec.x"}]))
    with pytest.raises(error, match="because") as caught:
        await client.replace(CONFIGMAP, config("a"))
    assert caught.value.code == code
    assert caught.value.causes == ({"field": "spec.x"},)


async def test_an_answer_that_is_no_status_still_says_what_and_where(api, client):
    api.faults.append(lambda _: web.Response(status=500, text="boom"))
    with pytest.raises(Exception, match=r"GET /api/v1/namespaces/default/configmaps/a: HTTP 500 boom"):
        await client.get(CONFIGMAP, "a", "default")


async def test_a_write_that_was_cut_off_is_not_repeated(api, client):
    await client.list(CONFIGMAP)

    def cut(request):
        request.transport.abort()

    api.faults.append(cut)
    before = len(api.requests)
    with pytest.raises(Unreachable) as caught:
        await client.create(CONFIGMAP, config("a"))
    assert caught.value.sent
    assert len(api.requests) == before + 1


async def test_a_read_that_was_cut_off_is_repeated(api, client):
    api.faults.append(lambda request: request.transport.abort())
    assert (await client.list(CONFIGMAP)).items == []


async def test_a_write_refused_for_load_is_repeated_after_the_wait(api, client, failure):
    api.faults.append(lambda _: failure(429, "TooManyRequests"))
    assert (await client.create(CONFIGMAP, config("a")))["metadata"]["name"] == "a"
    api.faults += [lambda _: failure(429, "TooManyRequests")] * 3
    with pytest.raises(TooManyRequests):
        await client.create(CONFIGMAP, config("a"))


async def test_nobody_listening_is_unreachable_and_not_sent():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        async with Client(Access(server=f"http://127.0.0.1:{deaf.getsockname()[1]}")) as client:
            with pytest.raises(Unreachable) as caught:
                await client.create(CONFIGMAP, config("a"))
    assert not caught.value.sent


async def test_patch_names_its_type_and_manager(api, client):
    await api.set("a", "1")
    await client.patch(CONFIGMAP, "a", "default", {"data": None}, type="apply", field_manager="me", force=True)
    _, _, query, headers = api.requests[-1]
    assert query == {"fieldManager": "me", "force": "true"}
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    await client.patch(CONFIGMAP, "a", "default", [{"op": "remove", "path": "/data"}], type="json")
    assert api.requests[-1][3]["Content-Type"] == "application/json-patch+json"


async def test_delete_carries_its_preconditions(api, client):
    await api.set("a", "1")
    await client.delete(CONFIGMAP, "a", "default", uid="u", grace_seconds=0, propagation="Orphan")
    assert api.bodies[-1] == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u"},
        "propagationPolicy": "Orphan",
    }


async def test_a_watch_gives_changes_and_objects_of_any_size(api, client):
    big = "x" * 3_000_000
    async with aclosing(client.watch(CONFIGMAP, resource_version="100")) as events:
        step = asyncio.ensure_future(anext(events))
        await api.watch_opened.wait()
        await api.set("a", big)
        event = await step
        assert (event.type, event.object["data"]["v"]) == ("ADDED", big)
        await api.remove("a")
        assert (await anext(events)).type == "DELETED"


async def test_a_watch_from_too_long_ago_is_gone(api, client):
    await api.restart()
    with pytest.raises(Gone):
        await anext(client.watch(CONFIGMAP, resource_version="1"))


async def test_the_token_file_is_read_again_when_it_changes(api, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    async with Client(Access(server=api.url, token_file=token)) as client:
        await client.list(CONFIGMAP)
        assert api.requests[-1][3]["Authorization"] == "Bearer first"
        (tmp_path / "new").write_text("second")
        (tmp_path / "new").replace(token)
        await client.list(CONFIGMAP)
        assert api.requests[-1][3]["Authorization"] == "Bearer second"


async def test_logs_come_as_text(client):
    assert b"".join([piece async for piece in client.logs("a", "b", container="c", tail=2)]) == b"one\ntwo\n"


async def test_port_forward_is_a_two_way_stream(client):
    async with port_forward(client, "a", "b", 80) as (reader, writer):
        for _ in range(3):
            writer.write(b"hello" * 50_000)
            await writer.drain()
            assert await reader.readexactly(250_000) == b"hello" * 50_000


async def test_a_refused_port_forward_says_so(client):
    with pytest.raises(Unreachable, match="pod a/b port 9: connection refused"):
        async with port_forward(client, "a", "b", 9) as (reader, _):
            await reader.readexactly(1)
    with pytest.raises(Unreachable, match="connection refused"):
        await Admin(lambda: port_forward(client, "a", "b", 9)).get("/")


async def test_http_inside_a_pod(client):
    assert await Admin(lambda: port_forward(client, "a", "b", 15014)).get("/debug/syncz") == b"abc"
