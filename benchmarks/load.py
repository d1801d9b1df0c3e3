"""What a request costs the load generator: CPU per request of plait's engine against wrk's, in one run.

Both call the same Envoy (a direct response on loopback), in turns, each confined to one core while Envoy has the
others. CPU time is what is compared: rates move with whatever else the machine does, and with which side is slower.

    .venv/bin/python benchmarks/load.py [--seconds S] [--connections C] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from plait.app.plan import envoy_binary

AIM = 1.3
CONFIG = """
admin: {address: {pipe: {path: %(admin)s}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %(port)d}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: "hello, world"}}}]
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def pinned(*cores: int) -> list[str]:
    """What confines a command to these cores."""
    return ["taskset", "-c", ",".join(map(str, cores))]


def cpu_seconds(command: list[str], core: int) -> tuple[float, str]:
    """CPU time that a command takes, and what it said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*pinned(core), *command], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command[0]}: exit {done.returncode}\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout + done.stderr


def ours(url: str, seconds: float, connections: int, core: int) -> tuple[float, float]:
    """CPU microseconds a request, and requests a second; Python's start is measured by a run of 1 ms and taken off."""
    load = [sys.executable, "-m", "plait.load.fortio"]
    short = [*load, "load", "-c", str(connections), "-t", "1ms", "-qps", "0", "-quiet", url]
    # The least of three: what is taken off must not flatter.
    idle = min(cpu_seconds(short, core)[0] for _ in range(3))
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        flags = ["-qps", "0", "-c", str(connections), "-t", f"{seconds}s", "-quiet", "-json", file.name]
        spent, _ = cpu_seconds([*load, "load", *flags, url], core)
        result = json.loads(Path(file.name).read_text())
    if list(result["RetCodes"]) != ["200"]:
        raise SystemExit(f"not only 200: {result['RetCodes']}")
    calls = result["DurationHistogram"]["Count"]
    return (spent - idle) / calls * 1e6, calls / seconds


def wrk(url: str, seconds: float, connections: int, core: int) -> tuple[float, float]:
    """The same of wrk."""
    spent, said = cpu_seconds(["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", url], core)
    found = re.search(r"(\d+) requests in", said)
    if found is None or "Non-2xx" in said:
        raise SystemExit(f"wrk said:\n{said}")
    return spent / int(found[1]) * 1e6, int(found[1]) / max(1, round(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config, admin = Path(folder, "envoy.yaml"), Path(folder, "admin")
        config.write_text(CONFIG % {"admin": admin, "port": port})
        envoy = subprocess.Popen(
            [
                *pinned(*(cores[:-1] or cores)),
                str(envoy_binary()),
                "-c",
                str(config),
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "-l",
                "off",
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            measure(f"http://127.0.0.1:{port}/", port, given, cores[-1])
        finally:
            envoy.kill()
            envoy.wait()


def measure(url: str, port: int, given: argparse.Namespace, core: int) -> None:
    """Print the figures."""
    while socket.socket().connect_ex(("127.0.0.1", port)):
        time.sleep(0.01)
    has_wrk = shutil.which("wrk") is not None
    mine, theirs = [], []
    for number in range(given.rounds):
        cost, rate = ours(url, given.seconds, given.connections, core)
        mine.append(cost)
        print(f"round {number + 1}: plait load {cost:6.2f} µs CPU a request, {rate:8.0f} requests/s", end="")
        if has_wrk:
            cost, rate = wrk(url, given.seconds, given.connections, core)
            theirs.append(cost)
            print(f"   wrk {cost:6.2f} µs, {rate:8.0f}/s   ratio {mine[-1] / cost:.2f}", end="")
        print(flush=True)
    if not has_wrk:
        print("wrk is not installed (Debian: apt install wrk): no ratio")
        return
    ratio = statistics.median(mine) / statistics.median(theirs)
    print(f"CPU a request against wrk: {ratio:.2f} (aim {AIM}): {'met' if ratio <= AIM else 'NOT met'}")


if __name__ == "__main__":
    main()
