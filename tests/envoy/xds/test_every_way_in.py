"""Whatever a proxy listens on for others, no way through it leads past the policies: every world of the goldens, with a
policy that lets nobody through and a rule about tokens for the whole mesh.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC as HTTP_RBAC
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NETWORK_RBAC

from plait.xds import names
from plait.xds.resource import ECDS, LDS
from plait.xds.slots import filled

TESTDATA = Path(__file__).parent / "testdata"
WORLDS = {
    path.name.removesuffix(".in.yaml"): [doc for doc in yaml.safe_load_all(path.read_text()) if doc]
    for path in sorted(TESTDATA.glob("*.in.yaml"))
}
SECURITY = "security.istio.io/v1"
TOKENS = "envoy.filters.http.jwt_authn"
#: What users patch in place of this, and policies that a world has of its own.
OTHERS = {"EnvoyFilter", "AuthorizationPolicy", "RequestAuthentication"}


def guarded(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "istio-system"}
    return {"apiVersion": SECURITY, "kind": kind, "metadata": metadata, "spec": spec}


CLOSED = [
    guarded("AuthorizationPolicy", "nobody", {}),
    guarded("RequestAuthentication", "tokens", {"jwtRules": [{"issuer": "i", "jwks": '{"keys": []}'}]}),
]


def ways(listeners: dict[str, Listener]) -> Iterator[tuple[str, Any]]:
    """Each chain by which others come in; sidecars' own callers go out by the others."""
    for name, listener in sorted(listeners.items()):
        chains = [*listener.filter_chains]
        if listener.HasField("default_filter_chain"):
            chains.append(listener.default_filter_chain)
        for number, chain in enumerate(chains):
            if chain.name != names.INBOUND_BLACKHOLE_CHAIN:
                yield f"{name} chain {number} {chain.name}", chain


def is_guarded(chain: Any, extensions: dict[str, Any]) -> bool:
    """Whether bytes meet RBAC first, or requests a check of tokens and then RBAC, before anything is done with them."""
    first = chain.filters[0].typed_config
    if first.Is(NETWORK_RBAC.DESCRIPTOR):
        return True
    if not first.Is(HttpConnectionManager.DESCRIPTOR):
        return False
    manager = HttpConnectionManager()
    first.Unpack(manager)
    tokens, rules, *_ = filled(manager.http_filters, extensions)
    return tokens.name == TOKENS and rules.typed_config.Is(HTTP_RBAC.DESCRIPTOR)


@pytest.mark.parametrize("certificates", [True, False], ids=["certificates", "plain"])
@pytest.mark.parametrize("case", WORLDS)
def test_no_way_in_leads_past_the_policies(case: str, mesh: SimpleNamespace, *, certificates: bool) -> None:
    header, *objects = WORLDS[case]
    asking = header["proxy"]
    router = asking.get("kind") == "router"
    node = mesh.node(
        kind=asking.get("kind", "sidecar"),
        ip="10.42.0.2",
        pod="caller",
        namespace=asking["namespace"],
        labels=tuple(sorted(asking.get("labels", {}).items())),
        certificates=certificates,
    )
    world = [*(each for each in objects if each["kind"] not in OTHERS), *CLOSED]
    messages = mesh.proxy(world, node, mesh.config(**header.get("mesh", {}))).messages
    found, extensions = messages.get(LDS, {}), messages[ECDS]
    inward = {name: each for name, each in found.items() if router or each.traffic_direction == 1}
    assert router or names.VIRTUAL_INBOUND in inward
    assert [name for name, chain in ways(inward) if not is_guarded(chain, extensions)] == []
