"""The DNS server on real sockets."""

import asyncio
import os
import resource
import socket
import struct
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from plait.machine.services.dns import DnsServer, bind
from plait.machine.services.dns_names import Names


def query(name, *, number=7, type_=1):
    labels = b"".join(bytes((len(part),)) + part for part in name.encode().split(b".")) + b"\0"
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!HH", type_, 1)


def code(message):
    return struct.unpack_from("!H", message, 2)[0] & 0xF


@asynccontextmanager
async def serving(names, **options):
    udp, tcp = bind("127.0.0.1", 0)
    address = udp.getsockname()
    started = asyncio.Event()
    task = asyncio.create_task(DnsServer(names, **options).run(udp, tcp, started=started.set))
    await started.wait()
    try:
        yield address
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def ask_udp(address, message):
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        await loop.sock_connect(client, address)
        await loop.sock_sendall(client, message)
        async with asyncio.timeout(60):
            return await loop.sock_recv(client, 65535)


async def ask_tcp(address, *messages):
    reader, writer = await asyncio.open_connection(*address)
    try:
        return [await exchange(reader, writer, message) for message in messages]
    finally:
        writer.close()
        await writer.wait_closed()


async def exchange(reader, writer, message):
    writer.write(struct.pack("!H", len(message)) + message)
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(length)


@pytest.fixture
def names():
    names = Names()
    names.update({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"clusterIP": "10.42.128.5"}})
    endpoints = [{"addresses": [f"10.42.1.{number}"]} for number in range(1, 200)]
    names.update(
        {"metadata": {"name": "db", "namespace": "shop"}, "spec": {"clusterIP": "None"}}, [{"endpoints": endpoints}]
    )
    return names


async def test_udp_and_tcp_give_the_same_answer(names):
    async with serving(names) as address:
        message = query("web.shop.svc.cluster.local")
        answer = await ask_udp(address, message)
        assert answer.endswith(bytes([10, 42, 128, 5]))
        assert await ask_tcp(address, message, message) == [answer, answer]


async def test_a_long_answer_is_cut_over_udp_and_whole_over_tcp(names):
    async with serving(names) as address:
        message = query("db.shop.svc.cluster.local")
        short = await ask_udp(address, message)
        assert len(short) <= 512
        assert struct.unpack_from("!H", short, 2)[0] & 0x0200
        (whole,) = await ask_tcp(address, message)
        assert struct.unpack_from("!H", whole, 6)[0] == 199


async def test_changes_show_at_once(names):
    async with serving(names) as address:
        message = query("web.shop.svc.cluster.local")
        assert code(await ask_udp(address, message)) == 0
        names.remove("shop", "web")
        assert code(await ask_udp(address, message)) == 3


async def test_names_of_others_are_refused_where_there_is_no_upstream(names):
    async with serving(names) as address:
        assert code(await ask_udp(address, query("example.com"))) == 5
        assert [code(answer) for answer in await ask_tcp(address, query("example.com"))] == [5]


class Server:
    """Leads to a server on this machine."""

    def __init__(self, address):
        self.address = address

    async def resolver(self, *, tcp=False):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            await asyncio.get_running_loop().sock_connect(made, self.address)
        except OSError:
            made.close()
            raise
        return made


async def test_names_of_others_are_forwarded_to_the_upstream(names):
    far = Names(domain="example.com")
    far.update({"metadata": {"name": "www", "namespace": "a"}, "spec": {"clusterIP": "192.0.2.1"}})
    async with serving(far) as upstream, serving(names, upstream=Server(upstream)) as address:
        message = query("www.a.svc.example.com")
        assert (await ask_udp(address, message)).endswith(bytes([192, 0, 2, 1]))
        assert (await ask_tcp(address, message))[0].endswith(bytes([192, 0, 2, 1]))
        assert (await ask_udp(address, query("web.shop.svc.cluster.local"))).endswith(bytes([10, 42, 128, 5]))


async def test_an_external_name_is_answered_with_the_addresses_of_what_it_names(names):
    far = Names(domain="example.com")
    far.update({"metadata": {"name": "www", "namespace": "a"}, "spec": {"clusterIP": "192.0.2.1"}})
    spec = {"type": "ExternalName", "externalName": "www.a.svc.example.com"}
    names.update({"metadata": {"name": "outside", "namespace": "shop"}, "spec": spec})
    async with serving(far) as upstream, serving(names, upstream=Server(upstream)) as address:
        message = query("outside.shop.svc.cluster.local")
        for answer in (await ask_udp(address, message), (await ask_tcp(address, message))[0]):
            assert struct.unpack_from("!HHH", answer, 4) == (1, 2, 0)
            assert answer.endswith(bytes([192, 0, 2, 1]))
        # There are no others of another type, and that is no error.
        assert struct.unpack_from(
            "!H", await ask_udp(address, query("outside.shop.svc.cluster.local", type_=28)), 6
        ) == (1,)
    async with serving(names) as address:
        assert code(await ask_udp(address, query("outside.shop.svc.cluster.local"))) == 0


@contextmanager
def gone():
    """An address where nobody answers, which nobody else gets: one end listens to itself alone, one not at all."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            udp.connect(udp.getsockname())
            with suppress(OSError):
                tcp.bind(udp.getsockname())
                yield udp.getsockname()
                return


async def test_an_upstream_that_is_gone_is_servfail(names):
    with gone() as place:
        async with serving(names, upstream=Server(place)) as address:
            assert code(await ask_udp(address, query("example.com"))) == 2
            assert [code(answer) for answer in await ask_tcp(address, query("example.com"))] == [2]


async def test_the_hosts_name_is_known_only_where_pods_may_reach_it():
    async with serving(Names(host=IPv4Address("10.42.0.2"))) as address:
        assert (await ask_udp(address, query("host.plait.internal"))).endswith(bytes([10, 42, 0, 2]))


async def test_rubbish_does_not_stop_it(names):
    async with serving(names) as address:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            await loop.sock_connect(client, address)
            for size in range(40):
                await loop.sock_sendall(client, bytes([size]) * size)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"\0\x05abcde")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert code(await ask_udp(address, query("web.shop.svc.cluster.local"))) == 0


#: What a socket's usual buffer holds on every kernel: of more the kernel would drop some.
MANY = 100


async def test_many_questions_at_once_are_all_answered(names):
    async with serving(names) as address:
        answers = await asyncio.gather(
            *(ask_udp(address, query("web.shop.svc.cluster.local", number=n)) for n in range(MANY))
        )
        assert [struct.unpack_from("!H", answer)[0] for answer in answers] == list(range(MANY))


@contextmanager
def no_descriptor_left():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (last + 2, limits[1]))
    with ExitStack() as taken:
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        with suppress(OSError):
            while True:
                taken.callback(os.close, os.open("/dev/null", os.O_RDONLY))
        yield


async def test_a_connection_that_finds_no_descriptor_is_told_and_accepted_later(names, caplog):
    message = query("web.shop.svc.cluster.local")
    async with serving(names) as address:
        with socket.create_connection(address) as client:
            client.setblocking(False)
            with no_descriptor_left():
                while not caplog.records:
                    await asyncio.sleep(0)
            reader, writer = await asyncio.open_connection(sock=client)
            assert (await exchange(reader, writer, message)).endswith(bytes([10, 42, 128, 5]))
            writer.close()
    assert "no connection can be accepted" in caplog.text
