"""The controllers and the client against the machine's own API server, over TLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

import pytest
from tests.unit.machine_api.conftest import ADMIN, pki, running, schemas

from plait.kube.access import Access
from plait.kube.client import Client
from plait.kube.discovery import discover
from plait.kube.errors import AlreadyExists, Conflict, Invalid, NotFound, Unauthorized, Unreachable
from plait.kube.kinds import (
    CONFIGMAP,
    DEPLOYMENT,
    ENDPOINTSLICE,
    EVENT,
    NAMESPACE,
    POD,
    REPLICASET,
    RESOURCEQUOTA,
    SECRET,
    SERVICE,
)
from plait.kube.portforward import port_forward
from plait.kube.reflect import reflect
from plait.machine.controllers.run import run

__all__ = ["pki", "schemas"]


@pytest.fixture
async def access(tmp_path, pki, schemas) -> AsyncIterator[Access]:
    async with running(tmp_path, pki, schemas) as cluster:
        yield Access(server=cluster.url, ca=(pki / "ca.crt").read_text(), token=ADMIN)


async def kubelet(client: Client) -> None:
    """Pods become ready, unless their image is bad, and end when they are to."""
    number = 1
    async with aclosing(reflect(client, [POD])) as batches:
        async for batch in batches:
            for pod in batch.upserts:
                meta = pod["metadata"]
                where = meta["name"], meta["namespace"]
                try:
                    if meta.get("deletionTimestamp"):
                        await client.delete(POD, *where, grace_seconds=0, uid=meta["uid"])
                    elif not pod["spec"].get("nodeName"):
                        number += 1
                        await client.patch(POD, *where, {"spec": {"nodeName": "plait"}})
                        ready = "bad" not in pod["spec"]["containers"][0]["image"]
                        await client.patch(POD, *where, pod_status(number, ready=ready), subresource="status")
                except NotFound:
                    continue


def pod_status(number: int, *, ready: bool) -> dict:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": moment}
    return {"status": {"phase": "Running", "podIP": f"10.42.0.{number}", "conditions": [condition]}}


@pytest.fixture
async def client(access) -> AsyncIterator[Client]:
    async with Client(access) as made:
        yield made


@asynccontextmanager
async def controllers(client: Client) -> AsyncIterator[None]:
    started = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run(client, started=started.set)), tasks.create_task(kubelet(client))]
        await started.wait()
        yield
        for task in running:
            task.cancel()


async def until(client: Client, kind, holds, *, namespace="shop") -> list[dict]:
    """Wait until `holds(objects of the kind)`."""
    known: dict[object, dict] = {}
    async with asyncio.timeout(60), aclosing(reflect(client, [kind], namespace=namespace)) as batches:
        async for batch in batches:
            for ref in batch.deletes:
                known.pop(ref, None)
            for obj in batch.upserts:
                known[obj["metadata"].get("namespace", ""), obj["metadata"]["name"]] = obj
            if holds(list(known.values())):
                return list(known.values())
    raise AssertionError


def rolled_out(image: str, replicas: int):
    def holds(found: list[dict]) -> bool:
        for obj in found:
            status = obj.get("status") or {}
            return (
                obj["spec"]["template"]["spec"]["containers"][0]["image"] == image
                and status.get("observedGeneration", 0) >= obj["metadata"]["generation"]
                and {status.get(key) for key in ("replicas", "updatedReplicas", "availableReplicas")} == {replicas}
            )
        return False

    return holds


async def test_a_deployment_lives_and_ends_on_the_real_server(client, deployment, service):
    async with controllers(client):
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        await client.create(SERVICE, service() | {"apiVersion": "v1", "kind": "Service"})
        await client.create(DEPLOYMENT, deployment())
        await until(client, DEPLOYMENT, rolled_out("web:1", 3))
        await until(client, ENDPOINTSLICE, lambda found: sum(len(each["endpoints"]) for each in found) == 3)

        change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "web:2"}]}}}}
        await client.patch(DEPLOYMENT, "web", "shop", change, type="strategic")
        await until(client, DEPLOYMENT, rolled_out("web:2", 3))
        sizes = [each["spec"]["replicas"] for each in (await client.list(REPLICASET, "shop")).items]
        assert sorted(sizes) == [0, 3]

        await client.patch(DEPLOYMENT, "web", "shop", {"spec": {"replicas": 5}}, subresource="scale")
        await until(client, DEPLOYMENT, rolled_out("web:2", 5))
        reasons = {each["reason"] for each in (await client.list(EVENT, "shop")).items}
        assert {"ScalingReplicaSet", "SuccessfulCreate"} <= reasons

        await client.delete(DEPLOYMENT, "web", "shop")
        await until(client, POD, lambda found: not found)
        await client.delete(NAMESPACE, "shop")
        await until(
            client, NAMESPACE, lambda found: "shop" not in {each["metadata"]["name"] for each in found}, namespace=None
        )
        assert (await client.list(CONFIGMAP, "shop")).items == []


async def test_the_steady_state_writes_nothing(client, deployment, service):
    async with controllers(client):
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        await client.create(SERVICE, service() | {"apiVersion": "v1", "kind": "Service"})
        await client.create(DEPLOYMENT, deployment())
        await until(client, DEPLOYMENT, rolled_out("web:1", 3))
        (before,) = await until(
            client,
            ENDPOINTSLICE,
            lambda found: sum(e["conditions"]["ready"] for s in found for e in s["endpoints"]) == 3,
        )
    # Controllers that start anew find everything as it should be.
    version = (await client.list(POD)).resource_version
    async with controllers(client):
        await client.create(CONFIGMAP, {"metadata": {"name": "mark", "namespace": "shop"}})
        await until(client, CONFIGMAP, lambda found: any(each["metadata"]["name"] == "mark" for each in found))
    after = (await client.list(ENDPOINTSLICE, "shop")).items[0]
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    mark = await client.get(CONFIGMAP, "mark", "shop")
    assert int(mark["metadata"]["resourceVersion"]) == int(version) + 1


async def test_what_the_client_promises_holds_with_the_real_server(client, access):
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "default"},
        "data": {"k": "v"},
    }
    made = await client.create(CONFIGMAP, config)
    with pytest.raises(AlreadyExists):
        await client.create(CONFIGMAP, config)
    await client.replace(CONFIGMAP, made | {"data": {"k": "w"}})
    with pytest.raises(Conflict):
        await client.replace(CONFIGMAP, made | {"data": {"k": "x"}})
    with pytest.raises(Conflict):
        await client.delete(CONFIGMAP, "a", "default", uid="another")
    with pytest.raises(Invalid) as invalid:
        await client.create(
            SERVICE, {"metadata": {"name": "UPPER", "namespace": "default"}, "spec": {"ports": [{"port": 1}]}}
        )
    assert invalid.value.causes
    await client.patch(CONFIGMAP, "a", "default", {"data": {"n": "1"}})
    await client.delete(CONFIGMAP, "a", "default")
    with pytest.raises(NotFound):
        await client.get(CONFIGMAP, "a", "default")
    kinds = {item.kind for item in await discover(client)}
    assert {POD, SERVICE, DEPLOYMENT, NAMESPACE, ENDPOINTSLICE} <= kinds
    slim = await client.list(CONFIGMAP, "default", metadata_only=True)
    assert slim.items
    assert "data" not in slim.items[0]
    async with Client(Access(server=access.server, ca=access.ca, token="wrong")) as stranger:
        with pytest.raises(Unauthorized):
            await stranger.list(POD)


async def answer_as_node(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The node's stream socket: logs are two lines, port 7 echoes, nothing listens on any other."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        if path.startswith("/logs/"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\none\ntwo\n")
        elif path.endswith("/7"):
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        else:
            body = json.dumps({"kind": "Status", "status": "Failure", "code": 502, "message": "connection refused"})
            writer.write(f"HTTP/1.1 502 Bad Gateway\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


async def test_logs_and_ports_of_pods_go_through_the_real_server(client, tmp_path):
    node = await asyncio.start_unix_server(answer_as_node, tmp_path / "node.sock")
    async with node:
        pod = {
            "metadata": {"name": "a", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "web:1", "ports": [{"containerPort": 7}]}]},
        }
        await client.create(POD, {"apiVersion": "v1", "kind": "Pod", **pod})
        await client.patch(POD, "a", "default", {"spec": {"nodeName": "plait"}})
        await client.patch(POD, "a", "default", pod_status(2, ready=True), subresource="status")
        assert b"".join([piece async for piece in client.logs("default", "a", container="c")]) == b"one\ntwo\n"
        async with asyncio.timeout(60), port_forward(client, "default", "a", 7) as (reader, writer):
            writer.write(b"x" * 300_000)
            await writer.drain()
            assert await reader.readexactly(300_000) == b"x" * 300_000
        for pod, error, words in (("a", Unreachable, "refused"), ("absent", NotFound, "absent")):
            with pytest.raises(error, match=words):
                async with port_forward(client, "default", pod, 9) as (reader, _):
                    await reader.read()


async def test_a_quota_counts_secrets_too_of_which_controllers_know_the_names_alone(client):
    async with controllers(client):
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        metadata = {"name": "bounds", "namespace": "shop"}
        spec = {"hard": {"secrets": "1", "requests.memory": "1Gi", "requests.storage": "1Gi"}}
        await client.create(
            RESOURCEQUOTA, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec}
        )
        for name in ("a", "b"):
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "shop"}}
            await client.create(SECRET, secret)
        used = {"secrets": "2", "requests.memory": "0"}
        (found,) = await until(
            client, RESOURCEQUOTA, lambda found: found and (found[0].get("status") or {}).get("used") == used
        )
        assert found["status"]["hard"] == spec["hard"]
