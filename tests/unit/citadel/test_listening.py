"""istiod's port: real handshakes, by Python's ssl on both sides."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from contextlib import asynccontextmanager

import pytest
from tests.unit.citadel.authorities import plugged_in

from plait.citadel.authority import Authority, make_pems
from plait.citadel.listening import Listening
from plait.kit.certificates import key_pem, new_key, pem

NAME = "istiod.istio-system.svc"
URI = "spiffe://cluster.local/ns/a/sa/b"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def authority() -> Authority:
    return Authority.load(make_pems("cluster.local", now()), now())


@asynccontextmanager
async def served(listening: Listening):
    """A server that tells its clients who they are."""

    async def answer(reader, writer):
        shown = writer.get_extra_info("ssl_object").getpeercert()
        writer.write(dict(shown["subjectAltName"])["URI"].encode() if shown else b"nobody")
        writer.write(b"\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=listening.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def client(trusts: Authority, tmp_path=None, *, signed_by: Authority | None = None, ends: float = 3600.0):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=trusts.roots_pem)
    context.set_alpn_protocols(["h2"])
    if signed_by is not None:
        key = new_key()
        life = dt.timedelta(seconds=ends)
        leaf = signed_by.certify(key.public_key(), URI, now=now() - dt.timedelta(seconds=60), life=life)
        (tmp_path / "client.pem").write_bytes(key_pem(key) + pem(leaf, *signed_by.between))
        context.load_cert_chain(tmp_path / "client.pem")
    return context


async def who_am_i(port: int, context: ssl.SSLContext) -> tuple[str, dict, str | None]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    try:
        line = (await reader.readline()).decode().strip()
        connection = writer.get_extra_info("ssl_object")
        return line, connection.getpeercert(), connection.selected_alpn_protocol()
    finally:
        writer.close()


@pytest.mark.parametrize("plug", [False, True], ids=["self-made", "plugged in"])
async def test_a_client_may_show_who_it_is(tmp_path, plug: bool) -> None:
    made = Authority.load(plugged_in(now()), now()) if plug else authority()
    listening = Listening([NAME, "istiod"], ["127.0.0.1"])
    listening.take(made)
    async with served(listening) as port:
        line, shown, alpn = await who_am_i(port, client(made, tmp_path, signed_by=made))
        assert line == URI
        assert ("DNS", NAME) in shown["subjectAltName"]
        assert ("IP Address", "127.0.0.1") in shown["subjectAltName"]
        assert alpn == "h2"
        assert (await who_am_i(port, client(made)))[0] == "nobody"


async def test_a_certificate_of_strangers_or_of_another_time_ends_the_connection(tmp_path) -> None:
    made = authority()
    listening = Listening([NAME], [])
    listening.take(made)
    async with served(listening) as port:
        for context in (
            client(made, tmp_path, signed_by=authority()),
            client(made, tmp_path, signed_by=made, ends=30.0),
        ):
            with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
                assert (await who_am_i(port, context))[0]


async def test_an_authority_that_is_replaced_is_the_next_connections(tmp_path) -> None:
    before, after = authority(), authority()
    listening = Listening([NAME], [])
    listening.take(before)
    async with served(listening) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client(before), server_hostname=NAME)
        assert await reader.readline() == b"nobody\n"
        listening.take(after)
        assert (await who_am_i(port, client(after, tmp_path, signed_by=after)))[0] == URI
        with pytest.raises(ssl.SSLCertVerificationError):
            await who_am_i(port, client(before))
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            assert (await who_am_i(port, client(after, tmp_path, signed_by=before)))[0]
        assert not writer.is_closing(), "who was there before stays"
        writer.close()


async def test_no_session_of_a_former_authority_is_taken_up_again() -> None:
    made = authority()
    listening = Listening([NAME], [])
    listening.take(made)
    context = client(made)
    async with served(listening) as port:
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context.maximum_version = version
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
            # In TLS 1.3 tickets come after the handshake, before the first bytes.
            assert await reader.readline() == b"nobody\n"
            session = writer.get_extra_info("ssl_object").session
            assert session is None or not session.has_ticket
            writer.close()


async def test_the_certificate_is_renewed_at_half_its_life_and_when_the_clock_was_set_back() -> None:
    time = [now()]
    listening = Listening([NAME], [], life=dt.timedelta(hours=2), now=lambda: time[0])
    listening.take(authority())
    first = listening.certificate
    assert not listening.renew()
    time[0] += dt.timedelta(minutes=58)
    assert not listening.renew()
    time[0] += dt.timedelta(minutes=2)
    assert listening.renew()
    second = listening.certificate
    assert first is not None
    assert second is not None
    assert second.serial_number != first.serial_number
    assert second.public_key() != first.public_key(), "a new key each time"
    time[0] -= dt.timedelta(hours=3)
    assert listening.renew()


async def test_before_there_is_an_authority_no_handshake_succeeds() -> None:
    async with served(Listening([NAME], [])) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await who_am_i(port, client(authority()))
