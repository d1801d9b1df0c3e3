"""The agent between an authority and whoever speaks SDS: the library of gRPC, and real Envoys."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
from contextlib import asynccontextmanager
from itertools import pairwise

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from plait.agent.authority import Issued
from plait.agent.client import AgentClient
from plait.agent.protocol import SOCKET, Istiod, Workload
from plait.agent.secrets import TYPE, certificate
from plait.agent.sessions import DELTA, STREAM
from plait.kit.certificates import read_certificates

from .conftest import until


@asynccontextmanager
async def sds(socket, method):
    options = (("grpc.use_local_subchannel_pool", 1),)
    request, response = (
        (DiscoveryRequest, DiscoveryResponse) if method == STREAM else (DeltaDiscoveryRequest, DeltaDiscoveryResponse)
    )
    await until(socket.exists)
    async with grpc.aio.insecure_channel(f"unix:{socket}", options=options) as channel:
        yield channel.stream_stream(
            method, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )()


def secret(any_resource) -> Secret:
    assert any_resource.type_url == TYPE
    return Secret.FromString(any_resource.value)


async def ask(socket, name="default"):
    """One answer of state of the world."""
    async with asyncio.timeout(60), sds(socket, STREAM) as stream:
        await stream.write(DiscoveryRequest(resource_names=[name], type_url=TYPE))
        answer = await stream.read()
        return secret(answer.resources[0])


def leaf(given: Secret) -> x509.Certificate:
    return read_certificates(given.tls_certificate.certificate_chain.inline_bytes)[0]


def identity(given: Secret) -> str:
    names = leaf(given).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0]


async def test_each_socket_has_the_identity_of_its_own_workload(authority, machine) -> None:
    machine.client.istiod(authority.istiod)
    sockets = {name: machine.begin(name, f"shop/{name}") for name in ("a", "b", "c")}
    for name, socket in sockets.items():
        assert identity(await ask(socket)) == f"spiffe://cluster.local/ns/shop/sa/{name}"
        roots = (await ask(socket, "ROOTCA")).validation_context.trusted_ca.inline_bytes
        assert read_certificates(roots) == (authority.root,)
    assert sorted(authority.asked) == [(f"shop/{name}", 0) for name in sockets]


async def test_a_certificate_that_is_not_there_yet_is_sent_when_it_is(authority, machine) -> None:
    socket = machine.begin("a", "shop/a")
    async with asyncio.timeout(60), sds(socket, STREAM) as whole, sds(socket, DELTA) as delta:
        await whole.write(DiscoveryRequest(resource_names=["default"], type_url=TYPE))
        await delta.write(
            DeltaDiscoveryRequest(resource_names_subscribe=["default", "ROOTCA", "kubernetes://x"], type_url=TYPE)
        )
        assert list((await delta.read()).removed_resources) == ["kubernetes://x"]
        machine.client.istiod(authority.istiod)
        first = await whole.read()
        assert identity(secret(first.resources[0])) == "spiffe://cluster.local/ns/shop/sa/a"
        both = await delta.read()
        assert {each.name for each in both.resources} == {"default", "ROOTCA"}
        assert {each.version for each in both.resources} >= {first.version_info}


@pytest.mark.parametrize("form", [STREAM, DELTA])
async def test_a_new_certificate_is_sent_once_and_refusals_are_told(authority, machine, caplog, form: str) -> None:
    machine.client.istiod(authority.istiod)
    socket = machine.begin("a", "shop/a")
    async with asyncio.timeout(60), sds(socket, form) as stream:
        if form == STREAM:
            await stream.write(DiscoveryRequest(resource_names=["default"], type_url=TYPE))
        else:
            await stream.write(DeltaDiscoveryRequest(resource_names_subscribe=["default"], type_url=TYPE))
        first = await stream.read()
        if form == STREAM:
            refusal = DiscoveryRequest(resource_names=["default"], response_nonce=first.nonce, type_url=TYPE)
        else:
            refusal = DeltaDiscoveryRequest(response_nonce=first.nonce, type_url=TYPE)
        refusal.error_detail.code = 13
        refusal.error_detail.message = "a key that I do not like"
        await stream.write(refusal)
        await until(lambda: "refused default: a key that I do not like" in caplog.text)
        authority.new_root()
        await authority.stop()
        await authority.start()
        machine.client.istiod(authority.istiod)
        second = await stream.read()
    one, two = (each.resources[0] if form == STREAM else each.resources[0].resource for each in (first, second))
    assert leaf(secret(one)).serial_number != leaf(secret(two)).serial_number
    assert len(authority.asked) == 2


async def test_only_secrets_are_served(authority, machine) -> None:
    machine.client.istiod(authority.istiod)
    socket = machine.begin("a", "shop/a")
    for form, request in ((STREAM, DiscoveryRequest), (DELTA, DeltaDiscoveryRequest)):
        async with asyncio.timeout(60), sds(socket, form) as stream:
            await stream.write(request(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster"))
            assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "only secrets are served" in await stream.details()


async def test_certificates_are_renewed_in_the_middle_of_their_life(authority, machine) -> None:
    machine.client.istiod(authority.istiod)
    # Long enough that a machine that stands still for some seconds does not make the next one late.
    life = 16
    socket = machine.begin("a", "shop/a", seconds=life)
    async with asyncio.timeout(60), sds(socket, STREAM) as stream:
        await stream.write(DiscoveryRequest(resource_names=["default"], type_url=TYPE))
        seen = []
        for _ in range(2):
            answer = await stream.read()
            seen.append(leaf(secret(answer.resources[0])))
            ack = DiscoveryRequest(resource_names=["default"], response_nonce=answer.nonce, type_url=TYPE)
            await stream.write(ack)
    assert len({each.serial_number for each in seen}) == 2
    keys = {each.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for each in seen}
    assert len(keys) == 2, "each certificate has a key of its own"
    assert set(authority.asked) == {("shop/a", life)}
    for before, after in pairwise(seen):
        assert (after.not_valid_after_utc - before.not_valid_after_utc).total_seconds() < life, "the next comes in time"


async def test_an_authority_that_refuses_or_is_not_there_is_told_and_asked_again(authority, machine) -> None:
    authority.refuses = "the pod has gone"
    machine.client.istiod(authority.istiod)
    socket = machine.begin("a", "shop/a")
    await until(lambda: machine.troubles)
    assert machine.troubles[0] == ("a", "istiod says: the pod has gone")
    authority.refuses = ""
    assert identity(await ask(socket)).endswith("/sa/a")
    await until(lambda: machine.troubles[-1] == ("a", ""))
    await authority.stop()
    other = machine.begin("b", "shop/b")
    await until(lambda: [uid for uid, _ in machine.troubles if uid == "b"])
    assert "istiod cannot be asked" in machine.troubles[-1][1]
    authority.port = 0
    await authority.start()
    # Where it is now is all that has to be told.
    machine.client.istiod(authority.istiod)
    assert identity(await ask(other)).endswith("/sa/b")


async def test_an_istiod_that_is_not_the_meshs_own_is_told_nothing(authority, machine, folder) -> None:
    stranger = authority.istiod
    authority.new_root()
    machine.client.istiod(type(stranger)(addresses=stranger.addresses, name=stranger.name, roots=authority.roots))
    machine.begin("a", "shop/a")
    await until(lambda: machine.troubles)
    assert "istiod's certificate is not to be trusted" in machine.troubles[0][1]
    assert not authority.asked


async def test_a_workload_that_is_gone_leaves_no_socket(authority, machine) -> None:
    machine.client.istiod(authority.istiod)
    sockets = [machine.begin(name, f"shop/{name}") for name in ("a", "b", "c")]
    for socket in sockets:
        await ask(socket)
    machine.client.end("a")
    await until(lambda: not sockets[0].exists())
    machine.client.only({"b"})
    machine.client.end("c")
    await until(lambda: not sockets[2].exists())
    assert sockets[1].exists()
    await until(lambda: machine.agent.workloads == 1)


async def test_a_new_agent_is_told_everything_and_a_new_teller_changes_nothing(authority, machine) -> None:
    machine.client.istiod(authority.istiod)
    socket = machine.begin("a", "shop/a")
    before = leaf(await ask(socket)).serial_number
    machine.begin("a", "shop/a")
    assert leaf(await ask(socket)).serial_number == before, "said again it is the same workload"
    await machine.kill()
    assert not socket.exists()
    await machine.start()
    assert leaf(await ask(socket)).serial_number != before
    assert len(authority.asked) == 2


async def test_rubbish_on_the_control_socket_and_on_a_workloads_is_no_harm(authority, machine, folder) -> None:
    machine.client.istiod(authority.istiod)
    socket = machine.begin("a", "shop/a")
    await ask(socket)
    for path in (folder / "control.sock", socket):
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"op":"nonsense"}\n\n\xff\n' * 100)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert identity(await ask(socket)).endswith("/sa/a")


def test_the_agent_needs_neither_grpc_nor_envoys_classes() -> None:
    code = (
        "import sys, plait.app.agent\n"
        "heavy = {'grpc', 'google.protobuf', 'envoy', 'aiohttp', 'yaml', 'plait.kube.client', 'plait.xds'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_secrets_are_not_shown() -> None:
    shown = [
        repr(certificate(b"chain", b"hush")),
        repr(Issued(key=b"hush", chain=b"", roots=b"", begins=dt.datetime.now(dt.UTC), ends=dt.datetime.now(dt.UTC))),
        repr(Workload(uid="u", name="n", token="hush", folder="/")),
    ]
    assert "hush" not in "".join(shown)


async def test_a_teller_that_begins_anew_changes_no_certificate(authority, machine, folder) -> None:
    machine.client.istiod(authority.istiod)
    socket = machine.begin("a", "shop/a")
    before = leaf(await ask(socket)).serial_number
    other = AgentClient(folder / SOCKET)
    other.begin(Workload(uid="b", name="pod b", token="shop/b", folder=str(folder)))
    telling = asyncio.create_task(other.run(lambda *_: None))
    assert identity(await ask(folder / "socket")).endswith("/sa/b"), "where istiod is the agent knows still"
    istiod = authority.istiod
    other.istiod(Istiod(name=istiod.name, roots=istiod.roots))
    other.istiod(istiod)
    other.begin(Workload(uid="a", name="pod a", token="shop/a", folder=str(socket.parent)))
    other.only({"a", "b"})
    other.end("b")
    await until(lambda: not (folder / "socket").exists())
    assert leaf(await ask(socket)).serial_number == before
    assert len(authority.asked) == 2
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)


async def test_a_socket_that_cannot_be_made_is_told_and_tried_again(authority, machine, folder) -> None:
    machine.client.istiod(authority.istiod)
    place = folder / "late"
    machine.client.begin(Workload(uid="late", name="pod late", token="shop/a", folder=str(place)))
    await until(lambda: machine.troubles)
    assert "no socket for its proxy" in machine.troubles[0][1]
    place.mkdir()
    assert identity(await ask(place / "socket")).endswith("/sa/a")
