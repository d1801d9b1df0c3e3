"""Keys of tokens in the engine: who waits for them, who changes with them, and who does not."""

from __future__ import annotations

from typing import Any

from tests.tokens import SigningKey, key_set

from plait.mesh.node import ProxyNode
from plait.snapshot.tokens import KeySource
from plait.xds.engine import Engine, Remove, Upsert
from plait.xds.resource import ECDS
from plait.xds.slots import TOKENS

SOURCE = KeySource("https://issuer.example/keys")
KEYS, OTHERS = key_set(SigningKey("ES256", "a")), key_set(SigningKey("ES256", "b"))
NOBODY = '"nobody"'


def service(name: str) -> dict[str, Any]:
    spec = {"clusterIP": "10.42.128.1", "selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def policy(generation: int = 1, *, url: str = SOURCE.url, app: str = "web") -> dict[str, Any]:
    metadata = {"name": "tokens", "namespace": "shop", "generation": generation}
    spec = {"selector": {"matchLabels": {"app": app}}, "jwtRules": [{"issuer": "i", "jwksUri": url}]}
    return {"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": metadata, "spec": spec}


def proxy(name: str) -> ProxyNode:
    return ProxyNode(kind="sidecar", ip="10.42.0.2", pod=name, namespace="shop", labels=(("app", name),))


def running(*objects: dict[str, Any]) -> tuple[Engine, dict[str, str]]:
    engine = Engine()
    engine.apply(map(Upsert, (service("web"), service("other"), *objects)))
    views = {name: engine.attach(proxy(name))[1] for name in ("web", "other")}
    engine.take()
    engine.carried()
    return engine, views


def changed(engine: Engine) -> dict[str, str]:
    """The views that differ, with the text of what is new in them."""
    return {update.view: "".join(each.encoded.decode("latin-1") for each in update.upserts) for update in engine.take()}


def test_keys_change_those_who_look_at_tokens_of_the_issuer_and_nobody_else() -> None:
    engine, views = running(policy())
    before = dict(engine.computed)
    engine.keys_came(SOURCE, KEYS)
    found = changed(engine)
    assert set(found) == {views["web"]}
    assert '"kid":"a"' in found[views["web"]]
    made = {kind: count - before.get(kind, 0) for kind, count in engine.computed.items() if count != before.get(kind)}
    assert made == {"token-slot": 1}
    (carried,) = engine.carried()
    assert (str(carried.object), carried.generation, carried.views) == (
        "RequestAuthentication/shop/tokens", 1, frozenset({views["web"]}),
    )  # fmt: skip
    engine.keys_came(SOURCE, KEYS)
    assert changed(engine) == {}


def test_a_rule_without_keys_refuses_and_goes_on_with_the_last_ones() -> None:
    engine, views = running()
    engine.apply([Upsert(policy())])
    assert '"kid":"nobody"' in changed(engine)[views["web"]]
    engine.keys_came(SOURCE, None)
    assert changed(engine) == {}
    engine.keys_came(SOURCE, KEYS)
    assert '"kid":"a"' in changed(engine)[views["web"]]
    engine.keys_came(SOURCE, None)
    assert changed(engine) == {}
    engine.keys_came(SOURCE, OTHERS)
    assert '"kid":"b"' in changed(engine)[views["web"]]


def test_keys_that_no_proxy_can_use_are_not_passed_on() -> None:
    """Envoy refuses a listener with a set of keys of which it can use none."""
    engine, views = running()
    engine.apply([Upsert(policy())])
    engine.keys_came(SOURCE, '{"keys": [{"kty": "RSA", "n": "", "e": ""}]}')
    assert '"kid":"nobody"' in changed(engine)[views["web"]]


def test_a_new_rule_waits_for_its_keys() -> None:
    engine, views = running()
    engine.apply([Upsert(policy())], patient=True)
    assert {str(key) for key in engine.held} == {"RequestAuthentication/shop/tokens"}
    assert [wanted.source for wanted in engine.keys_wanted] == [SOURCE]
    assert changed(engine) == {}
    engine.keys_came(SOURCE, KEYS)
    assert engine.held == frozenset()
    assert '"kid":"a"' in changed(engine)[views["web"]]


def test_it_waits_no_longer_when_they_cannot_be_had_or_patience_is_over() -> None:
    engine, views = running()
    engine.apply([Upsert(policy())], patient=True)
    engine.keys_came(SOURCE, None)
    assert '"kid":"nobody"' in changed(engine)[views["web"]]
    engine.apply([Upsert(policy(2, url="https://other.example/keys"))], patient=True)
    assert changed(engine) == {}
    engine.release(engine.held)
    assert engine.held == frozenset()
    (carried,) = engine.carried()
    engine.take()
    assert carried.generation == 1


def test_a_rule_that_is_deleted_while_it_waits_is_gone() -> None:
    engine, _ = running()
    engine.apply([Upsert(policy())], patient=True)
    engine.apply([Remove("security.istio.io", "RequestAuthentication", "shop", "tokens")], patient=True)
    assert engine.held == frozenset()
    engine.keys_came(SOURCE, KEYS)
    assert changed(engine) == {}
    assert engine.keys_wanted == ()


def test_a_policy_concerns_those_it_selects() -> None:
    engine, views = running()
    engine.apply([Upsert(policy(app="nobody"))])
    assert changed(engine) == {}
    (carried,) = engine.carried()
    assert carried.views == frozenset()
    engine.apply([Upsert(policy(2, app="other"))])
    assert set(changed(engine)) == {views["other"]}
    key = next(each.object for each in engine.carried())
    assert engine.concerned(key) == frozenset({views["other"]})
    assert engine.origin_of(ECDS, TOKENS.name) == (str(key),)
    engine.apply([Remove("security.istio.io", "RequestAuthentication", "shop", "tokens")])
    assert set(changed(engine)) == {views["other"]}
