"""What the mesh costs on the way of a request: gateway and two sidecars against one bare Envoy.

Two programs stand in a row, `door` calling `answer`, both as cheap as can be (Envoys themselves). Once they are in the
mesh, called through the ingress gateway, as the Sock Shop's front-end and catalogue are:

    load -> gateway -> [sidecar -> door -> sidecar] -> [sidecar -> answer]

and once they are not: `load -> door -> answer`, where door is the one bare Envoy. Load comes from a pod without a
sidecar, by plait's own generator. CPU is that of the proxies alone, from /proc; latency is the whole way's.

    .venv/bin/python benchmarks/path.py [--seconds S] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from plait.app.plan import envoy_binary

BIN = Path(sys.executable).parent
PLAIT = [str(BIN / "plait"), "--name", "bench-path"]
TICKS = os.sysconf("SC_CLK_TCK")
HTTP = """
static_resources:
  listeners:
  - address: {socket_address: {address: 0.0.0.0, port_value: 8000}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, %(action)s}]}]}
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""
ANSWER = HTTP % {"action": "direct_response: {status: 200, body: {inline_string: 'hello, world'}}"}
DOOR = (
    HTTP % {"action": "route: {cluster: answer, host_rewrite_literal: answer}"}
    + """
  clusters:
  - name: answer
    type: STRICT_DNS
    dns_lookup_family: V4_ONLY
    load_assignment:
      cluster_name: answer
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: answer, port_value: 80}}}
"""
)


def workload(namespace: str, name: str) -> list[dict[str, Any]]:
    """One program and its Service."""
    labels, volume = {"app": name}, {"name": "config", "configMap": {"name": "envoys"}}
    container = {
        "name": "envoy",
        "image": f"bench/{name}",
        "ports": [{"containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/config"}],
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container], "volumes": [volume]},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8000}]},
        },
    ]


def objects() -> list[dict[str, Any]]:
    """Both rows, the gateway's route, and the pod that puts load on them."""
    made: list[dict[str, Any]] = []
    for namespace, labels in (("meshed", {"istio-injection": "enabled"}), ("bare", {})):
        made.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
        data = {"door.yaml": DOOR, "answer.yaml": ANSWER}
        metadata = {"name": "envoys", "namespace": namespace}
        made.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        for name in ("answer", "door"):
            made += workload(namespace, name)
    istio, metadata = "networking.istio.io/v1", {"name": "door", "namespace": "meshed"}
    servers = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
    gateway = {"selector": {"istio": "ingressgateway"}, "servers": servers}
    route = {"hosts": ["*"], "gateways": ["door"], "http": [{"route": [{"destination": {"host": "door"}}]}]}
    made.append({"apiVersion": istio, "kind": "Gateway", "metadata": metadata, "spec": gateway})
    made.append({"apiVersion": istio, "kind": "VirtualService", "metadata": metadata, "spec": route})
    load = {"containers": [{"name": "load", "image": "fortio/fortio:1.75.2"}]}
    made.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "load", "namespace": "bare"}, "spec": load})
    return made


