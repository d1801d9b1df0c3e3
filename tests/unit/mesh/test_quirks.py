"""The Sock Shop demo's manifests, to the letter: what the core makes of each oddity, by row of the quirk table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plait.analyze.analysis import analyze
from plait.analyze.finding import Finding
from plait.analyze.kinds import VIRTUAL_SERVICE
from plait.analyze.world import Item, World
from plait.api.decode import decode, knows
from plait.api.meta import ObjectKey
from plait.api.problem import Level
from plait.api.yaml import read_yaml

INSTALL = "1-sock-shop-install/1-sock-shop-complete-demo-istio.yaml"
GATEWAY = "1-sock-shop-install/2-sockshop-gateway.yaml"
ROUTES = "1-sock-shop-install/3-virtual-services-all.yaml"
LESSON = "2-inteligent-routing"
BREAKER = "3-circuit-breaker/3-circuit-breaker.yaml"
MUTUAL = "4-security/4-virtual-services-all-mtls.yaml"
ABORT = "5-timeouts/5-fault-injection-abort-catalogue.yaml"


#: What is told of any rule while nothing runs.
WITHOUT_PODS = {"IST0173"}


class Demo:
    """A world that is given the files as `kubectl apply -n NAMESPACE` would. No pod runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World()

    def apply(self, file: str, namespace: str = "sock-shop") -> None:
        reading = read_yaml((self.folder / file).read_text(), file)
        assert not reading.problems
        for document in reading.documents:
            obj = document.value
            group, _, _ = str(obj.get("apiVersion", "")).rpartition("/")
            if knows(group, obj["kind"]):
                obj["metadata"].setdefault("namespace", namespace)
                assert decode(obj).value is not None, decode(obj).problems
                self.world.put(Item(obj))

    def told(self, kind: str, name: str, namespace: str = "sock-shop") -> list[tuple[Level, str, str]]:
        key = ObjectKey(kind, namespace, name)
        return [(found.level, found.path, found.text) for found in self.findings() if found.object == key]

    def findings(self) -> list[Finding]:
        return [found for found in analyze(self.world) if found.code not in WITHOUT_PODS]


@pytest.fixture
def demo(shared: Path) -> Demo:
    made = Demo(shared / "sockshop-istio")
    for file in (INSTALL, GATEWAY, ROUTES):
        made.apply(file)
    return made


@pytest.mark.parametrize("name", ["carts-db", "orders-db", "user-db", "catalogue-db"])
def test_row_4_http_rules_of_databases_are_not_used(demo: Demo, name: str) -> None:
    ((level, path, message),) = demo.told("VirtualService", name)
    assert (level, path) == (Level.WARNING, "spec.hosts[0]")
    assert "its http rules are not used" in message


def test_row_4_and_16_a_broker_whose_ports_say_nothing_is_looked_into(demo: Demo) -> None:
    (port, hosts) = demo.told("VirtualService", "rabbitmq")
    assert hosts[:2] == (Level.INFO, "spec.hosts[0]")
    assert "no port of 'rabbitmq' is declared as HTTP (5672 amq, 4369 epmd)" in hosts[2]
    # Row 17: two ports and none chosen, which Istio calls an error.
    assert port[:2] == (Level.ERROR, "spec.http[0].route[0].destination")
    assert "the port that was called is used" in port[2]


def test_row_5_orders_sends_http_into_a_database(demo: Demo) -> None:
    ((level, path, message),) = demo.told("VirtualService", "orders")
    assert (level, path) == (Level.WARNING, "spec.http[0].route[0].destination.host")
    assert message.startswith("ERROR: HTTP for orders is sent to catalogue-db, whose port 3306 tcp-dbport speaks TCP")
    assert "by accident: catalogue-db is headless" in message


def test_row_5_at_a_gateway_nothing_gets_through_by_accident(demo: Demo) -> None:
    route = {"destination": {"host": "catalogue-db"}}
    spec = {"hosts": ["*"], "gateways": ["sockshop-gateway"], "http": [{"route": [route]}]}
    metadata = {"name": "outside", "namespace": "sock-shop"}
    version = "networking.istio.io/v1"
    demo.world.put(Item({"apiVersion": version, "kind": "VirtualService", "metadata": metadata, "spec": spec}))
    told = [text for _, path, text in demo.told("VirtualService", "outside") if path.endswith("destination.host")]
    assert any(
        text.startswith("ERROR: every request for * will fail, since HTTP is sent to catalogue-db") for text in told
    )


def test_rows_4_and_5_are_all_that_is_told_of_the_routes(demo: Demo) -> None:
    told = {one.object.name for one in demo.findings() if one.object.kind in {"VirtualService", "DestinationRule"}}
    assert told == {"carts-db", "orders-db", "user-db", "catalogue-db", "rabbitmq", "orders"}


def test_row_7_the_canary_without_a_namespace_misses_its_service(demo: Demo) -> None:
    demo.apply(f"{LESSON}/2-front-end-deployment-v2-route.yaml")
    demo.apply(f"{LESSON}/2-canary.yaml", namespace="default")
    ((_, path, message),) = demo.told("DestinationRule", "front-end", "default")
    assert path == "spec.host"
    assert "a Service 'front-end' is in namespace sock-shop" in message
    ((_, path, message),) = demo.told("VirtualService", "front-end")
    assert path == "spec.http[0].route[0].destination.subset"
    assert "has no subset 'v1': requests get 503, as DestinationRule/sock-shop/front-end defines v2" in message
    demo.apply(f"{LESSON}/2-canary.yaml")
    assert demo.told("VirtualService", "front-end") == []


@pytest.mark.parametrize(
    ("file", "dropped"), [(BREAKER, "v1"), (f"{LESSON}/2-front-end-deployment-v2-route.yaml", "v1")]
)
def test_row_8_a_rule_that_drops_subsets_in_use(demo: Demo, file: str, dropped: str) -> None:
    route = demo.world.get(VIRTUAL_SERVICE, "sock-shop", "front-end")
    demo.apply(file)
    if demo.world.get(VIRTUAL_SERVICE, "sock-shop", "front-end") is not route:
        # This file brings the route along that fits its rule.
        assert demo.told("DestinationRule", "front-end") == []
        return
    ((level, path, message),) = demo.told("DestinationRule", "front-end")
    assert (level, path) == (Level.WARNING, "spec.subsets")
    assert f"subset {dropped!r} is not defined, but in use by VirtualService/sock-shop/front-end" in message


def test_row_13_percent_is_accepted_and_the_new_form_named(demo: Demo) -> None:
    demo.apply(ABORT)
    ((level, path, _),) = demo.told("VirtualService", "catalogue")
    assert (level, path) == (Level.WARNING, "spec.http[0].fault.abort.percent")


@pytest.mark.parametrize("file", [ROUTES, MUTUAL, BREAKER, ABORT, GATEWAY, f"{LESSON}/2-canary.yaml"])
def test_row_14_and_18_old_versions_and_all_labels_are_taken(shared: Path, file: str) -> None:
    reading = read_yaml((shared / "sockshop-istio" / file).read_text(), file)
    objects: list[dict[str, Any]] = [document.value for document in reading.documents]
    assert objects
    assert not [problem for obj in objects for problem in decode(obj).problems if problem.level is Level.ERROR]
