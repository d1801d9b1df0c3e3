"""What a pod and a write cost on one machine: time and memory per pod, API server writes and watch latency.

    .venv/bin/python benchmarks/machine.py [--pods 50] [--writes 200] [--objects 200] [--limits]

Pods: a Deployment without a sidecar is scaled from 0 to N and back, in a mesh of its own; a pod runs `sleep`. The
reference is N bare `unshare`d processes of the same namespaces (net, mount, uts, ipc, pid) running `sleep`, started one
after the other. Memory is the PSS of the pods' processes and what api and node grew by, over N. With `--limits` each
container has a limit of memory and of CPU, and so control groups.

The API: one client replaces one ConfigMap again and again, another watches it. The reference is what makes a write
durable and nothing else: one row of SQLite (WAL, synchronous FULL), committed.

Commands: `kubectl create` and `plait apply` of a file with N VirtualServices against such a server; of objects that are
as the file says, the reference is `kubectl apply --server-side`. Their CPU is the command's and the server's together.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from api_server import api_server
from push import cpu_seconds
from shop import pss

from plait.kube import kinds
from plait.kube.access import Access
from plait.kube.client import Client

BIN = Path(sys.executable).parent
PLAIT = [str(BIN / "plait"), "--name", "bench-machine"]
LIMIT = 300.0


def run(*command: str, given: str = "") -> str:
    """What a command says; its complaints end the benchmark."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=LIMIT)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def kubectl(*arguments: str, given: str = "") -> str:
    return run(str(BIN / "kubectl"), *arguments, given=given)


def deployment(*, limited: bool) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "sleep", "image": "busybox", "command": ["sleep", "100000"]}
    if limited:
        container["resources"] = {"limits": {"memory": "64Mi", "cpu": "500m"}}
    labels = {"app": "sleep"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "sleep", "namespace": "default"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
        },
    }


def processes() -> dict[str, float]:
    """PSS in MiB of each process of the mesh."""
    found = json.loads(run(*PLAIT, "status", "-o", "json"))["processes"]
    return {process["name"]: pss(process["pid"]) for process in found}


def until(done: Callable[[], bool]) -> float:
    """When it is so (monotonic seconds)."""
    limit = time.monotonic() + LIMIT
    while not done():
        if time.monotonic() > limit:
            sys.exit(f"not done within {LIMIT:.0f} s")
        time.sleep(0.05)
    return time.monotonic()


def bare(count: int) -> float:
    """Seconds a process in namespaces of its own takes."""
    made = []
    began = time.monotonic()
    try:
        for _ in range(count):
            command = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "sh", "-c"]
            process = subprocess.Popen([*command, "echo; exec sleep 100000"], stdout=subprocess.PIPE)
            process.stdout.readline()
            made.append(process)
        return (time.monotonic() - began) / count
    finally:
        for process in made:
            process.kill()
            process.wait()
            process.stdout.close()


def pods(count: int, *, limited: bool) -> dict[str, Any]:
    """Up and down."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_STATE_HOME"] = home
        os.environ["KUBECONFIG"] = str(Path(home, "plait/bench-machine/kubeconfig"))
        try:
            run(*PLAIT, "up", "--ports", "auto")
            kubectl("apply", "-f", "-", given=json.dumps(deployment(limited=limited)))
            before = processes()

            def ready() -> int:
                path = "jsonpath={.status.readyReplicas}"
                return int(kubectl("get", "deployment", "sleep", "-o", path) or 0)

            began = time.monotonic()
            kubectl("scale", "deployment", "sleep", f"--replicas={count}")
            up = until(lambda: ready() == count) - began
            after = processes()
            began = time.monotonic()
            kubectl("scale", "deployment", "sleep", "--replicas=0")
            down = until(lambda: not kubectl("get", "pods", "-o", "name").strip()) - began
        finally:
            subprocess.run([*PLAIT, "down", "--wipe"], capture_output=True, check=False)
    own = sum(size for name, size in after.items() if name not in before)
    grown = sum(after[name] - size for name, size in before.items() if name in after)
    reference = bare(count)
    return {
        "pods": count,
        "up_ms_per_pod": round(up / count * 1000, 1),
        "down_ms_per_pod": round(down / count * 1000, 1),
        "mib_per_pod": {"its processes": round(own / count, 2), "in plait's": round(grown / count, 2)},
        "bare_namespaces_ms": round(reference * 1000, 1),
        "ratio_up_to_bare": round(up / count / reference, 1),
    }


def sqlite_write(rounds: int) -> list[float]:
    """Milliseconds of one durable row each."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = sqlite3.connect(Path(folder, "x.db"), isolation_level=None)
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("PRAGMA synchronous=FULL")
        store.execute("CREATE TABLE t (k TEXT PRIMARY KEY, v BLOB)")
        for number in range(rounds):
            began = time.perf_counter()
            store.execute("BEGIN IMMEDIATE")
            store.execute("INSERT OR REPLACE INTO t VALUES ('one', ?)", (os.urandom(400) + bytes(number % 7),))
            store.execute("COMMIT")
            found.append((time.perf_counter() - began) * 1000)
        store.close()
    return found


