"""A real Envoy at both ends of what the authority signs: as a server it looks at clients, as a client at istiod."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tests.unit.citadel.authorities import plugged_in, rsa_plugged_in

from plait.citadel.authority import Authority, make_pems
from plait.citadel.listening import Listening
from plait.kit.certificates import key_pem, new_key, pem
from plait.proxy.envoy import run_envoy

pytestmark = pytest.mark.envoy

URI = "spiffe://cluster.local/ns/shop/sa/seller"
ISTIOD = "istiod.istio-system.svc"
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
FILTERS = "type.googleapis.com/envoy.extensions.filters"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture(params=["self-made", "plugged in", "RSA, plugged in"])
def authority(request) -> Authority:
    made = {
        "self-made": lambda: make_pems("cluster.local", now()),
        "plugged in": lambda: plugged_in(now()),
        "RSA, plugged in": lambda: rsa_plugged_in(now()),
    }
    return Authority.load(made[request.param](), now())


@pytest.fixture
def short_folder():
    # Unix sockets have short paths: pytest's own folders can be too long.
    with tempfile.TemporaryDirectory(prefix="ca") as name:
        yield Path(name)


def identity(authority: Authority, uri: str = URI) -> tuple[bytes, bytes]:
    """Chain and key, as an agent gives them to a proxy."""
    key = new_key()
    return pem(authority.certify(key.public_key(), uri, now=now()), *authority.between), key_pem(key)


def common(authority: Authority, san: dict[str, Any]) -> dict[str, Any]:
    chain, key = identity(authority)
    return {
        "tls_certificates": [
            {"certificate_chain": {"inline_string": chain.decode()}, "private_key": {"inline_string": key.decode()}}
        ],
        "validation_context": {
            "trusted_ca": {"inline_string": authority.roots_pem},
            "match_typed_subject_alt_names": [san],
        },
    }


def bootstrap(folder: Path, filters: list[Any], *, tls: Any = None, clusters: Any = ()) -> dict[str, Any]:
    chain = {"filters": filters} | ({"transport_socket": {"name": "tls", "typed_config": tls}} if tls else {})
    listener = {"name": "l", "address": {"pipe": {"path": str(folder / "l")}}, "filter_chains": [chain]}
    return {
        "admin": {"address": {"pipe": {"path": str(folder / "admin")}}},
        "static_resources": {"listeners": [listener], "clusters": list(clusters)},
    }


def answering(status: int) -> list[Any]:
    route = {"match": {"prefix": "/"}, "direct_response": {"status": status}}
    return [
        {
            "name": "http",
            "typed_config": {
                "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "x",
                "route_config": {"virtual_hosts": [{"name": "x", "domains": ["*"], "routes": [route]}]},
                "http_filters": [
                    {"name": "router", "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"}},
                ],
            },
        }
    ]


async def status(path: Path, context: ssl.SSLContext) -> str:
    reader, writer = await asyncio.open_unix_connection(str(path), ssl=context, server_hostname="x")
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


def client(folder: Path, authority: Authority, uri: str, trusts: Authority | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=(trusts or authority).roots_pem)
    chain, key = identity(authority, uri)
    (folder / "client.pem").write_bytes(chain + key)
    context.load_cert_chain(folder / "client.pem")
    return context


async def test_envoy_lets_in_whom_the_authority_has_signed(short_folder, authority: Authority) -> None:
    folder = short_folder
    prefix = {"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/ns/shop/"}}
    tls = {
        "@type": f"{TLS}.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": common(authority, prefix),
    }
    async with run_envoy(bootstrap(folder, answering(204), tls=tls), folder):
        assert await status(folder / "l", client(folder, authority, URI)) == "HTTP/1.1 204 No Content"
        other = client(folder, authority, "spiffe://cluster.local/ns/other/sa/seller")
        stranger = Authority.load(make_pems("cluster.local", now()), now())
        for context in (other, client(folder, stranger, URI, authority)):
            with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
                assert await status(folder / "l", context)


async def test_envoy_takes_istiods_certificate_and_the_renewed_one(short_folder, authority: Authority) -> None:
    folder = short_folder
    listening = Listening([ISTIOD], ["127.0.0.1"])
    listening.take(authority)

    async def answer(reader, writer):
        shown = writer.get_extra_info("ssl_object").getpeercert()
        await reader.readline()
        writer.write(dict(shown["subjectAltName"])["URI"].encode() + b"\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=listening.context)
    port = server.sockets[0].getsockname()[1]
    san = {"san_type": "DNS", "matcher": {"exact": ISTIOD}}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    cluster = {
        "name": "istiod",
        "load_assignment": {
            "cluster_name": "istiod",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "transport_socket": {
            "name": "tls",
            "typed_config": {
                "@type": f"{TLS}.UpstreamTlsContext",
                "sni": ISTIOD,
                "common_tls_context": common(authority, san) | {"alpn_protocols": ["h2"]},
            },
        },
    }
    proxy = {
        "name": "tcp",
        "typed_config": {
            "@type": f"{FILTERS}.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "x",
            "cluster": "istiod",
        },
    }
    async with server, run_envoy(bootstrap(folder, [proxy], clusters=[cluster]), folder):
        for _ in range(2):
            reader, writer = await asyncio.open_unix_connection(str(folder / "l"))
            writer.write(b"who am I\n")
            assert await reader.readline() == URI.encode() + b"\n"
            writer.close()
            listening.take(authority)
