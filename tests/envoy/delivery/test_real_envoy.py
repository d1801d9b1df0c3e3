"""Delivery against a real Envoy."""

from __future__ import annotations

import asyncio

import pytest
from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC as HTTP_RBAC
from google.protobuf.json_format import MessageToDict

from plait.delivery.store import ViewStore
from plait.proxy.admin import AdminError
from plait.proxy.dump import clusters, listeners, waiting
from plait.xds.http_connection import http_filter
from plait.xds.resource import CDS, ECDS, EDS, LDS, RDS, ViewUpdate
from plait.xds.slots import DENY, EMPTY, REFERENCES, content

pytestmark = pytest.mark.envoy


async def waited_in_vain(envoy) -> int:
    """How often Envoy went on after 15 seconds without resources that had not come."""
    return sum((await envoy.admin.stats(pattern="init_fetch_timeout")).values())


async def test_a_fresh_proxy_gets_everything_and_serves(bench, make):
    bench.shop()
    async with bench.envoy() as envoy:
        await bench.server.watcher.synced()
        assert await make.ask(bench.inbox) == "200 a"
        assert await waited_in_vain(envoy) == 0
        (caller,) = bench.server.watcher.callers.values()
        assert caller.node.labels == (("app", "front-end"), ("version", "v1"))
        assert caller.version == "0.1.0"
        dump = await envoy.admin.config_dump()
        assert {e.resource["name"] for e in clusters(dump)} == {"a", "b", "xds-grpc"}
        assert await envoy.admin.ready()


async def test_an_updated_cluster_does_not_warm_for_15_seconds(bench, make):
    bench.shop()
    async with bench.envoy() as envoy:
        watcher = bench.server.watcher
        await watcher.synced()
        for timeout in ("2s", "3s", "4s"):
            bench.server.change((CDS, make.cluster("a", connect_timeout=timeout)))
            await watcher.synced()
            while waiting(dump := await envoy.admin.config_dump()):
                pass
            (now,) = [e.resource["connect_timeout"] for e in clusters(dump) if e.resource["name"] == "a"]
            assert now == timeout
        assert await waited_in_vain(envoy) == 0
        assert await make.ask(bench.inbox) == "200 a"


async def test_a_new_cluster_is_warm_before_routes_lead_to_it(bench, make):
    bench.shop()
    async with bench.envoy():
        watcher = bench.server.watcher
        await watcher.synced()
        answers = set()
        done = asyncio.Event()

        async def traffic() -> None:
            while not done.is_set():
                answers.add(await make.ask(bench.inbox))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic())
            bench.server.change(
                (CDS, make.cluster("c")),
                (EDS, make.endpoints("c", bench.path("c"))),
                (RDS, make.routes("80", "c")),
                removed=((CDS, "a"), (EDS, "a")),
            )
            await watcher.synced()
            assert await make.ask(bench.inbox) == "200 c"
            done.set()
        assert answers <= {"200 a", "200 c"}


async def test_a_bad_listener_is_refused_while_the_others_apply(bench, make):
    bench.shop()
    async with bench.envoy() as envoy:
        watcher = bench.server.watcher
        await watcher.synced()
        bad = make.listener("bad", bench.path("bad"), "80")
        bad["listener_filters"] = [{"name": "no.such.filter"}]
        bench.server.change(
            (LDS, bad), (LDS, make.listener("good", bench.path("good"), "80")), (RDS, make.routes("80", "b"))
        )
        await watcher.until(lambda: watcher.status()["lds"][0] == "NACK", "refused")
        (refused,) = [r for r in watcher.reactions if r.error]
        assert refused.refused == ("bad",)
        assert "no.such.filter" in refused.error
        await watcher.until(lambda: watcher.status()["rds"][0] == "SYNCED", "routes")
        assert await make.ask(bench.folder / "good.sock") == "200 b"
        assert {e.resource["name"] for e in listeners(await envoy.admin.config_dump())} == {"in", "good"}
        bench.server.change((LDS, make.listener("bad", bench.path("bad"), "80")))
        await watcher.synced()
        assert await make.ask(bench.folder / "bad.sock") == "200 b"


