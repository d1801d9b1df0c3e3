"""Hosts that no Kubernetes Service stands for, and what a Sidecar leaves of the mesh: real proxies, real DNS."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plait.proxy.envoy import find_envoy
from tests.serving import served

from .conftest import BIN, Mesh, until

pytestmark = pytest.mark.system

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: bystander, namespace: default}
spec: {containers: [{name: bystander, image: debian, command: [sleep, "100000"]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: store, namespace: shop}
spec:
  hosts: [store.example]
  location: MESH_INTERNAL
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 9000, name: tcp, protocol: TCP}
  resolution: STATIC
  workloadSelector: {labels: {app: store}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: on-the-host, namespace: shop}
spec:
  address: HOST
  labels: {app: store}
  ports: {http: PORT, tcp: PORT}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  endpoints: [{address: host.plait.internal, ports: {http: PORT}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: hidden, namespace: default}
spec:
  hosts: [hidden.example]
  exportTo: ["."]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
"""
BOOKS = """
apiVersion: v1
kind: Service
metadata: {name: books, namespace: shop}
spec: {type: ExternalName, externalName: store.example}
"""
CLOSED = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: store, namespace: shop}
spec:
  hosts: [store.example]
  http:
  - match: [{uri: {prefix: /closed}}]
    directResponse: {status: 418}
  - route: [{destination: {host: store.example}}]
"""
BOOTSTRAP = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: NAME, namespace: shop}
spec:
  workloadSelector: {labels: {app: NAME}}
  configPatches:
  - {applyTo: BOOTSTRAP, patch: {operation: MERGE, value: VALUE}}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: shop, labels: {app: NAME}}
spec: {containers: [{name: NAME, image: debian, command: [sleep, "100000"]}]}
"""
GROUP = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: machines, namespace: shop}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: machines, namespace: shop}
spec:
  hosts: [machines.example]
  location: MESH_INTERNAL
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: machines}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: machines, namespace: shop}
spec:
  metadata: {labels: {app: machines}}
  template: {serviceAccount: machines, ports: {http: PORT}}
  probe: {periodSeconds: 1, failureThreshold: 1, httpGet: {path: /, port: PORT}}
"""
SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec:
  egress: [{hosts: ["./store.example"]}]
"""
STRICT = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
"""


class Hello(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(Hello.status)
        self.send_header("content-length", "7")
        self.end_headers()
        self.wfile.write(b"outside")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def host_program() -> Iterator[int]:
    """A program of the machine, in no pod; its port on loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    with served(server):
        yield server.server_port


@pytest.fixture(scope="module")
def shop(outer: Mesh, host_program: int) -> Iterator[Mesh]:
    world = WORLD.replace("HOST", "10.42.0.2").replace("PORT", str(host_program))
    outer.kubectl("apply", "-f", "-", given=world)
    outer.kubectl("wait", "--for=condition=Ready", "pod/bystander", "--timeout=180s")
    yield outer
    outer.kubectl("delete", "--now", "-f", "-", given=world)


def inside(mesh: Mesh, *command: str, pod: str = "caller") -> str:
    namespace = ("-n", "shop") if pod == "caller" else ("-n", "default")
    return mesh.kubectl(*namespace, "exec", pod, "-c", pod, "--", *command, code=None).stdout


def body(mesh: Mesh, url: str) -> str:
    return inside(mesh, "curl", "-sS", "-m", "60", url)


def code(mesh: Mesh, url: str) -> str:
    return inside(mesh, "curl", "-sS", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}", url)


def test_dns_answers_an_allocated_address_to_programs_behind_a_sidecar_only(shop: Mesh) -> None:
    def addresses() -> dict[str, str] | None:
        found = {
            item["host"]: item["value"]
            for entry in shop.get("serviceentries", "-A")["items"]
            for item in (entry.get("status") or {}).get("addresses") or ()
        }
        return found if found.keys() >= {"store.example", "web.example", "hidden.example"} else None

    allocated = until("addresses", addresses)
    answer = [allocated["store.example"], "store.example"]
    until("the name's address", lambda: inside(shop, "getent", "hosts", "store.example").split() == answer)
    assert inside(shop, "getent", "hosts", "hidden.example") == ""
    assert inside(shop, "getent", "hosts", "store.example", pod="bystander") == ""


