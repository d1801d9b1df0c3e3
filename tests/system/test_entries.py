"""Hosts that no Kubernetes Service stands for, and what a Sidecar leaves of the mesh: real proxies, real DNS."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from .conftest import Mesh, until

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
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: store, namespace: shop}
spec: {template: {serviceAccount: store}}
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
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "7")
        self.end_headers()
        self.wfile.write(b"outside")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def host_program() -> Iterator[int]:
    """A program of the machine, in no pod; its port on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving.server_port
        serving.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def shop(outer: Mesh, host_program: int) -> Iterator[Mesh]:
    world = WORLD.replace("HOST", "10.42.0.2").replace("PORT", str(host_program))
    outer.kubectl("apply", "-f", "-", given=world)
    outer.kubectl("wait", "--for=condition=Ready", "pod/bystander", "--timeout=60s")
    yield outer
    outer.kubectl("delete", "--now", "-f", "-", given=world)


def inside(mesh: Mesh, *command: str, pod: str = "caller") -> str:
    namespace = ("-n", "shop") if pod == "caller" else ("-n", "default")
    return mesh.kubectl(*namespace, "exec", pod, "-c", pod, "--", *command, code=None).stdout


def body(mesh: Mesh, url: str) -> str:
    return inside(mesh, "curl", "-sS", "-m", "5", url)


def code(mesh: Mesh, url: str) -> str:
    return inside(mesh, "curl", "-sS", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", url)


def test_dns_answers_an_allocated_address_to_programs_behind_a_sidecar_only(shop: Mesh) -> None:
    allocated = {
        item["host"]: item["value"]
        for entry in shop.get("serviceentries", "-A")["items"]
        for item in entry["status"]["addresses"]
    }
    assert set(allocated) == {"store.example", "web.example", "hidden.example"}
    assert inside(shop, "getent", "hosts", "store.example").split() == [allocated["store.example"], "store.example"]
    assert inside(shop, "getent", "hosts", "hidden.example") == ""
    assert inside(shop, "getent", "hosts", "store.example", pod="bystander") == ""


def test_a_program_on_the_host_is_a_workload_of_the_mesh(shop: Mesh) -> None:
    until("the host's program", lambda: body(shop, "http://store.example/") == "outside", seconds=10)
    # By its address: nothing else tells a TCP connection from others of that port.
    assert body(shop, "http://store.example:9000/") == "outside"


def test_an_external_name_is_another_name_with_the_same_rules(shop: Mesh) -> None:
    shop.kubectl("apply", "-f", "-", given=BOOKS)
    until("the other name", lambda: body(shop, "http://books/") == "outside", seconds=10)
    shop.kubectl("apply", "-f", "-", given=CLOSED)
    until("the rule", lambda: code(shop, "http://books/closed") == "418", seconds=10)
    shop.kubectl("-n", "shop", "delete", "virtualservice/store", "service/books")


def test_a_workload_group_says_what_to_write_instead(shop: Mesh) -> None:
    told = shop.kubectl("apply", "-f", "-", given=GROUP).stderr
    assert told.count("Warning:") == 1
    assert "WorkloadEntry" in told


def test_bootstraps_are_patched_and_one_that_envoy_refuses_harms_no_pod(shop: Mesh) -> None:
    for name, value in (
        ("quick", "{stats_flush_interval: 1s}"),
        ("broken", "{cluster_manager: {local_cluster_name: nowhere}}"),
    ):
        shop.kubectl("apply", "-f", "-", given=BOOTSTRAP.replace("NAME", name).replace("VALUE", value))
    shop.kubectl("-n", "shop", "wait", "--for=condition=Ready", "pod/quick", "pod/broken", "--timeout=60s")

    def of(pod: str) -> str:
        command = ("exec", pod, "-c", pod, "--", "curl", "-sS", "localhost:15000/config_dump")
        return shop.kubectl("-n", "shop", *command).stdout

    assert '"stats_flush_interval": "1s"' in of("quick")
    assert "nowhere" not in of("broken")
    events = shop.get("events", "-n", "shop", "--field-selector", "involvedObject.name=broken")["items"]
    (told,) = [item["message"] for item in events if item["reason"] == "ProxyRejected"]
    assert "shop/broken" in told
    assert "nowhere" in told
    shop.kubectl("-n", "shop", "delete", "envoyfilter", "--all")
    shop.kubectl("-n", "shop", "delete", "pod", "quick", "broken", "--wait=false")


def test_the_proxy_resolves_names_by_itself(shop: Mesh) -> None:
    until("an answer", lambda: body(shop, "http://web.example/") == "outside", seconds=10)


def test_a_sidecar_leaves_what_it_names(shop: Mesh) -> None:
    clusters = ("proxy-config", "cluster", "caller", "-n", "shop")
    assert "web.example" in shop.plait(*clusters).stdout
    shop.kubectl("apply", "-f", "-", given=SIDECAR)
    until("a smaller view", lambda: "web.example" not in shop.plait(*clusters).stdout, seconds=10)
    seen = shop.plait(*clusters).stdout
    assert "store.example" in seen
    assert "istiod" not in seen
    assert body(shop, "http://store.example/") == "outside"
    shop.kubectl("-n", "shop", "delete", "sidecar", "default")
    until("the whole view", lambda: "web.example" in shop.plait(*clusters).stdout, seconds=10)


def test_registry_only_refuses_what_no_entry_names(shop: Mesh, host_program: int) -> None:
    given = shop.kubectl("-n", "istio-system", "get", "configmap", "istio", "-o", "yaml", "--ignore-not-found").stdout
    assert code(shop, f"http://host.plait.internal:{host_program}/") == "200"
    shop.kubectl("apply", "-f", "-", given=STRICT)
    until("a refusal", lambda: code(shop, f"http://host.plait.internal:{host_program}/") == "000", seconds=10)
    assert code(shop, "http://other.example:80/") in {"000", "502"}
    assert body(shop, "http://web.example/") == "outside"
    if given:
        shop.kubectl("replace", "-f", "-", given=given)
    else:
        shop.kubectl("-n", "istio-system", "delete", "configmap", "istio")


def test_a_proxyconfig_says_how_the_sidecar_is_started(shop: Mesh) -> None:
    pod = shop.get("pod", "caller", "-n", "shop")
    (proxy,) = (item for item in pod["spec"]["containers"] if item["name"] == "istio-proxy")
    assert "--concurrency=2" in proxy["args"]
    assert {"name": "GREETING", "value": "hello"} in proxy["env"]
    running = json.loads(inside(shop, "curl", "-sS", "localhost:15000/server_info"))
    assert running["command_line_options"]["concurrency"] == 2
