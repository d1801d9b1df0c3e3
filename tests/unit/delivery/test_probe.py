"""The route of a probe is made from a template: it is what protobuf itself would write."""

from __future__ import annotations

import pytest
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from plait.delivery.settled.probe import new_token

SECRET = "0123456789abcdefghijklmnopqrstuv"


@pytest.mark.parametrize("token", ["none", "1.1", "31.4", "12345.678901", "9" * 40])
def test_a_token_is_in_its_place(token: str) -> None:
    (update,) = new_token(SECRET, token)
    (made,) = update.upserts
    (resource,) = DeltaDiscoveryResponse.FromString(made.encoded).resources
    routes = RouteConfiguration.FromString(resource.resource.value)
    assert resource.name == routes.name == "plait_probe"
    answer, gauges = routes.virtual_hosts[0].routes
    assert answer.match.path == f"/{SECRET}/token"
    assert answer.direct_response.body.inline_string == token
    assert gauges.match.path == f"/{SECRET}/stats"
    assert routes.SerializeToString(deterministic=True) == resource.resource.value


def test_a_token_makes_another_version() -> None:
    assert new_token(SECRET, "1.1")[0].upserts[0].version != new_token(SECRET, "1.2")[0].upserts[0].version
