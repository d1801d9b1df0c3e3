"""What the bootstrap says about its proxy and its control plane."""

import re

import pytest
from google.protobuf.json_format import ParseDict

from plait.inject import BootstrapConfig, bootstrap
from plait.inject.bootstrap import _TAGS
from plait.mesh.locality import Locality
from plait.mesh.node import ProxyNode
from plait.xds.mesh_tls import own_secret

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


def clusters(config: BootstrapConfig):
    return {each["name"]: each for each in bootstrap(NODE, config=config)["static_resources"]["clusters"]}


def test_with_an_agent_istiod_is_asked_over_mutual_tls_by_what_the_agent_has():
    config = BootstrapConfig(token="t", certificates=True)
    found = clusters(config)
    (endpoint,) = found["sds-grpc"]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"] == {"pipe": {"path": "/var/run/secrets/workload-spiffe-uds/socket"}}
    assert config.discovery_address == "istiod.istio-system.svc:15012"
    tls = found["xds-grpc"]["transport_socket"]["typed_config"]
    assert tls["sni"] == "istiod.istio-system.svc"
    common = tls["common_tls_context"]
    (own,) = common["tls_certificate_sds_secret_configs"]
    roots = common["combined_validation_context"]["validation_context_sds_secret_config"]
    assert (own["name"], roots["name"]) == ("default", "ROOTCA")
    assert own["sds_config"] == roots["sds_config"]
    (name,) = common["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
    assert name == {"san_type": "DNS", "matcher": {"exact": "istiod.istio-system.svc"}}
    assert bootstrap(NODE, config=config)["node"]["metadata"]["WORKLOAD_CERTIFICATES"] is True


def test_sds_is_configured_as_in_what_istiod_sends():
    """Equal ones are one to Envoy: it asks the agent once for each secret."""
    own = clusters(BootstrapConfig(token="t", certificates=True))["xds-grpc"]["transport_socket"]["typed_config"]
    (mine,) = own["common_tls_context"]["tls_certificate_sds_secret_configs"]
    theirs = own_secret("default")
    assert ParseDict(mine, type(theirs)()) == theirs


@pytest.mark.parametrize(
    ("more", "plain"),
    [
        ({"certificates": True, "discovery_address": "istiod.istio-system.svc:15010"}, True),
        ({"roots": "PEM", "discovery_address": "127.0.0.1:15010"}, True),
        ({"roots": "PEM", "discovery_address": "127.0.0.1:40001"}, False),
        ({}, True),
    ],
)
def test_port_15010_and_a_proxy_that_knows_no_root_are_plain_text(more, plain):
    assert ("transport_socket" in clusters(BootstrapConfig(token="t", **more))["xds-grpc"]) is not plain
    node = bootstrap(NODE, config=BootstrapConfig(token="t", **more))["node"]
    assert ("WORKLOAD_CERTIFICATES" in node["metadata"]) is bool(more.get("certificates"))


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
