"""AuthorizationPolicies as filters: what changes with them, trust domains, and whom certificates alone keep out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac

from plait.api.extension_providers import ExtAuthzGRPC
from plait.api.security import AuthorizationPolicy
from plait.mesh.node import ProxyNode
from plait.mesh.providers import Authorizer
from plait.mesh.routes import ClusterRef
from plait.simulate.text import string_holds
from plait.xds.authorization import conditions
from plait.xds.authorization.asking import BACKSTOP, asking_connections, asking_filter, noting_filter
from plait.xds.authorization.callers import admissions
from plait.xds.authorization.filters import origin_of_rule, request_filter
from plait.xds.authorization.trust_domains import principals, trust_domains
from plait.xds.callers import NOBODY, Identity, callers
from plait.xds.engine import Engine, Remove, Upsert
from plait.xds.resource import ECDS, LDS
from plait.xds.slots import HTTP_AUTHZ, HTTP_RBAC

DOMAINS = ("cluster.local", "old.example")


def policy(spec: dict[str, Any], name: str = "p", **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "annotations": annotations}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}


def node(app: str, namespace: str = "shop") -> ProxyNode:
    return ProxyNode(
        kind="sidecar",
        ip=f"10.42.0.{len(app)}",
        pod=app,
        namespace=namespace,
        labels=(("app", app),),
        certificates=True,
    )


def test_only_the_proxies_that_a_policy_is_for_are_told() -> None:
    engine = Engine()
    views = {app: engine.attach(node(app)) for app in ("web", "front", "orders")}
    views["foreign"] = engine.attach(node("foreign", "other"))
    engine.take()
    access = {"selector": {"matchLabels": {"app": "web"}}, "rules": [{"to": [{"operation": {"methods": ["GET"]}}]}]}

    def told() -> dict[str, set[str]]:
        updates = engine.take()
        found = {app: {each.type_url for each in updates if each.view in views[app]} for app in views}
        return {app: types for app, types in found.items() if types}

    engine.apply([Upsert(policy(access))])
    # What decides over connections stands in the listener.
    assert told() == {"web": {LDS, ECDS}}
    # The same again, and what no proxy could tell from it.
    engine.apply([Upsert(policy(access, note="x"))])
    assert told() == {}
    engine.apply([Upsert(policy({**access, "action": "DENY"}))])
    assert told() == {"web": {LDS, ECDS}}
    engine.apply([Upsert(policy({}, "nothing"))])
    assert told() == {app: {LDS, ECDS} for app in ("web", "front", "orders")}
    before = engine.computed["listener-inbound"]
    engine.apply([Upsert(policy({"selector": {"matchLabels": {"app": "nobody"}}}, "nobody-s"))])
    assert told() == {}
    assert engine.computed["listener-inbound"] == before
    engine.apply([Remove("security.istio.io", "AuthorizationPolicy", "shop", name) for name in ("p", "nothing")])
    assert told() == {app: {LDS, ECDS} for app in ("web", "front", "orders")}


def test_what_is_made_of_a_choice_is_made_once_for_all_it_is_for() -> None:
    engine = Engine()
    for number in range(20):
        engine.attach(node(f"app-{number}"))
    engine.apply([Upsert(policy({}))])
    engine.take()
    assert engine.computed["authorizing"] == engine.computed["acting"] == 1
    # One for each slot but that of tokens.
    assert engine.computed["slot"] == 5


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("cluster.local/ns/a/sa/b", ["cluster.local/ns/a/sa/b", "old.example/ns/a/sa/b"]),
        ("old.example/ns/a/sa/b", ["cluster.local/ns/a/sa/b", "old.example/ns/a/sa/b"]),
        # One end of it, which some of the mesh's have.
        ("*.local/ns/a/sa/b", ["*.local/ns/a/sa/b", "old.example/ns/a/sa/b"]),
        ("*/ns/a/sa/b", ["*/ns/a/sa/b"]),
        ("foreign/ns/a/sa/b", ["foreign/ns/a/sa/b"]),
        ("*", ["*"]),
        ("cluster.local/ns/a/*", ["cluster.local/ns/a/*"]),
    ],
)
def test_a_principal_has_all_names_of_the_mesh(given: str, expected: list[str]) -> None:
    assert list(principals([given], DOMAINS)) == expected


def test_cluster_local_is_the_mesh_whatever_its_name() -> None:
    assert list(principals(["cluster.local/ns/a/sa/b"], ("td",))) == ["td/ns/a/sa/b"]
    assert trust_domains(["td", "other"], ("td", "td2")) == ("td", "td2", "other")
    assert trust_domains(["cluster.local"], ("td",)) == ("cluster.local",)


A = "spiffe://cluster.local/ns/shop/sa/a"


@pytest.mark.parametrize(
    ("rules", "port", "expected"),
    [
        (None, 1, (NOBODY,)),
        ([{}], 1, None),
        ([{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/a"]}}]}], 1,
         (Identity(A), Identity("spiffe://old.example/ns/shop/sa/a"))),
        ([{"from": [{"source": {"serviceAccounts": ["a"], "ipBlocks": ["10.0.0.0/8"]}}]}], 1,
         (Identity(A), Identity("spiffe://old.example/ns/shop/sa/a"))),
        ([{"from": [{"source": {"namespaces": ["shop"]}}]}], 1,
         (Identity("spiffe://cluster.local/ns/shop/", True), Identity("spiffe://old.example/ns/shop/", True))),
        ([{"from": [{"source": {"principals": ["cluster.local/ns/s*"]}}]}], 1,
         (Identity("spiffe://cluster.local/ns/s", True),)),
        # Of these it cannot be said which identities they are, or that there is one.
        ([{"from": [{"source": {"principals": ["*/sa/a"]}}]}], 1, None),
        ([{"from": [{"source": {"namespaces": ["*"]}}]}], 1, None),
        ([{"from": [{"source": {"notPrincipals": ["cluster.local/ns/shop/sa/a"]}}]}], 1, None),
        ([{"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}, {"source": {"serviceAccounts": ["a"]}}]}], 1, None),
        # A rule about another port, or about requests, lets nobody through to this one.
        ([{"to": [{"operation": {"ports": ["2"]}}]}], 1, (NOBODY,)),
        ([{"to": [{"operation": {"notPorts": ["1"]}}]}], 1, (NOBODY,)),
        ([{"to": [{"operation": {"ports": ["2"]}}]}], 2, None),
        ([{"to": [{"operation": {"ports": ["2"]}}]}], None, None),
        ([{"to": [{"operation": {"methods": ["GET"]}}]}], 1, (NOBODY,)),
        ([{"when": [{"key": "destination.port", "values": ["2"]}]}], 1, (NOBODY,)),
        ([{"when": [{"key": "source.principal", "values": ["foreign/ns/a/sa/b"]}]}], 1, (NOBODY,)),
    ],
)  # fmt: skip
def test_who_may_be_let_through_by_identity(rules: Any, port: int | None, expected: Any) -> None:
    spec = {"rules": rules} if rules is not None else {}
    found = msgspec.convert(policy(spec), AuthorizationPolicy)
    assert callers(admissions((found,), DOMAINS), port) == expected


def test_policies_that_are_tried_or_deny_keep_nobody_out_by_identity() -> None:
    given = (policy({"action": "DENY", "rules": [{}]}), policy({}, "tried", **{"istio.io/dry-run": "true"}))
    assert admissions(tuple(msgspec.convert(each, AuthorizationPolicy) for each in given), DOMAINS) is None


@pytest.mark.parametrize(
    ("text", "tried"), [("true", True), ("1", True), ("T", True), ("false", False), ("0", False), ("", False)]
)
def test_a_policy_is_only_tried_if_that_is_what_is_said(text: str, *, tried: bool) -> None:
    found = msgspec.convert(policy({"rules": [{}]}, **{"istio.io/dry-run": text}), AuthorizationPolicy)
    only = request_filter((found,), "ALLOW", DOMAINS)
    assert only is not None
    config = http_rbac.RBAC.FromString(only.typed_config.value)
    assert (config.HasField("shadow_rules"), config.HasField("rules")) == (tried, not tried)


IDENTITY = "spiffe://cluster.local/ns/shop/sa/a"


@pytest.mark.parametrize(
    ("made", "identity", "holds"),
    [
        (conditions.trust_domain("*.local"), IDENTITY, True),
        # What a star stands for ends with the trust domain.
        (conditions.trust_domain("*.local"), "spiffe://evil/ns/x.local/sa/a", False),
        (conditions.trust_domain("cluster*"), IDENTITY, True),
        (conditions.trust_domain("cluster"), IDENTITY, False),
        (conditions.trust_domain("*"), IDENTITY, True),
        (conditions.namespace("shop"), IDENTITY, True),
        (conditions.namespace("sho"), IDENTITY, False),
        (conditions.namespace("hop"), IDENTITY, False),
        (conditions.namespace("sh.p"), IDENTITY, False),
        (conditions.namespace("*op"), IDENTITY, True),
        (conditions.principal("*/sa/a"), IDENTITY, True),
        (conditions.principal("*/sa/a"), f"{IDENTITY}b", False),
        (conditions.principal("*/sa/a"), "https://elsewhere/sa/a", False),
        (conditions.principal("cluster.local/ns/shop/*"), "spiffe://cluster.local/ns/shopping/sa/a", False),
        (conditions.principal("cluster.local/ns/shop/sa/a"), f"{IDENTITY}b", False),
        (conditions.principal("*"), IDENTITY, True),
        (conditions.principal("*"), "", False),
        (conditions.service_account("shop")("a"), IDENTITY, True),
        (conditions.service_account("shop")("a"), f"{IDENTITY}b", False),
        (conditions.service_account("bank")("a"), IDENTITY, False),
        (conditions.service_account("bank")("shop/a"), IDENTITY, True),
    ],
)
def test_an_identity_is_the_one_that_is_meant_and_no_other(made: Any, identity: str, *, holds: bool) -> None:
    assert string_holds(made.authenticated.principal_name, identity) is holds


def test_what_would_ask_several_is_denied() -> None:
    given = [policy({"action": "CUSTOM", "provider": {"name": name}, "rules": [{}]}, name) for name in ("one", "two")]
    policies = [msgspec.convert(each, AuthorizationPolicy) for each in given]

    def find(name: str) -> Authorizer:
        return Authorizer(name, ExtAuthzGRPC(service="guard.shop", port=9000), ClusterRef("guard.shop", 9000))

    requests, asked = (make(policies, DOMAINS, find) for make in (noting_filter, asking_filter))
    assert requests is not None
    assert asked is not None
    assert set(http_rbac.RBAC.FromString(asked.typed_config.value).rules.policies) == {BACKSTOP}
    rules = http_rbac.RBAC.FromString(requests.typed_config.value).rules
    assert (rules.action, len(rules.policies)) == (RBAC.DENY, 2)
    connections = list(asking_connections(policies, DOMAINS, find))
    assert len(connections) == 2
    for each in connections:
        found = network_rbac.RBAC.FromString(each.typed_config.value)
        assert (found.rules.action, len(found.rules.policies)) == (RBAC.DENY, 1)
    # The first alone is asked.
    made = (make(policies[:1], DOMAINS, find) for make in (noting_filter, asking_filter))
    assert [each and each.name for each in made] == [HTTP_RBAC, HTTP_AUTHZ]


def test_a_rule_says_where_it_is_written() -> None:
    for name in ("ns[shop]-policy[p.q]-rule[3]", "istio-ext-authz-guard-ns[shop]-policy[p.q]-rule[3]"):
        assert str(origin_of_rule(name)) == "AuthorizationPolicy/shop/p.q spec.rules[3]"
    assert origin_of_rule("somebody else's") is None