def run(*command: str, given: str = "") -> str:
    """What a command says; its complaints end the benchmark."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def kubectl(*arguments: str, given: str = "") -> str:
    return run(str(BIN / "kubectl"), *arguments, given=given)


def proxies() -> dict[str, int]:
    """Process ids of the proxies that are measured."""
    found = {}
    for process in json.loads(run(*PLAIT, "status", "-o", "json"))["processes"]:
        parts = process["name"].split("/")
        if parts[0] != "pod":
            continue
        owner = f"{parts[1]}/{parts[2].rsplit('-', 2)[0]}/{parts[-1]}"
        found[owner] = process["pid"]
    return {
        "gateway": found["istio-system/istio-ingressgateway/istio-proxy"],
        "sidecar of door": found["meshed/door/istio-proxy"],
        "sidecar of answer": found["meshed/answer/istio-proxy"],
        "bare Envoy": found["bare/door/envoy"],
    }


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def load(url: str, connections: int, seconds: float) -> dict[str, Any]:
    """One run of the generator; every call must be answered 200."""
    flags = ("-qps", "0", "-c", str(connections), "-t", f"{seconds}s", "-p", "50,99", "-quiet", "-json", "-")
    said = kubectl("exec", "-n", "bare", "load", "--", "/usr/bin/fortio", "load", *flags, url)
    result: dict[str, Any] = json.loads(said)
    if list(result["RetCodes"]) != ["200"]:
        sys.exit(f"{url}: not only 200: {result['RetCodes']}")
    return result


def measured(url: str, pids: dict[str, int], seconds: float) -> tuple[dict[str, float], float, float]:
    """CPU microseconds a request of each process under load; p50 and p99 in ms of one connection alone."""
    before = {name: cpu(pid) for name, pid in pids.items()}
    calls = load(url, 8, seconds)["DurationHistogram"]["Count"]
    spent = {name: (cpu(pid) - before[name]) / calls * 1e6 for name, pid in pids.items()}
    alone = {p["Percentile"]: p["Value"] * 1e3 for p in load(url, 1, seconds)["DurationHistogram"]["Percentiles"]}
    return spent, alone[50], alone[99]


def main() -> None:
    """Bring up, measure in turns, print, take down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_STATE_HOME"] = home
        os.environ["KUBECONFIG"] = str(Path(home, "plait/bench-path/kubeconfig"))
        try:
            run(*PLAIT, "up", "--ports", "auto")
            for name in ("door", "answer"):
                command = (str(envoy_binary()), "-c", f"/config/{name}.yaml", "--concurrency", "1", "-l", "off")
                run(*PLAIT, "image", "add", f"bench/{name}", "--", *command, "--disable-hot-restart")
            kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects()}))
            for namespace in ("meshed", "bare"):
                kubectl("wait", "-n", namespace, "deployment", "--all", "--for=condition=Available", "--timeout=120s")
            kubectl("wait", "-n", "bare", "pod/load", "--for=condition=Ready", "--timeout=120s")
            compare(given.seconds, given.rounds)
        finally:
            subprocess.run([*PLAIT, "down", "--wipe"], capture_output=True, check=False)


def compare(seconds: float, rounds: int) -> None:
    """Measure both ways in turns and print what came out."""
    pids = proxies()
    bare_pid = {"bare Envoy": pids.pop("bare Envoy")}
    port = kubectl(
        "get", "service", "-n", "istio-system", "istio-ingressgateway", "-o",
        'jsonpath={.spec.ports[?(@.name=="http2")].port}',
    )  # fmt: skip
    gateway = f"http://istio-ingressgateway.istio-system:{port}/"
    cpus, p50s, p99s = [], [], []
    for number in range(rounds):
        mesh, mesh_50, mesh_99 = measured(gateway, pids, seconds)
        bare, bare_50, bare_99 = measured("http://door.bare/", bare_pid, seconds)
        cost, base = sum(mesh.values()), bare["bare Envoy"]
        cpus.append(cost / base)
        p50s.append(mesh_50 / bare_50)
        p99s.append(mesh_99 / bare_99)
        each = ", ".join(f"{name} {value:.0f}" for name, value in mesh.items())
        print(f"round {number + 1}: CPU a request: {each} µs = {cost:.0f} µs; one bare Envoy {base:.0f} µs")
        print(
            f"         p50 {mesh_50:.2f} ms against {bare_50:.2f}, p99 {mesh_99:.2f} against {bare_99:.2f}", flush=True
        )
    ratios = (statistics.median(found) for found in (cpus, p50s, p99s))
    print("gateway + two sidecars against one bare Envoy: CPU {:.1f} x, p50 {:.1f} x, p99 {:.1f} x".format(*ratios))


if __name__ == "__main__":
    main()
