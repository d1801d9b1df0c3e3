"""A real Envoy on the socket of its workload: it serves and calls with what the agent gives it."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import pytest

from plait.inject import PROXY_MARK, BootstrapConfig, bootstrap
from plait.kit.certificates import read_certificates
from plait.mesh.node import ProxyNode
from plait.proxy.envoy import run_envoy

from .conftest import until

pytestmark = pytest.mark.envoy

TYPES = "type.googleapis.com/"
TLS = TYPES + "envoy.extensions.transport_sockets.tls.v3."
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def source(form):
    return {
        "api_config_source": {
            "api_type": form,
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}],
        },
        "initial_fetch_timeout": "0s",
        "resource_api_version": "V3",
    }


def context(kind, form, **more):
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TLS + kind,
            "common_tls_context": {
                "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": source(form)}],
                "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": source(form)},
            },
            **more,
        },
    }


def pipe(path):
    return {"pipe": {"path": str(path)}}


def cluster(name, path, **more):
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "60s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": pipe(path)}}]}],
        },
        **more,
    }


def listener(name, path, route, **more):
    manager = {
        "@type": TYPES + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": TYPES + "envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": name, "address": pipe(path), "filter_chains": [{"filters": filters, **more}]}


@asynccontextmanager
async def proxy(folder, socket, form, **more):
    """Calls itself over mutual TLS: `out` is plain, `in` wants a certificate and says whose it was."""
    says = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": [{"header": {"key": "peer", "value": "%DOWNSTREAM_PEER_URI_SAN%"}}],
    }
    goes = {"match": {"prefix": "/"}, "route": {"cluster": "self"}}
    http2 = {"@type": TYPES + HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
    bootstrap = {
        "node": {"id": "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local", "cluster": "a"},
        "admin": {"address": pipe(folder / "admin.sock")},
        "static_resources": {
            "clusters": [
                cluster("sds-grpc", socket, typed_extension_protocol_options={HTTP_OPTIONS: http2}),
                cluster("self", folder / "in.sock", transport_socket=context("UpstreamTlsContext", form)),
            ],
            "listeners": [
                listener("out", folder / "out.sock", goes),
                listener(
                    "in",
                    folder / "in.sock",
                    says,
                    transport_socket=context("DownstreamTlsContext", form, require_client_certificate=True),
                ),
            ],
        },
    }
    async with run_envoy(bootstrap | more, folder, ready=60.0) as envoy:
        yield envoy


class Client:
    """One connection that is kept."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def get(self):
        """Status, and who the peer of `in` was."""
        self.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r")[0] or 0)
        await self.reader.readexactly(length)
        return head.split()[1], head.partition("peer: ")[2].partition("\r")[0]


async def held(envoy):
    """The serial number of the certificate that Envoy has."""
    dump = json.loads(await envoy.admin.get("/config_dump?resource=dynamic_active_secrets"))
    for each in dump.get("configs", ()):
        chain = each["secret"].get("tls_certificate", {}).get("certificate_chain")
        if chain:
            return read_certificates(base64.b64decode(chain["inline_bytes"]))[0].serial_number
    return None


@pytest.mark.parametrize("form", ["GRPC", "DELTA_GRPC"])
async def test_envoy_speaks_mutual_tls_and_renewal_costs_no_connection(authority, machine, folder, form: str) -> None:
    machine.client.istiod(authority.istiod)
    # Long enough that a machine that stands still for some seconds does not make the next one late.
    socket = machine.begin("a", "shop/a", seconds=10)
    await until(socket.exists)
    async with proxy(folder, socket, form) as envoy:
        await until((folder / "out.sock").exists)
        client = Client(*await asyncio.open_unix_connection(folder / "out.sock"))
        serials = set()
        async with asyncio.timeout(60):
            while len(serials) < 3:
                assert await client.get() == ("200", "spiffe://cluster.local/ns/shop/sa/a")
                serials.add(await held(envoy))

        found = await envoy.admin.stats(pattern="cluster.self")
        assert found["cluster.self.ssl.handshake"] == 1, "one connection has carried all of it"
        assert found["cluster.self.upstream_cx_destroy"] == 0
        assert found["cluster.self.ssl.connection_error"] == 0
        client.writer.close()


async def test_what_tells_a_sidecars_connections_by_marks_leaves_the_socket_alone(authority, machine, folder) -> None:
    """On a machine with one uid: every cluster binds, and sets an option of IP sockets."""
    config = BootstrapConfig(token="", mark=PROXY_MARK, certificates=True)
    node = ProxyNode(kind="sidecar", ip="10.0.0.1", pod="a", namespace="shop")
    marking = bootstrap(node, config=config)["cluster_manager"]
    del marking["local_cluster_name"]
    assert marking["upstream_bind_config"]["socket_options"]
    machine.client.istiod(authority.istiod)
    socket = machine.begin("a", "shop/a")
    await until(socket.exists)
    async with proxy(folder, socket, "GRPC", cluster_manager=marking) as envoy:
        await until((folder / "out.sock").exists)
        client = Client(*await asyncio.open_unix_connection(folder / "out.sock"))
        assert await client.get() == ("200", "spiffe://cluster.local/ns/shop/sa/a")
        assert await held(envoy)
        client.writer.close()


async def test_envoy_lives_without_the_agent_and_takes_the_new_ones_certificates(authority, machine, folder) -> None:
    machine.client.istiod(authority.istiod)
    socket = machine.begin("a", "shop/a")
    await until(socket.exists)
    async with proxy(folder, socket, "GRPC") as envoy:
        await until((folder / "out.sock").exists)
        first = await held(envoy)
        await machine.kill()
        for _ in range(3):  # connections that are made while there is no agent
            client = Client(*await asyncio.open_unix_connection(folder / "out.sock"))
            assert (await client.get())[0] == "200"
            client.writer.close()
        await machine.start()
        async with asyncio.timeout(60):
            while await held(envoy) in {first, None}:
                await asyncio.sleep(0.05)
        client = Client(*await asyncio.open_unix_connection(folder / "out.sock"))
        assert (await client.get())[0] == "200"
        client.writer.close()
