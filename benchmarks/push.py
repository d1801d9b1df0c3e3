"""How long one change takes to reach every proxy, and what it costs.

    python benchmarks/push.py [--proxies 100] [--services 100] [--rounds 50]

Real core, builder and delivery process; proxies are grpc.aio clients in processes of their own that acknowledge every
response. A round applies one change to the core's input and ends when the last proxy has written its ACK. The
reference is a grpc.aio server that does nothing but send the same bytes to the same clients.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.delivery.builder import Builder
from plait.delivery.supervisor import CHANNEL_FD, Supervisor
from plait.delivery.wire import METHOD, encode_response
from plait.xds.engine import Engine, Upsert

PEERS = str(Path(__file__).with_name("push_peers.py"))
NAMESPACE = "shop"
ECHO = "/echo.Echo/Broadcast"


# --- the mesh -------------------------------------------------------------------------------------------------------


def service(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"s{number}", "namespace": NAMESPACE, "uid": f"s{number}", "resourceVersion": "1"},
        "spec": {
            "clusterIP": f"10.42.{128 + number // 250}.{number % 250 + 2}",
            "selector": {"app": f"s{number}"},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
        },
    }


def endpoints(number: int, last: int) -> dict[str, Any]:
    addresses = [f"10.1.{number // 250}.{number % 250}", f"10.2.{last // 250}.{last % 250}"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"s{number}-x",
            "namespace": NAMESPACE,
            "resourceVersion": "1",
            "labels": {"kubernetes.io/service-name": f"s{number}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


def virtual_service(number: int, round_: int) -> dict[str, Any]:
    destination = {"destination": {"host": f"s{number}", "port": {"number": 80}}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": f"s{number}", "namespace": NAMESPACE, "resourceVersion": str(round_)},
        "spec": {
            "hosts": [f"s{number}"],
            "http": [{"match": [{"uri": {"prefix": f"/r{round_}"}}], "route": [destination]}, {"route": [destination]}],
        },
    }


# --- measuring ------------------------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads, in nanosecond steps (ended threads are missing)."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class Clients:
    """Client processes."""

    processes: list[asyncio.subprocess.Process]

    async def last_ack(self) -> tuple[float, int]:
        """When the last of all proxies had acknowledged one response, and its size."""
        async with asyncio.timeout(60):
            lines = [(await p.stdout.readline()).split() for p in self.processes]
        return max(float(line[0]) for line in lines), int(lines[0][1])


@asynccontextmanager
async def clients(port: int, count: int, method: str, processes: int = 2) -> AsyncIterator[Clients]:
    started = []
    for index in range(processes):
        share = count // processes + (index < count % processes)
        offset = sum(count // processes + (i < count % processes) for i in range(index))
        command = [sys.executable, PEERS, "clients", str(port), str(share), str(offset), method]
        started.append(await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE))
    try:
        for process in started:
            async with asyncio.timeout(60):
                line = await process.stdout.readline()
                if line.strip() != b"ready":
                    raise RuntimeError(f"clients said {line!r}")
        yield Clients(started)
    finally:
        for process in started:
            process.kill()
            await process.wait()


@dataclass
class Result:
    """Milliseconds of each round, and CPU milliseconds per push by process."""

    latencies: list[float]
    cpu: dict[str, float]
    size: int

    def percentile(self, share: float) -> float:
        return statistics.quantiles(self.latencies, n=100, method="inclusive")[round(share * 100) - 1]


async def measure(
    rounds: int, who: Clients, change: Callable[[int], Awaitable[float] | float], pids: dict[str, int]
) -> Result:
    latencies = []
    size = 0
    for warm_up in range(3):
        change(-warm_up - 1)
        await who.last_ack()
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    for number in range(rounds):
        # Longer than the debounce's quiet time: each round is a first change.
        await asyncio.sleep(0.03)
        began = change(number)
        last, size = await who.last_ack()
        latencies.append((last - began) * 1000)
    cpu = {name: (cpu_seconds(pid) - before[name]) / rounds * 1000 for name, pid in pids.items()}
    return Result(latencies, cpu, size)


async def measure_plait(options: argparse.Namespace) -> tuple[dict[str, Result], dict[str, float], float]:
    builder = Builder(Engine(), refused=lambda refusal: print("NACK", refusal))
    supervisor = Supervisor(builder, [sys.executable, PEERS, "delivery", CHANNEL_FD])
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    objects += [each for n in range(options.services) for each in (service(n), endpoints(n, 1), virtual_service(n, 0))]
    builder.apply([Upsert(obj) for obj in objects], endpoints_only=False)
    builder.synced()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(supervisor.run()), tasks.create_task(builder.publishing())]
        while not builder.ready:  # noqa: ASYNC110  (nobody waits for this in production)
            await asyncio.sleep(0.01)
        began = time.monotonic()
        async with clients(builder.port, options.proxies, METHOD) as who:
            connected = time.monotonic() - began
            pids = {"builder": os.getpid(), "delivery": supervisor.pid}

            def endpoint_change(number: int) -> float:
                began = time.monotonic()
                builder.apply([Upsert(endpoints(0, 100 + number))], endpoints_only=True)
                return began

            def route_change(number: int) -> float:
                began = time.monotonic()
                builder.apply([Upsert(virtual_service(0, 100 + number))], endpoints_only=False)
                return began

            results = {
                "endpoint": await measure(options.rounds, who, endpoint_change, pids),
                "route": await measure(options.rounds, who, route_change, pids),
            }
            memory = {name: rss_mb(pid) for name, pid in pids.items()}
        for task in running:
            task.cancel()
    return results, memory, connected


async def measure_echo(options: argparse.Namespace, size: int) -> Result:
    process = await asyncio.create_subprocess_exec(
        sys.executable, PEERS, "echo", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    port = int(await process.stdout.readline())
    # As many bytes as the real response: one resource with a long name.
    body = encode_response("echo", "nonce", (), ["x" * max(0, size - 20)])
    async with clients(port, options.proxies, ECHO) as who:

        def change(_: int) -> float:
            began = time.monotonic()
            process.stdin.write(len(body).to_bytes(4, "little") + body)
            return began

        result = await measure(options.rounds, who, change, {"echo": process.pid})
    process.stdin.close()
    await process.wait()
    return result


async def benchmark(options: argparse.Namespace) -> None:
    results, memory, connected = await measure_plait(options)
    figures: dict[str, Any] = {
        "proxies": options.proxies,
        "services": options.services,
        "rounds": options.rounds,
        "all_connected_s": round(connected, 3),
        "rss_mb": {name: round(value, 1) for name, value in memory.items()},
    }
    for name, result in results.items():
        echo = await measure_echo(options, result.size)
        figures[name] = {
            "response_bytes": result.size,
            "p50_ms": round(result.percentile(0.5), 2),
            "p99_ms": round(result.percentile(0.99), 2),
            "cpu_ms_per_push": {process: round(value, 2) for process, value in result.cpu.items()},
            "echo_p50_ms": round(echo.percentile(0.5), 2),
            "echo_p99_ms": round(echo.percentile(0.99), 2),
            "echo_cpu_ms_per_push": round(echo.cpu["echo"], 2),
            "ratio_p50_to_echo": round(result.percentile(0.5) / echo.percentile(0.5), 2),
        }
    print(json.dumps(figures, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxies", type=int, default=100)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=50)
    asyncio.run(benchmark(parser.parse_args()))


if __name__ == "__main__":
    main()