def test_a_program_on_the_host_is_a_workload_of_the_mesh(shop: Mesh) -> None:
    until("the host's program", lambda: body(shop, "http://store.example/") == "outside")
    # By its address: nothing else tells a TCP connection from others of that port.
    until("the same over TCP", lambda: body(shop, "http://store.example:9000/") == "outside")


def test_an_external_name_is_another_name_with_the_same_rules(shop: Mesh) -> None:
    shop.kubectl("apply", "-f", "-", given=BOOKS)
    until("the other name", lambda: body(shop, "http://books/") == "outside")
    shop.kubectl("apply", "-f", "-", given=CLOSED)
    until("the rule", lambda: code(shop, "http://books/closed") == "418")
    shop.kubectl("-n", "shop", "delete", "virtualservice/store", "service/books")


def healthy(mesh: Mesh, name: str = "machines-10.42.0.2") -> str:
    """What the condition Healthy of an entry says."""
    entry = mesh.kubectl("-n", "shop", "get", "workloadentry", name, "-o", "json", code=None).stdout
    conditions = (json.loads(entry).get("status") or {}).get("conditions") or () if entry else ()
    return next((one["status"] for one in conditions if one["type"] == "Healthy"), "")


@pytest.fixture
def machines(shop: Mesh, host_program: int) -> Iterator[Mesh]:
    """A group for the program of the host, without any entry."""
    group = GROUP.replace("PORT", str(host_program))
    told = shop.kubectl("apply", "-f", "-", given=group)
    assert "WorkloadGroup" not in told.stderr
    yield shop
    shop.kubectl("delete", "-f", "-", given=group)
    shop.kubectl("-n", "shop", "delete", "workloadentry/machines-10.42.0.2", "--ignore-not-found")


def test_an_entry_made_from_a_group_takes_calls_as_long_as_its_probe_is_answered(
    machines: Mesh, tmp_path: Path
) -> None:
    machines.plait("workload", "entry", "configure", "--name", "machines", "-n", "shop", "-o", str(tmp_path))
    until("there is no endpoint yet", lambda: code(machines, "http://machines.example/") == "503")
    machines.kubectl("apply", "-f", str(tmp_path / "workloadentry.json"))
    until("its program answers the probe", lambda: healthy(machines) == "True")
    until("calls reach it", lambda: body(machines, "http://machines.example/") == "outside")
    Hello.status = 500
    try:
        until("the probe is answered with 500", lambda: healthy(machines) == "False")
        until("no call reaches it", lambda: code(machines, "http://machines.example/") == "503")
    finally:
        Hello.status = 200
    until("it is well again", lambda: body(machines, "http://machines.example/") == "outside")
    machines.kubectl("-n", "shop", "delete", "workloadentry/machines-10.42.0.2")


def test_a_proxy_that_names_its_group_brings_its_entry_and_takes_it_away(machines: Mesh, tmp_path: Path) -> None:
    with forwarded(machines) as port:
        machines.plait(
            "workload", "entry", "configure", "--name", "machines", "-n", "shop", "-o", str(tmp_path),
            "--autoregister", "--istiod", f"127.0.0.1:{port}",
        )  # fmt: skip
        bootstrap = json.loads((tmp_path / "envoy.json").read_text())
        # Its own ports may be somebody else's on this machine.
        del bootstrap["admin"], bootstrap["static_resources"]["listeners"]
        (tmp_path / "envoy.json").write_text(json.dumps(bootstrap))
        command = [str(find_envoy()), "-c", str(tmp_path / "envoy.json"), "--disable-hot-restart", "-l", "off"]
        with subprocess.Popen(command) as envoy:
            try:
                until("the entry is there and healthy", lambda: healthy(machines) == "True")
                until("calls reach the program", lambda: body(machines, "http://machines.example/") == "outside")
                entry = machines.get("-n", "shop", "workloadentry/machines-10.42.0.2")
                assert entry["metadata"]["ownerReferences"][0]["name"] == "machines"
                assert entry["metadata"]["annotations"]["istio.io/autoRegistrationGroup"] == "machines"
                assert entry["spec"]["serviceAccount"] == "machines"
            finally:
                envoy.terminate()

        def gone() -> bool:
            return not machines.kubectl(
                "-n", "shop", "get", "workloadentries", "-l", "app=machines", "-o", "name"
            ).stdout

        until("the entry goes with its proxy", gone)


