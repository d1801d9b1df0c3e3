"""AuthorizationPolicies that cannot be used and have no version before: less is let through, never more."""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.meta import ObjectKey
from plait.api.security import AuthorizationPolicy, Rule
from plait.xds.engine import Engine, Remove, Upsert

KEY = ObjectKey("AuthorizationPolicy", "shop", "p")
WEB = {"selector": {"matchLabels": {"app": "web"}}}
GET = {"to": [{"operation": {"methods": ["GET"]}}]}
BAD = {"from": [{"source": {"ipBlocks": ["10.0.0.999"]}}]}
WRONG_TYPE = {"to": [{"operation": {"ports": {}}}]}


def policy(spec: Any, **annotations: str) -> Upsert:
    metadata = {"name": "p", "namespace": "shop", "annotations": annotations}
    return Upsert(
        {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}
    )


def held(engine: Engine) -> AuthorizationPolicy | None:
    found = engine.snapshot.object(KEY)
    assert found is None or isinstance(found, AuthorizationPolicy)
    return found


CASES: dict[str, tuple[Any, tuple[str, bool, int, int]]] = {
    # What is expected: action, whether the selector is kept, rules, and how many of these are for everybody.
    "a rule of ALLOW is left out": ({**WEB, "rules": [BAD, GET]}, ("ALLOW", True, 1, 0)),
    "without another ALLOW allows nothing": ({**WEB, "rules": [BAD]}, ("ALLOW", True, 0, 0)),
    "a type that is wrong": ({**WEB, "rules": [WRONG_TYPE, GET]}, ("ALLOW", True, 1, 0)),
    "a rule of DENY is for everybody": ({**WEB, "action": "DENY", "rules": [GET, BAD]}, ("DENY", True, 2, 1)),
    "rules that are no list": ({**WEB, "action": "DENY", "rules": "all"}, ("DENY", True, 1, 1)),
    "a rule that asks": (
        {**WEB, "action": "CUSTOM", "provider": {"name": "guard"}, "rules": [BAD]}, ("CUSTOM", True, 1, 1),
    ),
    "nobody to ask": ({**WEB, "action": "CUSTOM", "rules": [GET]}, ("DENY", True, 1, 1)),
    "an action that is none": ({**WEB, "action": "REFUSE", "rules": [GET]}, ("DENY", True, 1, 1)),
    "a selector that is none": ({"selector": {"matchLabels": []}, "rules": [GET]}, ("DENY", False, 1, 1)),
    "what is no policy at all": ("nothing", ("ALLOW", False, 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_less_is_let_through(case: str) -> None:
    spec, expected = CASES[case]
    engine = Engine()
    engine.apply([policy(spec)])
    found = held(engine)
    assert found is not None
    rules = found.spec.rules or ()
    assert (found.spec.action, found.spec.selector is not None, len(rules), rules.count(Rule())) == expected
    assert engine.problems_of(KEY)


@pytest.mark.parametrize("field", ["targetRef", "targetRefs"])
def test_a_target_with_a_namespace_is_that_target(field: str) -> None:
    target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge", "namespace": "shop"}
    engine = Engine()
    engine.apply([policy({field: target if field == "targetRef" else [target], "rules": [GET]})])
    assert engine.problems_of(KEY)
    found = held(engine)
    assert found is not None
    targets = found.spec.target_refs or (found.spec.target_ref,)
    assert [each.name for each in targets if each is not None] == ["edge"]
    assert (found.spec.action, len(found.spec.rules or ())) == ("ALLOW", 1)


def test_the_version_before_stays_where_there_is_one() -> None:
    engine = Engine()
    engine.apply([policy({"rules": [GET]})])
    before = held(engine)
    engine.apply([policy({"action": "DENY", "rules": [BAD]})])
    assert held(engine) == before
    engine.apply([policy({"rules": [{}]}), policy({"action": "DENY", "rules": [BAD]})])
    found = held(engine)
    assert found is not None
    assert (found.spec.action, found.spec.rules) == ("ALLOW", (Rule(),))


def test_what_is_salvaged_is_no_version_before() -> None:
    engine = Engine()
    engine.apply([policy({"rules": [BAD, GET]})])
    engine.apply([policy({"action": "DENY", "rules": [BAD]})])
    found = held(engine)
    assert found is not None
    assert found.spec.action == "DENY"
    engine.apply([policy({"rules": [GET]})])
    engine.apply([policy({"action": "DENY", "rules": [BAD]})])
    found = held(engine)
    assert found is not None
    assert found.spec.action == "ALLOW"
    engine.apply([Remove("security.istio.io", "AuthorizationPolicy", "shop", "p")])
    assert held(engine) is None
    engine.apply([policy({"action": "DENY", "rules": [BAD]})])
    assert held(engine) is not None


def test_one_that_is_only_tried_has_no_consequence_then_either() -> None:
    engine = Engine()
    engine.apply([policy({"action": "DENY", "rules": [BAD]}, **{"istio.io/dry-run": "true"})])
    found = held(engine)
    assert found is not None
    assert found.metadata.annotations == {"istio.io/dry-run": "true"}
    engine = Engine()
    engine.apply([policy({"rules": [GET]}, **{"istio.io/dry-run": "perhaps"})])
    found = held(engine)
    assert found is not None
    assert (found.spec.action, len(found.spec.rules or ()), found.metadata.annotations) == ("ALLOW", 1, {})
