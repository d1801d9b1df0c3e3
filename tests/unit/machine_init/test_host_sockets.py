"""Sockets that the host gives: the giver and the asker over a real channel, no network namespace needed."""

from __future__ import annotations

import asyncio
import errno
import socket
from ipaddress import IPv4Address, IPv4Network

import pytest

from plait.machine.host_sockets import Giver, HostSockets, channel

MESH = IPv4Network("10.42.0.0/16")
ALIAS = IPv4Address("10.42.0.2")


@pytest.fixture
async def open_channel(tmp_path):
    """Starts a giver with a reach, and gives the asker's side."""
    made = []

    def start(reach: str, *, nameserver: str = "127.0.0.1") -> HostSockets:
        resolver_file = tmp_path / "resolv.conf"
        resolver_file.write_text(f"search example\nnameserver ::1\nnameserver {nameserver}\n")
        giver = Giver(reach=reach, mesh=MESH, alias=ALIAS, resolver_file=resolver_file)
        ours, theirs = channel()
        loop = asyncio.get_running_loop()

        def serve() -> None:
            if not giver.serve(ours):
                loop.remove_reader(ours)

        loop.add_reader(ours, serve)
        host = HostSockets(theirs)
        made.append((ours, host))
        return host

    yield start
    for ours, host in made:
        asyncio.get_running_loop().remove_reader(ours)
        ours.close()
        host.close()


async def test_a_connection_to_the_host_itself_only_where_that_is_allowed(open_channel) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        given = await open_channel("host").connect(str(ALIAS), port)
        with given:
            assert await asyncio.get_running_loop().sock_recv(given, 100) == b"hello"
        with pytest.raises(OSError, match=r"10\.42\.0\.2 is not outside"):
            await open_channel("network").connect(str(ALIAS), port)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "10.42.3.4", "10.42.128.1"]
)
async def test_what_is_not_outside_is_refused(open_channel, address: str) -> None:
    for reach in ("network", "host"):
        with pytest.raises(PermissionError, match="is not outside"):
            await open_channel(reach).connect(address, 80)


async def test_a_connection_that_is_refused_is_an_error(open_channel) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="refused") as raised:
            await open_channel("host").connect(str(ALIAS), unused.getsockname()[1])
    assert raised.value.errno == errno.ECONNREFUSED


@pytest.mark.parametrize("address", ["::1", "example.com", ""])
async def test_only_addresses_are_taken(open_channel, address: str) -> None:
    with pytest.raises(OSError, match="not an IPv4 address"):
        await open_channel("network").connect(address, 80)


async def test_the_resolver_is_the_hosts_first_of_ipv4(open_channel) -> None:
    given = await open_channel("network").resolver()
    with given:
        assert given.getpeername() == ("127.0.0.1", 53)
        assert given.type == socket.SOCK_DGRAM


async def test_nothing_leaves_where_nothing_may(open_channel) -> None:
    host = open_channel("off")
    with pytest.raises(PermissionError, match="--outside"):
        await host.connect("192.0.2.1", 80)
    with pytest.raises(PermissionError, match="--outside"):
        await host.resolver()


async def test_an_end_of_the_launcher_fails_what_waits(open_channel) -> None:
    ours, theirs = channel()
    host = HostSockets(theirs)
    asking = asyncio.create_task(host.connect("192.0.2.1", 80))
    await asyncio.sleep(0)
    ours.close()
    with pytest.raises(OSError, match=r"launcher has ended|Broken pipe|reset"):
        await asking
    host.close()


async def test_rubbish_on_the_channel_is_passed_over() -> None:
    ours, theirs = channel()
    giver = Giver(reach="network", mesh=MESH, alias=ALIAS)
    with ours, theirs:
        theirs.send(b"\xff not json")
        assert giver.serve(ours)
        theirs.send(b'{"number": 1, "want": "everything"}')
        assert giver.serve(ours)
        assert giver.serve(ours), "nothing waits: nothing happens"
    assert not giver.serve(ours)
