"""Slots: what is in them, when the filters stand in listeners instead, and in which steps several change."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from plait.api.meta import ObjectKey
from plait.mesh.node import ProxyNode
from plait.xds.engine import Engine, Remove, Upsert
from plait.xds.resource import ECDS, LDS, Resource
from plait.xds.slots import ALLOW, ASK, AUDIT, DENY, EMPTY, HTTP_RBAC, JWT_AUTHN, NOTE, SLOTS, TOKENS, filled, in_steps

MANAGER = "envoy.filters.network.http_connection_manager"
RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
SLOT_NAMES = [slot.name for slot in SLOTS]


def named(api: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def policy(spec: dict[str, Any], name: str = "p") -> dict[str, Any]:
    return named("security.istio.io/v1", "AuthorizationPolicy", name, spec)


def envoy_filter(context: str = "SIDECAR_INBOUND", /, **change: Any) -> dict[str, Any]:
    patch = {"applyTo": "HTTP_FILTER", "match": {"context": context}, **change}
    return named("networking.istio.io/v1alpha3", "EnvoyFilter", "f", {"configPatches": [patch]})


def at(name: str) -> dict[str, Any]:
    inside = {"filter": {"name": MANAGER, "subFilter": {"name": name}}}
    return {"context": "SIDECAR_INBOUND", "listener": {"filterChain": inside}}


def lua(code: str = "-- nothing") -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
    return {"name": "lua", "typed_config": {"@type": kind, "default_source_code": {"inline_string": code}}}


class World:
    """A workload with a port of HTTP, one of bytes and one that may be either."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        ports = [
            {"name": "http", "port": 80},
            {"name": "tcp", "port": 90},
            {"name": "any", "port": 91, "appProtocol": "auto"},
        ]
        spec = {"clusterIP": "10.42.128.1", "selector": {"app": "web"}, "ports": ports}
        self.engine = Engine()
        self.put(named("v1", "Service", "web", spec), *objects)
        node = ProxyNode(
            kind="sidecar", ip="10.42.0.2", pod="web", namespace="shop", labels=(("app", "web"),), certificates=True
        )
        self.views = self.engine.attach(node)
        self.engine.take()

    def put(self, *objects: dict[str, Any]) -> set[str]:
        """The names of what is told then."""
        self.engine.apply(Upsert(each) for each in objects)
        return {each.name for update in self.engine.take() for each in update.upserts}

    def of(self, type_url: str) -> dict[str, Resource]:
        return {each.name: each for view in self.views for each in self.engine.resources(view, type_url)}

    def listener(self) -> Listener:
        return Listener.FromString(value(self.of(LDS)["virtualInbound"]))

    def filters(self) -> list[list[str]]:
        """The HTTP filters of each connection manager."""
        managers = (each for chain in self.listener().filter_chains for each in chain.filters if each.name == MANAGER)
        return [[item.name for item in manager(each).http_filters] for each in managers]


def value(resource: Resource) -> bytes:
    found: bytes = DeltaDiscoveryResponse.FromString(resource.encoded).resources[0].resource.value
    return found


def manager(found: Any) -> HttpConnectionManager:
    return HttpConnectionManager.FromString(found.typed_config.value)


def test_a_slot_is_there_before_any_policy_and_does_nothing() -> None:
    world = World()
    assert all(names == [*SLOT_NAMES, "envoy.filters.http.router"] for names in world.filters())
    assert {name: each.version for name, each in world.of(ECDS).items()} == {
        name: each.version for name, each in EMPTY.items()
    }


def test_a_policy_changes_its_slot_and_no_chain_that_reads_requests() -> None:
    world = World()

    def reading() -> list[bytes]:
        chains = world.listener().filter_chains
        return [
            each.SerializeToString(deterministic=True)
            for each in chains
            if any(item.name == MANAGER for item in each.filters)
        ]

    before = reading()
    assert world.put(policy({"action": "DENY", "rules": [{}]})) == {DENY.name, "virtualInbound"}
    assert world.put(policy({"rules": [{}]}, "q")) == {ALLOW.name, "virtualInbound"}
    assert world.put(policy({"action": "AUDIT", "rules": [{}]}, "r")) == {AUDIT.name, "virtualInbound"}
    rules = {"issuer": "i", "jwks": '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}'}
    tokens = named("security.istio.io/v1", "RequestAuthentication", "t", {"jwtRules": [rules]})
    assert world.put(tokens) == {TOKENS.name}
    assert reading() == before
    world.engine.apply([Remove("security.istio.io", "RequestAuthentication", "shop", "t")])
    (update,) = world.engine.take()
    assert [each.version for each in update.upserts] == [EMPTY[TOKENS.name].version]


