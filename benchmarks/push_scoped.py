"""How long a change takes from its write to the API to the last ACK of a large mesh, and what it costs.

    python benchmarks/push_scoped.py [--proxies 1000] [--rounds 50] [--unscoped] [--transport http2|grpc] [--tls]
                                     [--rich]

1,000 Services with a VirtualService each in 100 namespaces; a Sidecar in each lets it see its own, the common and eight
other namespaces: 100 Services. The proxies are spread over the namespaces, so they have 100 outbound views
(`--unscoped` leaves the Sidecars out: everybody sees all 1,000). Real API server, builder and delivery, each in the
process it has in a mesh; only the proxies are clients of our own that acknowledge everything at once, with `--tls` with
certificates, as at istiod's port 15012. With `--rich` each Service has a DestinationRule too, and both rules say most
of what they can (those of `generate.py`). The reference is the API server's own write, whose answer comes after
validation and fsync.

A round is one write. Its time has three parts: `watch` until the builder has the object, `compute` in the core, and
`delivery`: all the rest, which is the debounce, the delivery process, the network and the clients' own work. CPU is
of whole processes per round, by the kernel's account, that of the two with the clients too: they are on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import statistics
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from api_server import api_server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from generate import rich_destination, rich_rule
from push import METHOD, Clients, clients, cpu_seconds, endpoints, rss_mb, service, virtual_service
from push_identities import make_identities

from plait.kube import kinds
from plait.kube.access import Access
from plait.kube.client import Client

BUILDER = str(Path(__file__).with_name("push_builder.py"))
NAMESPACES, EACH, SEEN, GATEWAYS = 100, 10, 10, 10
COMMON, NARROW = "n0", "n50"
_REST = 3.0
CREDENTIAL = "edge"
EDS, RDS, SDS = "ClusterLoadAssignment", "RouteConfiguration", "Secret"
_KINDS = {
    each.kind: each
    for each in (
        kinds.NAMESPACE,
        kinds.SERVICE,
        kinds.ENDPOINTSLICE,
        kinds.VIRTUALSERVICE,
        kinds.DESTINATIONRULE,
        kinds.SIDECAR,
        kinds.GATEWAY,
        kinds.SECRET,
    )
}


@dataclass(frozen=True, slots=True)
class Builder:
    """The builder's process; see push_builder.py for what it is asked."""

    process: asyncio.subprocess.Process
    port: int
    delivery: int

    async def look(self) -> tuple[float, float, int]:
        """When the core was given something last, how long it has worked so far, and how many views call out."""
        self.process.stdin.write(b"\n")
        found = json.loads(await self.process.stdout.readline())
        return found["given"], found["worked"], found["views"]


@asynccontextmanager
async def builder(access: Access, transport: str, tls: str = "") -> AsyncIterator[Builder]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, BUILDER, transport, tls, stdin=pipe, stdout=pipe)
    try:
        where = {"server": access.server, "ca": access.ca, "token": access.token}
        process.stdin.write(json.dumps(where).encode() + b"\n")
        async with asyncio.timeout(60):
            serving = json.loads(await process.stdout.readline())
        yield Builder(process, **serving)
    finally:
        process.stdin.close()
        await process.wait()


def placed(obj: dict[str, Any], namespace: str) -> dict[str, Any]:
    metadata = {k: v for k, v in obj["metadata"].items() if k not in {"uid", "resourceVersion"}}
    return {**obj, "metadata": {**metadata, "namespace": namespace}}


def sidecar(number: int) -> dict[str, Any]:
    others = [(number + step) % NAMESPACES for step in range(1, SEEN)]
    seen = dict.fromkeys(["./*", f"{COMMON}/*", *(f"n{other}/*" for other in others)])
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "default", "namespace": f"n{number}"},
        "spec": {"egress": [{"hosts": list(seen)[:SEEN]}]},
    }


