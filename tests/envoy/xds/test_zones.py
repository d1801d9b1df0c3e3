"""Routing by zone within a region: a real Envoy, which is told where its own kind is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.envoy.xds.objects import destination_rule, endpoint, pod, service
from tests.envoy.xds.test_destination_rules import Caller, serving

pytestmark = pytest.mark.envoy

ZONES = {"loadBalancer": {"simple": "ROUND_ROBIN", "zoneAwareLbSetting": {"minClusterSize": 2}}}
CALLS = 120


def placed(name: str, places: dict[str, int], policy: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """A Service with one endpoint for each of `places`; `west.1.a` is in zone 1 of the region `west`."""
    objects = [service(name), *([destination_rule(name, policy)] if policy is not None else [])]
    for place, port in places.items():
        own, locality = f"{name}-{place}", place.rpartition(".")[0]
        labels = {"istio_locality": locality} if locality else {}
        objects += [pod(own, **labels), endpoint(own, port, of=name, pod=own)]
    return objects


def callers(*localities: str) -> list[dict[str, Any]]:
    """Ready pods of the caller's program: the label `app` makes them one kind, whatever else they carry."""
    return [
        pod(f"caller-{n}", {"podIP": f"10.42.0.{n + 1}", "phase": "Running"}, app="caller", istio_locality=locality)
        for n, locality in enumerate(localities)
    ]


@pytest.fixture
def spread(mesh: SimpleNamespace, run_envoy: Callable[..., dict[str, int]]) -> Any:
    """How a caller in zone 1 of the west spreads its calls of `web` over places."""

    def measure(objects: list[dict[str, Any]], settings: Any = None, *, calls: int = CALLS) -> Counter[str]:
        labels = (("app", "caller"), ("istio-locality", "west.1"), ("version", "v2"))
        node = mesh.node(kind="sidecar", ip="127.0.0.1", pod="caller-0", namespace="shop", labels=labels)
        port = run_envoy(mesh.proxy(objects, node, settings), ["0.0.0.0_80"])["0.0.0.0_80"]
        caller = Caller(port)
        return Counter(caller.who().rpartition(".")[0] for _ in range(calls))

    return measure


@pytest.fixture
def web() -> Iterator[dict[str, int]]:
    """Three servers in each of two zones of the west, by name."""
    names = [f"west.{zone}.{letter}" for zone in "12" for letter in "abc"]
    with serving(*names) as servers:
        yield {name: server.port for name, server in zip(names, servers, strict=True)}


def test_calls_stay_in_the_zone_where_it_has_its_share(spread: Any, web: dict[str, int]) -> None:
    assert spread([*callers("west.1", "west.2"), *placed("web", web, ZONES)]) == {"west.1": CALLS}


def test_what_exceeds_the_share_of_the_zone_goes_to_the_others(spread: Any, web: dict[str, int]) -> None:
    """Half of the callers are here, a quarter of the servers: half of the calls stay."""
    short = {name: port for name, port in web.items() if name not in {"west.1.b", "west.1.c"}}
    calls = 5 * CALLS
    found = spread([*callers("west.1", "west.2"), *placed("web", short, ZONES)], calls=calls)
    # Binomial with p = 0.5: outside once in 10^16 runs.
    assert calls * 0.33 < found["west.1"] < calls * 0.67
    assert found["west.1"] + found["west.2"] == calls


def test_a_zone_without_servers_uses_the_others(spread: Any, web: dict[str, int]) -> None:
    elsewhere = {name: port for name, port in web.items() if name.startswith("west.2")}
    assert spread([*callers("west.1", "west.2"), *placed("web", elsewhere, ZONES)]) == {"west.2": CALLS}


def test_other_services_are_not_routed_by_zone_because_one_is(spread: Any, web: dict[str, int]) -> None:
    """Envoy's own default is on, from six endpoints, as soon as it is told where its kind is."""
    round_robin = {"loadBalancer": {"simple": "ROUND_ROBIN"}}
    other = placed("other", {}, ZONES)
    found = spread([*callers("west.1", "west.2"), *placed("web", web, round_robin), *other])
    assert found == {"west.1": CALLS // 2, "west.2": CALLS // 2}


def test_few_endpoints_are_not_routed_by_zone(spread: Any, web: dict[str, int]) -> None:
    policy = {"loadBalancer": {"simple": "ROUND_ROBIN", "zoneAwareLbSetting": {"minClusterSize": 7}}}
    found = spread([*callers("west.1", "west.2"), *placed("web", web, policy)])
    assert found == {"west.1": CALLS // 2, "west.2": CALLS // 2}


def test_the_setting_of_the_mesh_does_the_same(spread: Any, web: dict[str, int]) -> None:
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": "zoneAwareLbSetting: {minClusterSize: 2}"},
    }
    assert spread([settings, *callers("west.1", "west.2"), *placed("web", web)]) == {"west.1": CALLS}


@pytest.mark.parametrize("distribution", ["PreferClose", "PreferSameZone"])
def test_a_service_that_prefers_what_is_close_keeps_its_calls_in_the_zone(
    spread: Any, web: dict[str, int], distribution: str
) -> None:
    """Kubernetes' wish, without any rule: whatever the shares, the zone's own endpoints come first."""
    short = {name: port for name, port in web.items() if name not in {"west.1.b", "west.1.c"}}
    objects = placed("web", short)
    objects[0]["spec"]["trafficDistribution"] = distribution
    assert spread([*callers("west.1", "west.2"), *objects]) == {"west.1": CALLS}
