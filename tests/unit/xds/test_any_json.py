"""No object can make the engine fail: what cannot be used is a Problem."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.api.decode import decoded_kinds
from plait.xds.engine import Engine, Upsert

TEXT = st.sampled_from(
    ["a", "b", "v1", "http", "tcp-x", "*", "", "None", "10.0.0.1", "::1", "a.b", "é", "\ud800", ".", "~"]
)
NUMBER = st.sampled_from([0, 1, 80, 3306, 8080, 65535, 65536, -1, 2**40])
LABELS = st.dictionaries(TEXT, TEXT, max_size=2)
ANY = st.none() | TEXT | NUMBER | LABELS | st.lists(TEXT, max_size=2)


def like(**fields: Any) -> Any:
    """Objects with some of these fields, now and then of a wrong type."""
    return st.fixed_dictionaries(
        {}, optional={name: st.one_of(value, value, value, ANY) for name, value in fields.items()}
    )


PORT = like(
    name=TEXT, port=NUMBER, targetPort=NUMBER | TEXT, protocol=st.sampled_from(["TCP", "UDP"]), appProtocol=TEXT
)
DESTINATION = like(destination=like(host=TEXT, subset=TEXT, port=like(number=NUMBER)), weight=NUMBER)
MATCH = like(uri=like(prefix=TEXT, regex=TEXT), headers=st.dictionaries(TEXT, like(exact=TEXT)), sourceLabels=LABELS)
HTTP = like(route=st.lists(DESTINATION, max_size=2), match=st.lists(MATCH, max_size=2), timeout=TEXT)
CONNECTIONS = like(destinationSubnets=st.lists(TEXT, max_size=2), port=NUMBER, sourceSubnet=TEXT, sourceLabels=LABELS)
TCP = like(route=st.lists(DESTINATION, max_size=2), match=st.lists(CONNECTIONS, max_size=2))
SERVER = like(
    port=like(number=NUMBER, name=TEXT, protocol=st.sampled_from(["HTTP", "TCP"])),
    hosts=st.lists(TEXT, max_size=2),
    bind=TEXT,
)
SUBSET = like(name=TEXT, labels=LABELS)
ENDPOINT = like(
    addresses=st.lists(TEXT, max_size=2),
    conditions=like(ready=st.booleans()),
    targetRef=like(kind=st.just("Pod"), name=TEXT),
    zone=TEXT,
)
LISTENER_PORT = like(number=NUMBER, name=TEXT, protocol=TEXT)
ENTRY = st.sampled_from(["*/*", "./*", "~/*", "shop/*", "*/a", "shop/a.shop.svc.cluster.local", "x"])
WORKLOAD = like(
    address=TEXT,
    ports=st.dictionaries(TEXT, NUMBER, max_size=2),
    labels=LABELS,
    network=TEXT,
    locality=TEXT,
    weight=NUMBER,
)
BODIES = {
    "Service": like(spec=like(clusterIP=TEXT, selector=LABELS, ports=st.lists(PORT, max_size=3), type=TEXT)),
    "EndpointSlice": like(endpoints=st.lists(ENDPOINT, max_size=3), ports=st.lists(PORT, max_size=2), addressType=TEXT),
    "Pod": like(
        spec=like(containers=st.lists(like(ports=st.lists(like(name=TEXT, containerPort=NUMBER))))),
        status=like(podIP=TEXT, phase=st.just("Running")),
    ),
    "Namespace": like(spec=ANY),
    "ConfigMap": like(data=like(mesh=st.sampled_from(["accessLogFile: /dev/stdout", "a: [", "- 1", "", "mode: 1"]))),
    "VirtualService": like(
        spec=like(
            hosts=st.lists(TEXT),
            http=st.lists(HTTP, max_size=2),
            tcp=st.lists(TCP, max_size=2),
            gateways=st.lists(TEXT),
            exportTo=st.lists(TEXT),
        )
    ),
    "DestinationRule": like(spec=like(host=TEXT, subsets=st.lists(SUBSET, max_size=2), exportTo=st.lists(TEXT))),
    "Gateway": like(spec=like(selector=LABELS, servers=st.lists(SERVER, max_size=2))),
    "ServiceEntry": like(
        spec=like(
            hosts=st.lists(TEXT, max_size=2),
            addresses=st.lists(TEXT, max_size=2),
            ports=st.lists(like(number=NUMBER, name=TEXT, protocol=TEXT, targetPort=NUMBER), max_size=2),
            location=st.sampled_from(["MESH_EXTERNAL", "MESH_INTERNAL"]),
            resolution=st.sampled_from(["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]),
            endpoints=st.lists(WORKLOAD, max_size=2),
            workloadSelector=like(labels=LABELS),
            exportTo=st.lists(TEXT, max_size=2),
        )
    ),
    "WorkloadEntry": like(spec=WORKLOAD),
    "Sidecar": like(
        spec=like(
            workloadSelector=like(labels=LABELS),
            egress=st.lists(like(hosts=st.lists(ENTRY, max_size=2), port=LISTENER_PORT, bind=TEXT), max_size=2),
            ingress=st.lists(like(port=LISTENER_PORT, defaultEndpoint=TEXT, bind=TEXT), max_size=2),
            outboundTrafficPolicy=like(mode=st.sampled_from(["ALLOW_ANY", "REGISTRY_ONLY"])),
        )
    ),
}


@st.composite
def objects(draw: Any) -> dict[str, Any]:
    group, kind = draw(st.sampled_from(decoded_kinds()))
    metadata = draw(like(labels=LABELS, annotations=LABELS, creationTimestamp=TEXT))
    if not isinstance(metadata, dict):
        metadata = {}
    metadata |= {"name": draw(st.sampled_from(["a", "b"])), "namespace": draw(st.sampled_from(["shop", "bank"]))}
    if kind == "ConfigMap":
        metadata |= {"name": "istio", "namespace": "istio-system"}
    if kind == "EndpointSlice":
        metadata["labels"] = {"kubernetes.io/service-name": "a"}
    body = draw(BODIES.get(kind, like(spec=ANY)))
    return {**body, "apiVersion": f"{group}/v1" if group else "v1", "kind": kind, "metadata": metadata}


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(world=st.lists(objects(), max_size=12))
def test_no_object_makes_the_engine_fail(k8s: SimpleNamespace, world: list[dict[str, Any]]) -> None:
    engine = Engine()
    engine.attach(k8s.sidecar("shop", a="b"))
    engine.attach(k8s.router(a="b"))
    for obj in world:
        engine.apply([Upsert(obj)])
        engine.take()
        for found in engine.problems().values():
            assert all(str(problem) for problem in found)