def certificate(number: int) -> dict[str, Any]:
    """A Secret with a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"edge{number}.example")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=1))
    signed = made.not_valid_after(now + dt.timedelta(days=30)).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    data = {"tls.crt": signed.public_bytes(serialization.Encoding.PEM), "tls.key": pem}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": CREDENTIAL, "namespace": "istio-system"},
        "type": "kubernetes.io/tls",
        "data": {key: b64encode(value).decode() for key, value in data.items()},
    }


def edge() -> dict[str, Any]:
    server = {
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
        "hosts": ["*"],
        "tls": {"mode": "SIMPLE", "credentialName": CREDENTIAL},
    }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "edge", "namespace": "istio-system"},
        "spec": {"selector": {"istio": "edge"}, "servers": [server]},
    }


def world(*, scoped: bool, rich: bool) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = [edge(), certificate(0)]
    for namespace in range(NAMESPACES):
        name = f"n{namespace}"
        if scoped:
            result.append(sidecar(namespace))
        for index in range(EACH):
            number = namespace * EACH + index
            rules = (rich_rule(number), rich_destination(number)) if rich else (virtual_service(number, 0),)
            result += [placed(obj, name) for obj in (service(number), endpoints(number, 1), *rules)]
    return result


@dataclass
class Rounds:
    """Milliseconds of each round: of the write's answer, until the builder knew, of the core, and in all."""

    written: list[float] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    computed: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    size: int = 0

    def shown(self) -> dict[str, Any]:
        median = statistics.median
        p99 = statistics.quantiles(self.whole, n=100, method="inclusive")[98]
        rest = [
            whole - watch - work for whole, watch, work in zip(self.whole, self.watched, self.computed, strict=True)
        ]
        return {
            "response_bytes": self.size,
            "p50_ms": round(median(self.whole), 1),
            "p99_ms": round(p99, 1),
            "ms_of_p50": {
                "watch": round(median(self.watched), 1),
                "compute": round(median(self.computed), 1),
                "delivery": round(median(rest), 1),
            },
            "cpu_ms_per_push": {name: round(value, 1) for name, value in self.cpu.items()},
            "api_write_p50_ms": round(median(self.written), 1),
            "ratio_p50_to_api_write": round(median(self.whole) / median(self.written), 1),
        }


@dataclass
class Mesh:
    """What a round needs."""

    api: Client
    builder: Builder
    pids: dict[str, int]
    rounds: int

    async def write(self, obj: dict[str, Any], *, new: bool = False) -> None:
        kind = _KINDS[obj["kind"]]
        await (self.api.create(kind, obj) if new else self.api.replace(kind, obj))

    async def measure(
        self, who: Clients, kind: str, make: Callable[[int], dict[str, Any]], *, new: bool = False
    ) -> dict[str, Any]:
        result = Rounds()
        for number in range(-2, self.rounds):
            if number == 0:
                before = {name: cpu_seconds(pid) for name, pid in self.pids.items()}
            obj = make(number)
            # Longer than the debounce's quiet time: each round is a first change.
            await asyncio.sleep(0.03)
            _, worked, _ = await self.builder.look()
            began = time.monotonic()
            await self.write(obj, new=new)
            answered = time.monotonic()
            last, result.size = await after(who, kind, began)
            given, after_all, _ = await self.builder.look()
            if number >= 0:
                result.written.append((answered - began) * 1000)
                result.watched.append((given - began) * 1000)
                result.computed.append((after_all - worked) * 1000)
                result.whole.append((last - began) * 1000)
        result.cpu = {name: (cpu_seconds(pid) - before[name]) / self.rounds * 1000 for name, pid in self.pids.items()}
        print(f"{kind}: {statistics.median(result.whole):.0f} ms", file=sys.stderr)
        return result.shown()


async def after(who: Clients, kind: str, began: float) -> tuple[float, int]:
    """The first last ACK since then: a case before may have left some of this kind unread."""
    while True:
        last, size = await who.last_ack(kind)
        if last >= began:
            return last, size