@pytest.mark.parametrize(
    "given",
    [
        envoy_filter(match=at(HTTP_RBAC), patch={"operation": "INSERT_BEFORE", "value": lua()}),
        envoy_filter(match=at(JWT_AUTHN), patch={"operation": "REMOVE"}),
        envoy_filter(
            patch={"operation": "MERGE", "value": {"typed_config": {"@type": RBAC, "track_per_rule_stats": True}}}
        ),
        envoy_filter(
            applyTo="HTTP_ROUTE",
            patch={"operation": "MERGE", "value": {"typed_per_filter_config": {
                HTTP_RBAC: {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute"}}}},
        ),
    ],
)  # fmt: skip
def test_who_speaks_of_a_filter_finds_it_by_its_name(given: dict[str, Any]) -> None:
    world = World(policy({"action": "DENY", "rules": [{}]}))
    assert HTTP_RBAC not in {name for names in world.filters() for name in names}
    assert "virtualInbound" in world.put(given)
    for names in world.filters():
        assert names.count(HTTP_RBAC) == 1
        assert not set(names) & set(SLOT_NAMES)
    # What is drained is served to its end.
    assert set(world.of(ECDS)) == set(SLOT_NAMES)
    world.engine.apply([Remove("networking.istio.io", "EnvoyFilter", "shop", "f")])
    world.engine.take()
    assert all(names == [*SLOT_NAMES, "envoy.filters.http.router"] for names in world.filters())


def test_a_listener_is_made_of_the_filters_that_change_it_and_no_others() -> None:
    denied = policy({"action": "DENY", "rules": [{}]})
    inserted = envoy_filter(match=at(HTTP_RBAC), patch={"operation": "INSERT_BEFORE", "value": lua()})
    unlike = envoy_filter(match=at("nothing.of.the.kind"), patch={"operation": "REMOVE"})
    unlike["metadata"]["name"] = "other"
    world = World(denied, inserted, unlike)
    found = world.engine.origin_of(LDS, "virtualInbound")
    assert found == ("AuthorizationPolicy/shop/p", "EnvoyFilter/shop/f", "Service/shop/web")
    assert world.engine.origin_of(ECDS, DENY.name) == ("AuthorizationPolicy/shop/p",)
    assert world.engine.path_of(ObjectKey("AuthorizationPolicy", "shop", "p"), ECDS, DENY.name) == "spec.rules[0]"


@pytest.mark.parametrize(
    "given",
    [
        envoy_filter(match=at("envoy.filters.http.router"), patch={"operation": "INSERT_BEFORE", "value": lua()}),
        # Reads what others noted, which has the same name in a slot.
        envoy_filter(patch={"operation": "INSERT_FIRST", "value": lua(f'-- metadata:get("{JWT_AUTHN}")')}),
        envoy_filter("GATEWAY", patch={"operation": "MERGE", "value": {"name": HTTP_RBAC}}),
        envoy_filter("SIDECAR_OUTBOUND", patch={"operation": "INSERT_FIRST", "value": lua(HTTP_RBAC)}),
    ],
)  # fmt: skip
def test_all_others_leave_slots_as_they_are(given: dict[str, Any]) -> None:
    world = World(given)
    assert all([name for name in names if name in SLOT_NAMES] == SLOT_NAMES for names in world.filters())


@pytest.mark.parametrize(
    ("class_", "after"), [("AUTHN", []), ("AUTHZ", SLOT_NAMES[:3]), ("STATS", SLOT_NAMES), ("UNSPECIFIED", SLOT_NAMES)]
)
def test_a_filter_of_a_class_has_its_place_among_slots(class_: str, after: list[str]) -> None:
    patch = {"operation": "INSERT_BEFORE", "filterClass": class_, "value": lua()}
    world = World(envoy_filter(match={"context": "SIDECAR_INBOUND"}, patch=patch))
    for names in world.filters():
        expected = after if class_ != "UNSPECIFIED" else []
        assert names[: names.index("lua")] == expected


def made(name: str, version: str) -> Resource:
    return EMPTY[name] if version == "" else Resource(ECDS, name, version, b"")


def test_several_change_in_steps_fillings_first() -> None:
    given = [made(NOTE.name, ""), made(ALLOW.name, "1"), made(ASK.name, ""), made(DENY.name, "2"), made("mine", "3")]
    steps = [[each.name for each in step] for step in in_steps(given)]
    assert steps == [["mine"], [DENY.name], [ALLOW.name], [NOTE.name], [ASK.name]]


def test_where_nobody_can_be_asked_what_is_noted_is_denied_whichever_slot_is_the_first_to_change() -> None:
    """Between a provider that is asked and one that is not there, no combination of the two slots lets a rule's
    requests through unasked.
    """
    spec = {"action": "CUSTOM", "provider": {"name": "nobody"}, "rules": [{}]}
    world = World(policy(spec))
    extensions = {name: TypedExtensionConfig.FromString(value(each)) for name, each in world.of(ECDS).items()}
    assert b"-deny-due-to-bad-CUSTOM-action" in extensions[NOTE.name].typed_config.value
    assert b"istio_ext_authz_shadow_effective_policy_id" in extensions[ASK.name].typed_config.value
    # In place the first decides alone.
    (found, *_) = (each for chain in world.listener().filter_chains for each in chain.filters if each.name == MANAGER)
    assert [each.name for each in filled(manager(found).http_filters, extensions)] == [
        HTTP_RBAC,
        "envoy.filters.http.router",
    ]
