"""What the bootstrap says about its proxy and its control plane."""

import re

import pytest

from plait.inject import BootstrapConfig, bootstrap
from plait.inject.bootstrap import _TAGS
from plait.mesh.locality import Locality
from plait.mesh.node import ProxyNode

NODE = ProxyNode(
    kind="sidecar",
    ip="10.42.0.7",
    pod="web-1",
    namespace="shop",
    labels=(("app", "web"), ("version", "v1")),
    service_account="web",
)
CONFIG = BootstrapConfig(token="secret-token")


def test_the_node_is_istios():
    node = bootstrap(NODE, config=CONFIG)["node"]
    assert node["id"] == "sidecar~10.42.0.7~web-1.shop~shop.svc.cluster.local"
    assert node["cluster"] == "web.shop"
    metadata = node["metadata"]
    assert metadata["NAMESPACE"] == "shop"
    assert metadata["LABELS"] == {"app": "web", "version": "v1"}
    assert metadata["INSTANCE_IPS"] == "10.42.0.7"
    assert metadata["CLUSTER_ID"] == "Kubernetes"
    assert metadata["SERVICE_ACCOUNT"] == "web"
    assert metadata["PROXY_CONFIG"]["discoveryAddress"] == CONFIG.discovery_address


def test_configuration_comes_by_delta_ads_with_the_pods_token():
    dynamic = bootstrap(NODE, config=CONFIG)["dynamic_resources"]
    ads = dynamic["ads_config"]
    assert ads["api_type"] == "DELTA_GRPC"
    assert ads["set_node_on_first_message_only"] is True
    assert ads["grpc_services"][0]["initial_metadata"] == [{"key": "authorization", "value": "Bearer secret-token"}]
    assert dynamic["cds_config"]["initial_fetch_timeout"] == "0s"


def test_a_proxy_knows_where_it_is_and_asks_where_its_own_kind_is():
    document = bootstrap(NODE, config=BootstrapConfig(token="t", locality=Locality("west", "1"), mark=1337))
    assert document["node"]["locality"] == {"region": "west", "zone": "1"}
    assert document["cluster_manager"]["local_cluster_name"] == "local_cluster"
    assert "upstream_bind_config" in document["cluster_manager"]
    (own,) = (each for each in document["static_resources"]["clusters"] if each["name"] == "local_cluster")
    assert own["type"] == "EDS"
    assert bootstrap(NODE, config=CONFIG)["node"]["locality"] == {}


def test_the_token_is_not_shown():
    assert "secret-token" not in repr(CONFIG)


@pytest.mark.parametrize("address", ["istiod", "istiod:", ":15010", "istiod:0", "istiod:xds", "istiod:70000"])
def test_a_bad_discovery_address_is_named(address):
    with pytest.raises(ValueError, match=re.escape(repr(address))):
        bootstrap(NODE, config=BootstrapConfig(token="t", discovery_address=address))


@pytest.mark.parametrize(
    ("stat", "name", "tag"),
    [
        ("cluster.outbound|80|v1|web.shop.svc.cluster.local;.upstream_rq_total", "cluster.upstream_rq_total",
         "outbound|80|v1|web.shop.svc.cluster.local"),
        ("cluster.inbound|8080||;.circuit_breakers.default.cx_open", "cluster.circuit_breakers.default.cx_open",
         "inbound|8080||"),
        ("cluster.xds-grpc.upstream_cx_total", "cluster.upstream_cx_total", "xds-grpc"),
        ("cluster.PassthroughCluster;.upstream_cx_total", "cluster.upstream_cx_total", "PassthroughCluster"),
    ],
)  # fmt: skip
def test_names_of_clusters_are_tags_of_their_statistics(stat, name, tag):
    found = re.search(dict(_TAGS)["cluster_name"], stat)
    assert stat[: found.start(1)] + stat[found.end(1) :] == name
    assert found[2] == tag