async def fill(api: Client, objects: list[dict[str, Any]]) -> float:
    """Create everything; writes a second."""
    for name in [f"n{number}" for number in range(NAMESPACES)]:
        await api.create(kinds.NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    began = time.monotonic()
    waiting = iter(objects)

    async def worker() -> None:
        for obj in waiting:
            await api.create(_KINDS[obj["kind"]], obj)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(worker())
    return len(objects) / (time.monotonic() - began)


async def reconnect(mesh: Mesh, who: Clients) -> dict[str, Any]:
    spent = {name: cpu_seconds(pid) for name, pid in mesh.pids.items()}
    began = time.monotonic()
    who.reconnect()
    await mesh.write(placed(endpoints(0, 9), COMMON))
    last, _ = await after(who, EDS, began)
    return {
        "all_have_a_change_made_meanwhile_s": round(last - began, 3),
        "cpu_ms": {name: round((cpu_seconds(pid) - spent[name]) * 1000) for name, pid in mesh.pids.items()},
    }


async def cases(mesh: Mesh, who: Clients, edges: Clients, options: argparse.Namespace) -> dict[str, Any]:
    """Each case alone."""
    found: dict[str, Any] = {}
    rule = rich_rule if options.rich else virtual_service
    found["one_endpoint"] = await mesh.measure(who, EDS, lambda n: placed(endpoints(0, 100 + n), COMMON))
    found["one_virtual_service"] = await mesh.measure(who, RDS, lambda n: placed(rule(0, 100 + n), COMMON))
    if not options.unscoped:
        # Seen by its own namespace and the eight before it.
        concerned = options.proxies // NAMESPACES * (SEEN - 1)
        narrow = int(NARROW[1:]) * EACH
        who.expect(concerned)
        case = await mesh.measure(who, RDS, lambda n: placed(rule(narrow, 100 + n), NARROW))
        found["one_virtual_service_of_some"] = {"proxies": concerned, **case}
        first = 1200 + options.start + options.rounds
        case = await mesh.measure(who, RDS, lambda n: placed(service(first + n), NARROW), new=True)
        found["one_new_service_of_some"] = {"proxies": concerned, **case}
        who.expect(0)
    found["one_new_service"] = await mesh.measure(
        who, RDS, lambda n: placed(service(1100 + options.start + n), COMMON), new=True
    )
    found["one_certificate"] = {
        "proxies": f"{GATEWAYS} gateways: certificates of workloads do not travel by ADS",
        **await mesh.measure(edges, SDS, certificate),
    }
    found["reconnect_of_all"] = await reconnect(mesh, who)
    return found


async def benchmark(options: argparse.Namespace) -> None:
    figures: dict[str, Any] = {
        "proxies": options.proxies,
        "rounds": options.rounds,
        "transport": options.transport + (", TLS" if options.tls else ""),
        "scoped": not options.unscoped,
    }
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(api_server())
        api = await stack.enter_async_context(Client(server.access))
        figures["api_writes_per_s"] = round(await fill(api, world(scoped=not options.unscoped, rich=options.rich)))
        print(f"{figures['api_writes_per_s']} writes a second", file=sys.stderr)
        tls = stack.enter_context(TemporaryDirectory()) if options.tls else ""
        if tls:
            make_identities(Path(tls), ["istio-system", *(f"n{number}" for number in range(NAMESPACES))])
        made = await stack.enter_async_context(builder(server.access, options.transport, tls))
        pids = {"api": server.pid, "builder": made.process.pid, "delivery": made.delivery}
        mesh = Mesh(api, made, pids, options.rounds)
        spent = {name: cpu_seconds(pid) for name, pid in pids.items()}
        began = time.monotonic()
        who = await stack.enter_async_context(
            clients(made.port, options.proxies, METHOD, namespaces=NAMESPACES, tls=tls)
        )
        edges = await stack.enter_async_context(
            clients(made.port, GATEWAYS, METHOD, 1, credential=f"kubernetes://{CREDENTIAL}", tls=tls)
        )
        print("all connected", file=sys.stderr)
        _, _, views = await made.look()
        figures["cold_start"] = {
            "seconds": round(time.monotonic() - began, 2),
            "views": views,
            "cpu_ms": {name: round((cpu_seconds(pid) - spent[name]) * 1000) for name, pid in pids.items()},
        }
        pids |= {f"clients {number}": process.pid for number, process in enumerate(who.processes, 1)}
        # What is measured is a mesh at rest; a calm moment is also when garbage of the start is collected.
        await asyncio.sleep(_REST)
        figures |= await cases(mesh, who, edges, options)
        figures["rss_mb"] = {name: round(rss_mb(pid), 1) for name, pid in pids.items()}
    print(json.dumps(figures, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxies", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--unscoped", action="store_true")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--rich", action="store_true")
    parser.add_argument("--transport", choices=("grpc", "http2"), default="http2")
    options = parser.parse_args()
    options.start = 2
    asyncio.run(benchmark(options))


if __name__ == "__main__":
    main()
