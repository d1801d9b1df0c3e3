"""Messages read and joined."""

from __future__ import annotations

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from plait.delivery.wire import (
    MalformedRequestError,
    decode_caller,
    decode_request,
    encode_element,
    encode_response,
)
from plait.xds.resource import CDS


def test_a_joined_response_reads_as_a_response():
    elements = [
        encode_element(type_url=CDS, name=n, version="v" * 200, value=b"x" * s) for n, s in (("a", 1), ("b", 70000))
    ]
    response = DeltaDiscoveryResponse.FromString(encode_response(CDS, "run-1", elements, ["gone", "é"]))
    assert response.type_url == CDS
    assert response.nonce == "run-1"
    assert list(response.removed_resources) == ["gone", "é"]
    assert [(r.name, r.version, r.resource.type_url, len(r.resource.value)) for r in response.resources] == [
        ("a", "v" * 200, CDS, 1),
        ("b", "v" * 200, CDS, 70000),
    ]


def test_requests_are_read():
    message = DeltaDiscoveryRequest(
        type_url=CDS,
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"a": "1"},
        response_nonce="n",
    )
    request = decode_request(message.SerializeToString())
    assert (request.subscribe, request.unsubscribe, request.nonce) == (("a",), ("b",), "n")
    assert request.initial_versions == {"a": "1"}
    assert request.error is None
    message.error_detail.code = 13
    assert decode_request(message.SerializeToString()).error == "code 13"
    message.error_detail.message = "no"
    assert decode_request(message.SerializeToString()).error == "no"


def test_the_node_is_read():
    message = DeltaDiscoveryRequest(type_url=CDS)
    message.node.id = "router~10.0.0.1~gw-1.with.dots.istio-system~istio-system.svc.cluster.local"
    message.node.metadata.update(
        {"LABELS": {"b": "2", "a": "1"}, "SERVICE_ACCOUNT": "gw", "ISTIO_VERSION": "1", "CLUSTER_ID": "west"}
    )
    caller = decode_caller(message.SerializeToString())
    assert caller.node.kind == "router"
    assert (caller.node.pod, caller.node.namespace, caller.node.ip) == ("gw-1.with.dots", "istio-system", "10.0.0.1")
    assert caller.node.labels == (("a", "1"), ("b", "2"))
    assert (caller.node.service_account, caller.version, caller.cluster_id) == ("gw", "1", "west")


@pytest.mark.parametrize(("said", "has"), [({}, False), ({"WORKLOAD_CERTIFICATES": True}, True),
                                           ({"WORKLOAD_CERTIFICATES": False}, False)])  # fmt: skip
def test_a_proxy_has_certificates_only_if_it_says_so(said, has):
    """One of a mesh of before has no cluster from which it could get them, and would refuse what names it."""
    message = DeltaDiscoveryRequest(type_url=CDS)
    message.node.id = "sidecar~10.0.0.1~web.shop~shop.svc.cluster.local"
    message.node.metadata.update(said)
    assert decode_caller(message.SerializeToString()).node.certificates is has


@pytest.mark.parametrize("identifier", ["", "a", "waypoint~1~p.n~d", "sidecar~1~nodots~d", "sidecar~1~.n~d", "a~b~c"])
def test_a_bad_node_id_is_refused(identifier):
    message = DeltaDiscoveryRequest(type_url=CDS)
    message.node.id = identifier
    with pytest.raises(MalformedRequestError, match="TYPE~IP~POD"):
        decode_caller(message.SerializeToString())


@pytest.mark.parametrize(("body", "said"), [(b"\xff", "not a DeltaDiscoveryRequest"), (b"", "no type_url")])
def test_rubbish_is_refused(body, said):
    with pytest.raises(MalformedRequestError, match=said):
        decode_request(body)