async def api(rounds: int) -> dict[str, Any]:
    """Writes and what a watcher sees of them."""
    async with api_server() as server, Client(server.access) as writer, Client(server.access) as watcher:
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "default"}}
        made = await writer.create(kinds.CONFIGMAP, {**obj, "data": {"n": "-1"}})
        seen: dict[str, float] = {}
        arrived = asyncio.Event()

        async def watch() -> None:
            version = made["metadata"]["resourceVersion"]
            async with aclosing(watcher.watch(kinds.CONFIGMAP, "default", resource_version=version)) as events:
                async for event in events:
                    if number := (event.object.get("data") or {}).get("n"):
                        seen[number] = time.perf_counter()
                        arrived.set()

        watching = asyncio.create_task(watch())
        writes, watches = [], []
        spent = cpu_seconds(server.pid)
        for number in range(rounds):
            arrived.clear()
            began = time.perf_counter()
            await writer.replace(kinds.CONFIGMAP, {**obj, "data": {"n": str(number), "text": "x" * 400}})
            writes.append((time.perf_counter() - began) * 1000)
            async with asyncio.timeout(10):
                while str(number) not in seen:
                    await arrived.wait()
                    arrived.clear()
            watches.append((seen[str(number)] - began) * 1000)
        cpu = (cpu_seconds(server.pid) - spent) / rounds * 1000
        watching.cancel()
        await asyncio.wait({watching})
    durable = statistics.median(sqlite_write(rounds))
    shares = {
        name: {"p50": round(statistics.median(values), 2), "p99": round(statistics.quantiles(values, n=100)[98], 2)}
        for name, values in (("write_ms", writes), ("write_to_watcher_ms", watches))
    }
    return {
        "writes": rounds,
        **shares,
        "api_cpu_ms_per_write": round(cpu, 2),
        "sqlite_commit_ms": round(durable, 2),
        "ratio_write_to_sqlite": round(statistics.median(writes) / durable, 1),
        "ratio_watch_to_sqlite": round(statistics.median(watches) / durable, 1),
    }


def timed(server: int, *command: str) -> dict[str, float]:
    """Seconds that a command takes, and CPU seconds of it and of the server."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    spent = cpu_seconds(server)
    run(*command)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(wall, 2), "cpu": round(own + cpu_seconds(server) - spent, 2)}


async def commands(count: int) -> dict[str, Any]:
    """What writes many objects, and what finds that nothing is to be written."""
    async with api_server() as server:
        with tempfile.TemporaryDirectory() as name:
            config, file = Path(name, "kubeconfig"), Path(name, "objects.yaml")
            config.write_text(kubeconfig(server.access))
            file.write_text("\n---\n".join(json.dumps(virtual_service(number)) for number in range(count)))
            plait = [str(BIN / "plait"), "--kubeconfig", str(config), "apply", "-f", str(file)]
            kube = [str(BIN / "kubectl"), "--kubeconfig", str(config)]
            steps = {
                "kubectl create": [*kube, "create", "-f", str(file)],
                # The fields that kubectl created become plait's.
                "plait apply, all": plait,
                "plait apply, unchanged": plait,
                "kubectl apply --server-side, all": [
                    *kube,
                    "apply",
                    "--server-side",
                    "--force-conflicts",
                    "-f",
                    str(file),
                ],
                "kubectl apply --server-side, unchanged": [*kube, "apply", "--server-side", "-f", str(file)],
            }
            found = {}
            for step, command in steps.items():
                found[step] = await asyncio.to_thread(timed, server.pid, *command)
    durable = statistics.median(sqlite_write(count))
    unchanged, reference = found["plait apply, unchanged"], found["kubectl apply --server-side, unchanged"]
    return {
        "objects": count,
        **found,
        "sqlite_commit_ms": round(durable, 2),
        "ratio_create_to_sqlite": round(found["kubectl create"]["seconds"] * 1000 / count / durable, 1),
        "ratio_unchanged_to_kubectl": round(unchanged["seconds"] / reference["seconds"], 2),
    }


def kubeconfig(access: Access) -> str:
    """What commands reach the server by."""
    ca = base64.b64encode((access.ca or "").encode()).decode()
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "x", "cluster": {"server": access.server, "certificate-authority-data": ca}}],
            "users": [{"name": "x", "user": {"token": access.token}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x", "namespace": "default"}}],
            "current-context": "x",
        }
    )


def virtual_service(number: int) -> dict[str, Any]:
    route = {"match": [{"uri": {"prefix": "/a"}}], "route": [{"destination": {"host": f"s{number}"}}]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": f"v{number}", "namespace": "default"},
        "spec": {"hosts": [f"h{number}.example.com"], "http": [route]},
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=50)
    parser.add_argument("--writes", type=int, default=200)
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--limits", action="store_true")
    options = parser.parse_args()
    print(json.dumps({"api": asyncio.run(api(options.writes))}, indent=2), flush=True)
    if options.objects:
        print(json.dumps({"commands": asyncio.run(commands(options.objects))}, indent=2), flush=True)
    if options.pods:
        print(json.dumps({"pods": pods(options.pods, limited=options.limits)}, indent=2))


if __name__ == "__main__":
    main()
