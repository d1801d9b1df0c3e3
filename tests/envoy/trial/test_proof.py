"""What Envoy would refuse is found before it is sent, with the object that made it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster

from plait.api.yaml import objects, read_yaml
from plait.app.objects.given import Given
from plait.app.objects.plan import Item
from plait.app.prove import judged, objections
from plait.app.what_if import Mesh
from plait.kube.kinds import ENVOYFILTER
from plait.trial.proof import Proofs
from plait.xds.encode import resource
from plait.xds.engine import Upsert
from plait.xds.resource import CDS

pytestmark = pytest.mark.envoy

WORLD = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.42.128.1, selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews, namespace: shop, labels: {app: reviews}}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
status: {podIP: 10.42.0.5}
"""
(FILTER,) = objects(
    read_yaml(
        """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: lua, namespace: shop}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch:
      operation: INSERT_FIRST
      value:
        name: lua
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
          default_source_code: {inline_string: "function envoy_on_request(handle) this is no lua end"}
""",
        "filter",
    )
)
#: A table size that Envoy's schema takes, and the load balancer does not: it is no prime.
CLUSTERS = deepcopy(FILTER)
CLUSTERS["spec"]["configPatches"] = [
    {
        "applyTo": "CLUSTER",
        "match": {"context": "SIDECAR_OUTBOUND"},
        "patch": {"operation": "MERGE", "value": {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 4}}},
    }
]


def mesh() -> Mesh:
    return Mesh(objects(read_yaml(WORLD, "world")))


async def test_a_filter_that_does_not_load_is_found_by_its_listener() -> None:
    (found,) = await objections(mesh(), [Upsert(FILTER)], Proofs(), seconds=60)
    assert found.refused.name == "virtualInbound"
    assert "EnvoyFilter/shop/lua" in found.objects
    assert found.refused.words.startswith("script load error: ")


async def test_a_patch_of_clusters_is_found_by_its_cluster() -> None:
    (found,) = await objections(mesh(), [Upsert(CLUSTERS)], Proofs(), seconds=60)
    assert found.refused.type_url.endswith("Cluster")
    assert "EnvoyFilter/shop/lua" in found.objects
    assert "prime" in found.refused.words


async def test_of_a_broken_constraint_the_reason_is_told_and_not_the_whole_bootstrap() -> None:
    bad = deepcopy(CLUSTERS)
    bad["spec"]["configPatches"][0]["patch"]["value"] = {"connect_timeout": "0s"}
    (found,) = await objections(mesh(), [Upsert(bad)], Proofs(), seconds=60)
    assert "ConnectTimeout: value must be greater than 0s" in found.refused.words
    assert "static_resources" not in found.refused.words


GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: ["*"]
  gateways: [web, mesh]
  http: [{route: [{destination: {host: reviews}}]}]
"""


async def test_a_sidecar_and_a_gateway_may_listen_on_the_same_port() -> None:
    (service, pod) = objects(read_yaml(WORLD, "world"))
    new = [Upsert(each) for each in (service, *objects(read_yaml(GATEWAY, "gateway")))]
    assert not await objections(Mesh([pod]), new, Proofs(), seconds=60)


FILE = """
{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: NAME, namespace: shop}, spec: {}}
"""


def item(name: str, obj: dict[str, Any]) -> tuple[Item, dict[str, Any]]:
    (document,) = read_yaml(FILE.replace("NAME", name), f"{name}.yaml").documents
    obj = {**obj, "metadata": {"name": name, "namespace": "shop"}}
    return Item(given=Given(obj=document.value, document=document), kind=ENVOYFILTER, obj=obj), obj


async def test_all_objects_that_are_refused_are_named_and_no_other() -> None:
    good = deepcopy(FILTER)
    code = good["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]["default_source_code"]
    code["inline_string"] = "function envoy_on_request(handle) end"
    mixed = deepcopy(good)
    mixed["spec"]["configPatches"] += CLUSTERS["spec"]["configPatches"]
    # Two of them patch the listener of the good one, which is the first to have done so.
    changed = [item("good", good), item("bad", FILTER), item("worse", FILTER), item("mixed", mixed)]
    faults, warnings = await judged(mesh(), changed, Proofs(), seconds=180)
    assert [fault.partition(": Envoy would")[0] for fault in sorted(faults)] == [
        "bad.yaml:2: EnvoyFilter shop/bad: spec.configPatches[0]",
        "mixed.yaml:2: EnvoyFilter shop/mixed: spec.configPatches[1]",
        "worse.yaml:2: EnvoyFilter shop/worse: spec.configPatches[0]",
    ]
    assert not warnings


async def test_what_was_accepted_is_not_asked_about_again(tmp_path: Path) -> None:
    good = deepcopy(FILTER)
    code = good["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]["default_source_code"]
    code["inline_string"] = "function envoy_on_request(handle) end"
    memory = tmp_path / "proven"
    assert not await objections(mesh(), [Upsert(good)], Proofs(memory), seconds=60)
    # No time at all is enough for what is known.
    assert not await objections(mesh(), [Upsert(good)], Proofs(memory), seconds=0)
    with pytest.raises(TimeoutError):
        await objections(mesh(), [Upsert(FILTER)], Proofs(memory), seconds=0)


async def test_what_was_proven_is_remembered_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plait.trial.proof._REMEMBERED", 3)
    memory = tmp_path / "proven"
    resources = [resource(CDS, f"c{number}", Cluster(name=f"c{number}")) for number in range(4)]
    for each in resources[:3]:
        assert await Proofs(memory).refused([each], seconds=60) == ()
    # What is asked about again is not the next to be forgotten.
    assert await Proofs(memory).refused([resources[0], resources[3]], seconds=60) == ()
    kept = memory.read_text().split()
    assert kept == [each.version for each in (resources[2], resources[0], resources[3])]


async def test_files_are_in_pods_and_no_reason_to_refuse_what_names_them() -> None:
    tls = {"mode": "SIMPLE", "caCertificates": "/only/in/the/pod.pem"}
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "reviews", "namespace": "shop"},
        "spec": {"host": "reviews", "trafficPolicy": {"tls": tls}},
    }
    assert await objections(mesh(), [Upsert(rule)], Proofs()) == ()
    (found,) = await objections(mesh(), [Upsert(rule), Upsert(FILTER)], Proofs())
    assert found.objects == ("EnvoyFilter/shop/lua",)
