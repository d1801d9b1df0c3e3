"""A setting does the same wherever in a DestinationRule it is allowed to stand."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext

from plait.api.destinationrule import RetryBudget
from plait.xds.cluster import circuit_breakers

INPUT = Path(__file__).parents[2] / "envoy/xds/testdata/destination-levels.in.yaml"
_, *OBJECTS = yaml.safe_load_all(INPUT.read_text())
RULES = {obj["spec"]["host"]: obj for obj in OBJECTS if obj["kind"] == "DestinationRule"}
HOSTS = sorted(host for host in RULES if not host.endswith("-itself"))


def policy(host: str) -> dict[str, Any]:
    found: dict[str, Any] = RULES[host]["spec"]["subsets"][0]["trafficPolicy"]
    return found


def clusters(k8s: SimpleNamespace, objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Name -> cluster, without what names it."""
    found: dict[str, Any] = k8s.read(k8s.view_of(objects, k8s.sidecar(app="caller")), cluster_pb2, "Cluster")
    for cluster in found.values():
        cluster.ClearField("metadata")
        cluster.name = cluster.eds_cluster_config.service_name = ""
        context = UpstreamTlsContext()
        if cluster.transport_socket.typed_config.Unpack(context) and context.sni.startswith("outbound_."):
            context.sni = ""
            cluster.transport_socket.typed_config.Pack(context, deterministic=True)
    return found


@pytest.mark.parametrize("host", HOSTS)
def test_a_policy_is_the_same_at_every_level(k8s: SimpleNamespace, host: str) -> None:
    name = f"{host}.shop.svc.cluster.local"
    nested = clusters(k8s, OBJECTS)
    alone = deepcopy([obj for obj in OBJECTS if obj["metadata"]["name"] == host])
    alone[-1]["spec"] = {"host": host, "trafficPolicy": policy(host)}
    own = clusters(k8s, alone)[f"outbound|80||{name}"]
    assert nested[f"outbound|80|here|{name}"] == own
    if len(RULES[host]["spec"]["subsets"]) > 1:
        assert nested[f"outbound|80|at-port|{name}"] == own
        assert nested[f"outbound|81||{name}"] == own
    plain = nested[f"outbound|80||{name}"]
    # Every setting here differs from what holds without one, but that a tunnel is a matter of listeners.
    assert (plain == own) == (host == "tunnel")


def test_the_interval_of_a_retry_budget_is_sent() -> None:
    """Its field is younger than the published classes: number 3, a Duration of 10 s."""

    made = circuit_breakers(None, RetryBudget(percent=30, budget_interval="10s"))
    assert b"\x1a\x02\x08\x0a" in made.thresholds[0].retry_budget.SerializeToString()
