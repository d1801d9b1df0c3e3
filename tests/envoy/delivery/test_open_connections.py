"""Policies and keys of tokens on connections that stay open: the real core, istiod's halves, and Envoy as a gateway.

Its workers are several, so that a change that one of them has and another has not yet would be seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.tokens import SigningKey, key_set

from plait.api.meta import ObjectKey
from plait.proxy.envoy import run_envoy
from plait.snapshot.tokens import KeySource
from plait.xds.engine import Engine, Remove, Upsert
from plait.xds.slots import DENY, SLOTS

pytestmark = pytest.mark.envoy

WORKERS, OPEN = 3, 12
API, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
KEYS = KeySource("https://issuer.example/keys")


class Client:
    """A connection that stays open as long as the other end lets it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, path: str = "/", token: str = "") -> tuple[int, bool]:
        """The status, and whether the connection was told to end."""
        more = f"authorization: Bearer {token}\r\n" if token else ""
        self._writer.write(f"GET {path} HTTP/1.1\r\nhost: shop.example\r\n{more}\r\n".encode())
        async with asyncio.timeout(60):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = next(line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:"))
            await self._reader.readexactly(int(size))
        return int(head.split()[1]), "connection: close" in head

    def close(self) -> None:
        self._writer.close()


class Mesh:
    """A proxy that leads everything to one server, and clients that are connected to it. `kind` is that of its node."""

    def __init__(self, make, folder: Path, port: int, kind: str) -> None:
        self._make, self._folder, self.port, self._kind = make, folder, port, kind
        self.control = make.control(Engine())
        self.generation = 0

    def put(self, obj) -> ObjectKey:
        """Make or change an object; `settled` waits for it."""
        self.generation += 1
        obj["metadata"] |= {"namespace": "shop", "generation": self.generation}
        self.control.builder.apply([Upsert(obj)], endpoints_only=False)
        return ObjectKey(obj["kind"], "shop", obj["metadata"]["name"])

    async def settled(self, key: ObjectKey):
        return await self.control.words.until(key.name, "Settled", self.generation)

    def policy(self, spec, name: str = "p") -> ObjectKey:
        return self.put(
            {"apiVersion": SECURITY, "kind": "AuthorizationPolicy", "metadata": {"name": name}, "spec": spec}
        )

    def gone(self, key: ObjectKey) -> None:
        self.control.builder.apply(
            [Remove("security.istio.io", key.kind, key.namespace, key.name)], endpoints_only=False
        )

    async def change(self, spec) -> None:
        """A policy, in effect."""
        await self.settled(self.policy(spec))

    @contextlib.asynccontextmanager
    async def envoy(self):
        boot = self._make.bootstrap(self._folder, self.control.builder.port)
        boot["node"]["id"] = boot["node"]["id"].replace("10.0.0.1", self._make.address()).replace("sidecar", self._kind)
        self._make.probed(boot, str(self._folder / "admin.sock"))
        boot["stats_config"]["stats_matcher"]["inclusion_list"]["patterns"] += [
            {"contains": "rbac"}, {"contains": "downstream_cx"}, {"contains": "init_fetch_timeout"},
        ]  # fmt: skip
        more = ("--drain-time-s", "1")
        async with run_envoy(boot, self._folder, concurrency=WORKERS, ready=60, more=more) as running:
            yield running

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def clients(self, count: int = OPEN) -> list[Client]:
        """Connections on which a request was let through."""
        found = [await self.client() for _ in range(count)]
        assert [await each.ask() for each in found] == [(200, False)] * count
        return found


@contextlib.asynccontextmanager
async def server():
    """Its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    backend = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield backend.sockets[0].getsockname()[1]
    backend.close()


@pytest.fixture
async def sidecar(make, free_port):
    """Its port may be spoken to in HTTP or in anything else."""
    async with server() as to:
        with tempfile.TemporaryDirectory(prefix="in") as name:
            made = Mesh(make, Path(name), free_port(), "sidecar")
            ingress = {"port": {"number": made.port, "name": "any"}, "bind": "127.0.0.1", "captureMode": "NONE",
                       "defaultEndpoint": f"127.0.0.1:{to}"}  # fmt: skip
            made.put({"apiVersion": API, "kind": "Sidecar", "metadata": {"name": "web"}, "spec": {
                "workloadSelector": {"labels": {"app": "front-end"}}, "ingress": [ingress]}})  # fmt: skip
            async with made.control.running():
                made.control.builder.synced()
                await made.control.serving()
                yield made


@pytest.fixture
async def gateway(make, free_port):
    async with server() as to:
        with tempfile.TemporaryDirectory(prefix="gw") as name:
            made = Mesh(make, Path(name), free_port(), "router")
            servers = [{"port": {"number": made.port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
            endpoint = {"address": "127.0.0.1", "ports": {"http": to}}
            made.put({"apiVersion": API, "kind": "ServiceEntry", "metadata": {"name": "shop"}, "spec": {
                "hosts": ["shop.example"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "resolution": "STATIC", "endpoints": [endpoint]}})  # fmt: skip
            made.put({"apiVersion": API, "kind": "Gateway", "metadata": {"name": "edge"}, "spec": {
                "selector": {"app": "front-end"}, "servers": servers}})  # fmt: skip
            made.put({"apiVersion": API, "kind": "VirtualService", "metadata": {"name": "all"}, "spec": {
                "hosts": ["*"], "gateways": ["edge"],
                "http": [{"route": [{"destination": {"host": "shop.example", "port": {"number": 80}}}]}]}})  # fmt: skip
            async with made.control.running():
                made.control.builder.synced()
                await made.control.serving()
                yield made


NOBODY = {"action": "DENY", "rules": [{}]}
NOBODY_THERE = {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/elsewhere"]}}]}]}


async def test_what_is_settled_holds_for_the_next_request_on_every_open_connection(gateway):
    async with gateway.envoy() as envoy:
        clients = await gateway.clients()
        for _ in range(5):
            for spec, status in ((NOBODY, 403), (NOBODY_THERE, 200), ({}, 403), ({"rules": [{}]}, 200)):
                await gateway.change(spec)
                assert [await each.ask() for each in clients] == [(status, False)] * OPEN
        # The last policy's end: what is settled after it says that it is over.
        gateway.gone(ObjectKey("AuthorizationPolicy", "shop", "p"))
        await gateway.settled(gateway.policy(NOBODY_THERE, "other"))
        assert [await each.ask() for each in clients] == [(200, False)] * OPEN
        assert sum((await envoy.admin.stats(pattern="init_fetch_timeout")).values()) == 0
        for each in clients:
            each.close()


async def test_connections_of_requests_stay_when_those_of_bytes_are_judged_anew(sidecar):
    async with sidecar.envoy() as envoy:
        clients = await sidecar.clients()
        for spec, status in ((NOBODY, 403), (NOBODY_THERE, 200), ({}, 403), ({"rules": [{}]}, 200)) * 3:
            await sidecar.change(spec)
            assert [await each.ask() for each in clients] == [(status, False)] * OPEN
        await sidecar.change(NOBODY)
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        writer.write(b"\x00\r\n\r\n")
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()
        listeners = [part for part in (await envoy.admin.config_dump())["configs"] if "Listeners" in part["@type"]]
        assert "envoy.filters.network.rbac" in json.dumps(listeners)
        assert [await each.ask() for each in clients] == [(403, False)] * OPEN
        for each in clients:
            each.close()


async def test_a_filter_that_is_refused_is_told_of_its_policy_and_the_one_before_decides(gateway):
    async with gateway.envoy():
        (client,) = await gateway.clients(1)
        await gateway.change(NOBODY_THERE)
        # This Envoy takes shorter patterns than those of the mesh do.
        long = {"from": [{"source": {"serviceAccounts": [f"{'n' * 60}/{'a' * 200}"]}}]}
        gateway.policy({"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/"]}}]}, long]})
        found = await gateway.control.words.until("p", "Rejected", gateway.generation)
        assert found.blame.path == "spec.rules"
        assert "regex" in found.blame.message
        assert await client.ask() == (200, False)
        assert await client.ask("/elsewhere") == (403, False)
        await gateway.change(NOBODY)
        assert await client.ask() == (403, False)
        client.close()


async def test_new_keys_hold_for_the_next_request_and_end_no_connection(gateway):
    async with gateway.envoy():
        clients = await gateway.clients()
        rule = {"issuer": "i", "jwksUri": KEYS.url}
        made = {"apiVersion": SECURITY, "kind": "RequestAuthentication", "metadata": {"name": "tokens"},
                "spec": {"jwtRules": [rule]}}  # fmt: skip
        pairs = [SigningKey("ES256", name) for name in "abcd"]
        tokens = [each.sign({"iss": "i", "sub": "jane", "exp": int(time.time()) + 3600}) for each in pairs]
        key = gateway.put(made)
        for number, pair in enumerate(pairs):
            gateway.control.builder.keys_came(KEYS, key_set(pair))
            await gateway.settled(key)
            expected = [(200 if other == number else 401, False) for other in range(len(pairs))]
            for each in clients:
                assert [await each.ask(token=token) for token in tokens] == expected
            # The same generation of the rule is settled again: not before the keys are in effect.
            gateway.control.words.told.clear()
        for each in clients:
            each.close()


async def test_what_a_token_says_reaches_routes_and_policies_from_a_slot(gateway):
    """The metadata has the filter's usual name, and the route is looked for anew."""
    async with gateway.envoy():
        (client,) = await gateway.clients(1)
        pair = SigningKey("ES256", "a")
        rule = {"issuer": "i", "jwks": key_set(pair)}
        gateway.put({"apiVersion": SECURITY, "kind": "RequestAuthentication", "metadata": {"name": "tokens"},
                     "spec": {"jwtRules": [rule]}})  # fmt: skip
        jane, joe = (pair.sign({"iss": "i", "sub": sub, "exp": int(time.time()) + 3600}) for sub in ("jane", "joe"))
        route = [{"destination": {"host": "shop.example", "port": {"number": 80}}}]
        claims = {"match": [{"headers": {"@request.auth.claims.sub": {"exact": "jane"}}}], "redirect": {"uri": "/jane"}}
        spec = {"hosts": ["*"], "gateways": ["edge"], "http": [claims, {"route": route}]}
        rules = gateway.put({"apiVersion": API, "kind": "VirtualService", "metadata": {"name": "all"}, "spec": spec})
        await gateway.settled(rules)
        asked = [await client.ask(token=token) for token in ("", jane, joe, "nonsense")]
        assert asked == [(200, False), (301, False), (200, False), (401, False)]
        await gateway.change({"rules": [{"from": [{"source": {"requestPrincipals": ["i/joe"]}}]}]})
        asked = [await client.ask(token=token) for token in ("", jane, joe)]
        assert asked == [(403, False), (403, False), (200, False)]
        client.close()


async def test_changes_under_load_are_noticed_by_nobody_they_are_not_for(gateway):
    async with gateway.envoy():
        clients = await gateway.clients()
        answers: Counter[tuple[str, int, bool]] = Counter()
        over = asyncio.Event()

        async def load(client: Client) -> None:
            while not over.is_set():
                for path in ("/", "/closed"):
                    answers[(path, *await client.ask(path))] += 1

        closed = {"to": [{"operation": {"paths": ["/closed"]}}]}
        await gateway.change({"action": "DENY", "rules": [closed]})
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(load(client))
            for number in range(200):
                # By one slot after the other, each time with something new in it: there is no moment in between.
                other = {"to": [{"operation": {"paths": [f"/else/{number}"]}}]}
                match number % 3:
                    case 0:
                        gateway.policy({"rules": [{"to": [{"operation": {"paths": ["/"]}}]}, other]})
                    case 1:
                        gateway.policy({"action": "CUSTOM", "provider": {"name": "nobody"}, "rules": [closed, other]})
                    case 2:
                        gateway.policy({"action": "DENY", "rules": [closed, other]})
                await gateway.settled(ObjectKey("AuthorizationPolicy", "shop", "p"))
            over.set()
        assert set(answers) == {("/", 200, False), ("/closed", 403, False)}
        for each in clients:
            each.close()


async def test_a_listener_waits_for_what_is_in_its_slots(gateway):
    async with gateway.envoy() as envoy:
        client = (await gateway.clients(1))[0]
        dump = await envoy.admin.config_dump()
        found = [part for part in dump["configs"] if part["@type"].endswith("EcdsConfigDump")]
        names = {each["ecds_filter"]["name"] for part in found for each in part["ecds_filters"]}
        assert names == {slot.name for slot in SLOTS}
        await gateway.change(NOBODY)
        assert await client.ask() == (403, False)
        # Statistics and what was noted have Istio's names.
        stats = await envoy.admin.stats(pattern="rbac")
        assert {name.rpartition(".rbac.")[2] for name, value in stats.items() if value} >= {"denied"}
        assert DENY.name in json.dumps(await envoy.admin.config_dump())
        client.close()