async def test_a_bad_route_table_does_not_hold_up_a_good_one(bench, make):
    bench.shop()
    bench.server.store.apply([])
    async with bench.envoy() as envoy:
        watcher = bench.server.watcher
        await watcher.synced()
        bench.server.change((LDS, make.listener("in2", bench.path("in2"), "81")), (RDS, make.routes("81", "a")))
        await watcher.synced()
        for bad, good in (("80", "81"), ("81", "80")):
            broken = make.routes(bad, "b")
            broken["virtual_hosts"].append({"name": "again", "domains": ["*"]})
            bench.server.change((RDS, broken), (RDS, make.routes(good, "b")))
            await watcher.until(lambda: watcher.status()["rds"][0] == "NACK", "refused")
            path = {"80": bench.inbox, "81": bench.folder / "in2.sock"}
            async with asyncio.timeout(60):
                while await make.ask(path[good]) != "200 b":
                    await asyncio.sleep(0.02)
            assert await make.ask(path[bad]) == "200 a"
            bench.server.change((RDS, make.routes(bad, "a")), (RDS, make.routes(good, "a")))
            await watcher.synced()
    assert envoy.process.returncode == 0


async def test_a_reconnect_sends_nothing_equal(bench, make):
    bench.shop()
    async with bench.envoy():
        await bench.server.watcher.synced()
        await bench.server.stop()
        assert await make.ask(bench.inbox) == "200 a"
        again = ViewStore("other")
        bench.server.store = again
        bench.shop()
        await bench.server.start(again)
        await bench.server.watcher.synced()
        assert bench.server.watcher.pushes == []
        bench.server.change((EDS, make.endpoints("a", bench.path("b"))))
        await bench.server.watcher.until(lambda: bench.server.watcher.reactions, "acknowledged")
        assert await make.ask(bench.inbox) == "200 b"


async def test_a_reconnect_brings_what_changed_meanwhile_and_removes_what_is_gone(bench, make):
    bench.shop()
    async with bench.envoy() as envoy:
        await bench.server.watcher.synced()
        await bench.server.stop()
        again = ViewStore("other")
        bench.server.store = again
        bench.shop()
        again.apply([ViewUpdate("out", CDS, (), ("b",)), ViewUpdate("out", EDS, (), ("b",))])
        await bench.server.start(again)
        await bench.server.watcher.synced()
        assert [(p.type_url, p.removed) for p in bench.server.watcher.pushes] == [(CDS, ("b",))]
        assert {e.resource["name"] for e in clusters(await envoy.admin.config_dump())} == {"a", "xds-grpc"}


async def test_slots_are_filled_again_after_a_reconnect_only_with_what_is_new(bench, make):
    def slotted() -> None:
        """As `shop`, with slots in its listener."""
        bench.shop()
        listener = make.listener("in", str(bench.inbox), "80")
        filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
        filters[:0] = [MessageToDict(each, preserving_proto_field_name=True) for each in REFERENCES]
        bench.server.store.apply([ViewUpdate("out", LDS, (make.resource(LDS, listener),))])
        bench.server.store.apply([ViewUpdate("out", ECDS, tuple(EMPTY.values()))])

    slotted()
    async with bench.envoy():
        await bench.server.watcher.synced()
        assert await make.ask(bench.inbox) == "200 a"
        await bench.server.stop()
        bench.server.store = again = ViewStore("other")
        slotted()
        rules = RBAC(action=RBAC.DENY)
        everybody = rules.policies["everybody"]
        everybody.permissions.add().any = everybody.principals.add().any = True
        denied = content(DENY, http_filter("", HTTP_RBAC(rules=rules)))
        again.apply([ViewUpdate("out", ECDS, (denied,))])
        await bench.server.start(again)
        await bench.server.watcher.until(lambda: bench.server.watcher.reactions, "acknowledged")
        await bench.server.watcher.synced()
        assert [dict(push.versions) for push in bench.server.watcher.pushes] == [{DENY.name: denied.version}]
        assert await make.ask(bench.inbox) == "403 RBAC: access denied"


async def test_a_proxy_with_a_wrong_token_gets_nothing(bench):
    bench.shop()
    async with bench.envoy(token="bad", ready=0) as envoy:
        pattern = "cluster.xds-grpc.upstream_rq_total"
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await envoy.admin.stats(pattern=pattern))[pattern] > 1:
                        break
                except (AdminError, KeyError):
                    pass  # not listening yet
                await asyncio.sleep(0.05)
        assert bench.server.watcher.callers == {}
        assert not await envoy.admin.ready()