@contextmanager
def forwarded(mesh: Mesh) -> Iterator[int]:
    """istiod's port for proxies, on a port of this machine."""
    command = [str(BIN / "kubectl"), "-n", "istio-system", "port-forward", "svc/istiod", ":15012"]
    with subprocess.Popen(command, env=mesh.environment, stdout=subprocess.PIPE, text=True) as forwarding:
        assert forwarding.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", forwarding.stdout.readline())
        assert found is not None
        try:
            yield int(found[1])
        finally:
            forwarding.terminate()


def test_bootstraps_are_patched_and_one_that_envoy_refuses_harms_no_pod(shop: Mesh) -> None:
    for name, value in (
        ("quick", "{stats_flush_interval: 1s}"),
        ("broken", "{cluster_manager: {local_cluster_name: nowhere}}"),
    ):
        shop.kubectl("apply", "-f", "-", given=BOOTSTRAP.replace("NAME", name).replace("VALUE", value))
    shop.kubectl("-n", "shop", "wait", "--for=condition=Ready", "pod/quick", "pod/broken", "--timeout=180s")

    def of(pod: str) -> str:
        command = ("exec", pod, "-c", pod, "--", "curl", "-sS", "localhost:15000/config_dump")
        return shop.kubectl("-n", "shop", *command).stdout

    assert '"stats_flush_interval": "1s"' in of("quick")
    assert "nowhere" not in of("broken")

    def rejected() -> list[str]:
        events = shop.get("events", "-n", "shop", "--field-selector", "involvedObject.name=broken")["items"]
        return [item["message"] for item in events if item["reason"] == "ProxyRejected"]

    told = until("an Event about the refusal", rejected)
    assert all("shop/broken" in each and "nowhere" in each for each in told)
    shop.kubectl("-n", "shop", "delete", "envoyfilter", "--all")
    shop.kubectl("-n", "shop", "delete", "pod", "quick", "broken", "--wait=false")


def test_the_proxy_resolves_names_by_itself(shop: Mesh) -> None:
    until("an answer", lambda: body(shop, "http://web.example/") == "outside")


def test_a_sidecar_leaves_what_it_names(shop: Mesh) -> None:
    clusters = ("proxy-config", "cluster", "caller", "-n", "shop")
    until("the whole view", lambda: "web.example" in shop.plait(*clusters).stdout)
    shop.kubectl("apply", "-f", "-", given=SIDECAR)
    until("a smaller view", lambda: "web.example" not in shop.plait(*clusters).stdout)
    seen = shop.plait(*clusters).stdout
    assert "store.example" in seen
    assert "istiod" not in seen
    assert body(shop, "http://store.example/") == "outside"
    shop.kubectl("-n", "shop", "delete", "sidecar", "default")
    until("the whole view", lambda: "web.example" in shop.plait(*clusters).stdout)


@pytest.fixture
def settings(shop: Mesh) -> Iterator[None]:
    """The mesh's own settings are put back, whatever becomes of the test: other modules use this mesh."""
    given = shop.kubectl("-n", "istio-system", "get", "configmap", "istio", "-o", "yaml", "--ignore-not-found").stdout
    yield
    if given:
        shop.kubectl("replace", "-f", "-", given=given)
    else:
        shop.kubectl("-n", "istio-system", "delete", "configmap", "istio", "--ignore-not-found")


@pytest.mark.usefixtures("settings")
def test_registry_only_refuses_what_no_entry_names(shop: Mesh, host_program: int) -> None:
    assert code(shop, f"http://host.plait.internal:{host_program}/") == "200"
    shop.kubectl("apply", "-f", "-", given=STRICT)
    until("a refusal", lambda: code(shop, f"http://host.plait.internal:{host_program}/") == "000")
    assert code(shop, "http://other.example:80/") in {"000", "502"}
    assert body(shop, "http://web.example/") == "outside"


def test_a_proxyconfig_says_how_the_sidecar_is_started(shop: Mesh) -> None:
    pod = shop.get("pod", "caller", "-n", "shop")
    (proxy,) = (item for item in pod["spec"]["containers"] if item["name"] == "istio-proxy")
    assert "--concurrency=2" in proxy["args"]
    assert {"name": "GREETING", "value": "hello"} in proxy["env"]
    running = json.loads(inside(shop, "curl", "-sS", "localhost:15000/server_info"))
    assert running["command_line_options"]["concurrency"] == 2
