"""How long one change takes to reach every proxy, and what it costs.

    python benchmarks/push.py [--proxies 100] [--services 100] [--rounds 50] [--tls]

Real core, builder and delivery process; proxies are clients in processes of their own that acknowledge every response,
with `--tls` with certificates, as at istiod's port 15012. A round applies one change to the core's input and ends when
the last proxy has written its ACK. The reference is a grpc.aio server that does nothing but send the same bytes to the
same clients, plain.
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
from tempfile import TemporaryDirectory
from typing import Any

from push_identities import make_identities

from plait.delivery.builder import Builder
from plait.delivery.objects import Objects
from plait.delivery.settled.prober import Door, Finding
from plait.delivery.settled.settling import Pace, Settling
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
        "metadata": {"name": f"s{number}", "namespace": NAMESPACE, "generation": round_ + 1},
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

    async def last_ack(self, kind: str = "") -> tuple[float, int]:
        """When the last of all proxies had acknowledged one response (of type `kind`, if named), and its size."""
        async with asyncio.timeout(120):
            lines = [await self._line(process, kind) for process in self.processes]
        return max(float(line[0]) for line in lines), int(lines[0][1])

    @staticmethod
    async def _line(process: asyncio.subprocess.Process, kind: str) -> list[bytes]:
        while True:
            line = (await process.stdout.readline()).split()
            if not kind or line[2].decode() == kind:
                return line

    def expect(self, count: int) -> None:
        """Of all proxies so many are concerned by what comes; 0: all."""
        for process in self.processes:
            process.stdin.write(f"expect {count // len(self.processes)}\n".encode())

    def reconnect(self) -> None:
        """Break every connection and make it anew."""
        for process in self.processes:
            process.stdin.write(b"again\n")


@asynccontextmanager
async def clients(
    port: int,
    count: int,
    method: str,
    processes: int = 2,
    *,
    namespaces: int = 0,
    credential: str = "",
    tls: str = "",
) -> AsyncIterator[Clients]:
    started = []
    for index in range(processes):
        share = count // processes + (index < count % processes)
        offset = sum(count // processes + (i < count % processes) for i in range(index))
        command = [
            sys.executable,
            PEERS,
            "clients",
            str(port),
            str(share),
            str(offset),
            method,
            str(namespaces),
            credential,
            tls,
        ]
        pipe = asyncio.subprocess.PIPE
        started.append(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))
    try:
        for process in started:
            async with asyncio.timeout(120):
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
    rounds: int,
    who: Clients,
    change: Callable[[int], Awaitable[float] | float],
    pids: dict[str, int],
    kind: str = "",
) -> Result:
    latencies = []
    size = 0
    for warm_up in range(3):
        change(-warm_up - 1)
        await who.last_ack(kind)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    for number in range(rounds):
        # Longer than the debounce's quiet time: each round is a first change.
        await asyncio.sleep(0.03)
        began = change(number)
        last, size = await who.last_ack(kind)
        latencies.append((last - began) * 1000)
    cpu = {name: (cpu_seconds(pid) - before[name]) / rounds * 1000 for name, pid in pids.items()}
    return Result(latencies, cpu, size)


class Unwritten:
    """Takes what would be written into status."""

    def put(self, key: Any, told: Any) -> None:
        pass

    def remove(self, key: Any) -> None:
        pass


async def _answered(_door: Door, _token: str, *, workers: int) -> Finding:
    return Finding(ready=True, workers=workers)


def settling(engine: Engine) -> Settling:
    """All that says whether objects are in effect, but for the questions to proxies: these here have no data plane."""
    return Settling(engine, Objects(), Unwritten(), pace=Pace(grace=0.0), ask=_answered)


async def measure_plait(options: argparse.Namespace, tls: str) -> tuple[dict[str, Result], dict[str, float], float]:
    engine = Engine()
    follower = settling(engine) if options.settled else None
    builder = Builder(engine, refused=lambda refusal: print("NACK", refusal), follower=follower)
    supervisor = Supervisor(builder, [sys.executable, PEERS, "delivery", options.transport, CHANNEL_FD, tls])
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    objects += [each for n in range(options.services) for each in (service(n), endpoints(n, 1), virtual_service(n, 0))]
    builder.apply([Upsert(obj) for obj in objects], endpoints_only=False)
    builder.synced()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(supervisor.run()), tasks.create_task(builder.publishing())]
        if follower is not None:
            running.append(tasks.create_task(follower.run()))
        while not builder.ready:  # noqa: ASYNC110  (nobody waits for this in production)
            await asyncio.sleep(0.01)
        began = time.monotonic()
        async with clients(builder.port, options.proxies, METHOD, tls=tls) as who:
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
            if follower is not None:
                print(f"settled objects: {follower.seconds_sum / sum(follower.seconds) * 1000:.1f} ms on average")
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
    with TemporaryDirectory() as folder:
        if options.tls:
            make_identities(Path(folder), [NAMESPACE])
        results, memory, connected = await measure_plait(options, folder if options.tls else "")
    figures: dict[str, Any] = {
        "proxies": options.proxies,
        "services": options.services,
        "rounds": options.rounds,
        "transport": options.transport + (", TLS" if options.tls else ""),
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
    parser.add_argument("--transport", choices=("grpc", "http2"), default="http2")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--settled", action="store_true", help="with objects that know whether they are in effect")
    asyncio.run(benchmark(parser.parse_args()))


if __name__ == "__main__":
    main()
