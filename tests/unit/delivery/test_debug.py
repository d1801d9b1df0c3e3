"""Metrics text, the debug port's guard, dumps, and what people are told of a refusal."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC

from plait.delivery.auth import Identity, UnauthenticatedError
from plait.delivery.builder import Builder, Refusal
from plait.delivery.debug import DebugServer
from plait.delivery.dump import config_dump, decode, endpointz
from plait.delivery.metrics import BUCKETS, Exposition, bucket
from plait.delivery.objects import Objects
from plait.delivery.refusals import tell
from plait.delivery.store import ViewStore
from plait.delivery.wire import encode_element
from plait.xds.resource import CDS, ECDS, EDS, LDS, TYPE_PREFIX, Resource, ViewUpdate
from plait.xds.slots import DENY, EMPTY


def resource(type_url, name, value):
    return Resource(type_url, name, "v1", encode_element(type_url=type_url, name=name, version="v1", value=value))


def test_exposition_escapes_and_accumulates():
    out = Exposition()
    out.add("a_total", "counter", "All a.", 3)
    out.add("b", "gauge", "B.", [({"x": 'q"\\\n'}, 1.5)])
    out.add_histogram("h", "H.", [1] * (len(BUCKETS) + 1), 2.0)
    lines = out.text().splitlines()
    assert "a_total 3" in lines
    assert 'b{x="q\\"\\\\\\n"} 1.5' in lines
    assert f'h_bucket{{le="+Inf"}} {len(BUCKETS) + 1}' in lines
    assert 'h_bucket{le="0.002"} 1' in lines
    assert "# TYPE h histogram" in lines


def test_buckets():
    assert (bucket(0.002), bucket(0.0021), bucket(99)) == (0, 1, len(BUCKETS))


class Tokens:
    async def identify(self, token):
        if token not in {"istio-system", "shop"}:
            raise UnauthenticatedError("bad token")
        return Identity(namespace=token, service_account="default")


class Nothing:
    def taking(self):
        return ()

    def moved(self):
        return ()

    def carried(self):
        return ()


@pytest.fixture
def local():
    """Whether callers count as local."""
    return [True]


@pytest.fixture
async def client(local):
    builder = Builder(Nothing(), refused=print)
    server = DebugServer(
        builder=builder,
        objects=Objects(),
        authenticator=Tokens(),
        istiod="istiod-1",
        version="0.1.0",
        is_local=lambda _request: local[0],
    )
    async with TestClient(TestServer(server.application())) as made:
        made.builder = builder
        yield made


async def test_local_callers_see_everything(client):
    assert await (await client.get("/debug/syncz")).json() == []
    assert await (await client.get("/debug/registryz")).json() == []
    for path in ("/debug", "/debug/"):
        assert "/debug/syncz" in await (await client.get(path)).json()
    assert await (await client.get("/version")).text() == "0.1.0\n"
    assert (await client.get("/debug/config_dump")).status == 400
    assert (await client.get("/debug/config_dump?proxyID=a.b")).status == 404


async def test_ready_says_so_only_when_it_is(client):
    assert (await client.get("/ready")).status == 503
    client.builder.synced()
    client.builder.port = 1
    assert (await client.get("/ready")).status == 200


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/debug/syncz", None, 401),
        ("/debug/syncz", "bad", 401),
        ("/debug/syncz", "shop", 403),
        ("/debug/syncz", "istio-system", 200),
        ("/metrics", None, 200),
        ("/ready", None, 503),
    ],
)
async def test_callers_from_elsewhere_need_a_token_of_the_system(client, local, path, token, status):
    local[0] = False
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    assert (await client.get(path, headers=headers)).status == status


async def test_metrics_are_prometheus_text(client):
    response = await client.get("/metrics")
    assert response.content_type == "text/plain"
    text = await response.text()
    assert 'pilot_xds_pushes{type="cds"} 0' in text
    assert "process_cpu_seconds_total" in text


def test_dumps_have_envoys_shape():
    store = ViewStore("x")
    cluster = Cluster(name="a", type=Cluster.EDS)
    endpoints = ClusterLoadAssignment(cluster_name="a")
    address = endpoints.endpoints.add().lb_endpoints.add().endpoint.address.socket_address
    address.address, address.port_value = "10.0.0.1", 80
    store.apply(
        [
            ViewUpdate("v", CDS, (resource(CDS, "a", cluster.SerializeToString()),)),
            ViewUpdate("v", EDS, (resource(EDS, "a", endpoints.SerializeToString()),)),
            ViewUpdate("v", ECDS, (EMPTY[DENY.name],)),
        ]
    )
    clusters, endpoint_sets, extensions, listeners, routes = config_dump(store, ["v"])["configs"]
    assert clusters["dynamic_active_clusters"] == [
        {"version_info": "v1", "cluster": {"@type": CDS, "name": "a", "type": "EDS"}}
    ]
    assert endpoint_sets["dynamic_endpoint_configs"][0]["endpoint_config"]["cluster_name"] == "a"
    (filled,) = extensions["ecds_filters"]
    assert filled["ecds_filter"] == {
        "@type": ECDS, "name": DENY.name, "typed_config": {"@type": TYPE_PREFIX + RBAC.DESCRIPTOR.full_name},
    }  # fmt: skip
    assert listeners["dynamic_listeners"] == routes["dynamic_route_configs"] == []
    (shown,) = endpointz(store)
    assert (shown["svc"], shown["ep"][0]["address"], shown["ep"][0]["port"]) == ("a", "10.0.0.1", 80)


def test_what_cannot_be_decoded_is_shown_as_it_is():
    foreign = resource("type.googleapis.com/no.such.Type", "a", b"\x01")
    assert decode(foreign) == {"@type": "type.googleapis.com/no.such.Type", "name": "a", "value": "AQ=="}


class Recorder:
    def __init__(self):
        self.events = []

    def record(self, obj, *, reason, message, type, field=""):  # noqa: A002
        assert not field or message.startswith(f"{field}: ")
        self.events.append((obj["metadata"]["name"], reason, type, message))


def test_a_refusal_is_an_event_on_known_objects_and_names_no_proxy():
    objects, recorder = Objects(), Recorder()
    objects.put({"kind": "VirtualService", "metadata": {"name": "a", "namespace": "shop"}})
    refusal = Refusal(
        proxy="x-1.shop",
        type_url=LDS,
        names=("0.0.0.0_80",),
        message="unknown filter",
        origins=("VirtualService/shop/a", "VirtualService/shop/gone"),
        paths=("spec.http[0]", ""),
    )
    tell(refusal, objects, recorder)
    text = "spec.http[0]: Envoy refused listener 0.0.0.0_80, the version before stays in use: unknown filter"
    assert recorder.events == [("a", "ProxyRejected", "Warning", text)]


def test_a_refusal_of_much_leaves_room_for_envoys_words():
    objects, recorder = Objects(), Recorder()
    objects.put({"kind": "EnvoyFilter", "metadata": {"name": "a", "namespace": "shop"}})
    names = tuple(f"outbound|{port}||web.shop.svc.cluster.local" for port in range(500))
    origin = ("EnvoyFilter/shop/a",)
    tell(Refusal(proxy="x-1.shop", type_url=CDS, names=names, message="no prime", origins=origin, paths=("",)),
         objects, recorder)  # fmt: skip
    ((_, _, _, message),) = recorder.events
    assert "and 497 more" in message
    assert message.endswith(": no prime")
    assert len(message) < 300


def test_objects_keep_only_what_is_asked_for():
    objects = Objects()
    for kind in ("Pod", "Service"):
        objects.put({"kind": kind, "metadata": {"name": "a", "namespace": "shop"}, "spec": {"clusterIP": "None"}})
    assert (objects.count("Pod"), objects.count("Service")) == (0, 1)
    (service,) = objects.registryz()
    assert (service["hostname"], service["defaultAddress"]) == ("a.shop.svc.cluster.local", "0.0.0.0")
    objects.remove("Service", "shop", "a")
    assert objects.registryz() == []
