"""Which DestinationRules hold, how several are one, and what policy comes of them: tables of Istio's rules.

Callers are in namespace `here`, the Service `web` is in `there`.
"""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.destinationrule import TrafficPolicy
from plait.mesh.destination_rules import (
    effective_policy,
    exported_rules,
    find_rules,
    local_rules,
    rules_finder,
    steps,
    subset_labels,
)

from .views import ROOT, full, istio, reader_of

WEB = full("web", "there")


def rule(name: str, host: str = WEB, namespace: str = "there", *, created: str = "", **spec: Any) -> dict[str, Any]:
    return istio("DestinationRule", name, namespace, created=created, host=host, **spec)


def names(*rules: dict[str, Any], caller: str = "here", host: str = WEB, owner: str = "there") -> list[str]:
    return [key.name for key in rules_finder(reader_of(*rules), caller, ROOT)(host, owner)]


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        # One place after the other: the caller's namespace, the Service's, the root namespace.
        ([rule("caller", namespace="here"), rule("owner"), rule("root", namespace=ROOT)], ["caller"]),
        ([rule("owner"), rule("root", namespace=ROOT)], ["owner"]),
        ([rule("root", namespace=ROOT)], ["root"]),
        ([rule("elsewhere", namespace="bank")], []),
        # A wide host in a nearer place goes before a narrow one in a farther.
        ([rule("caller", "*.svc.cluster.local", "here"), rule("owner")], ["caller"]),
        ([rule("owner", "*.there.svc.cluster.local"), rule("root", namespace=ROOT)], ["owner"]),
        # Within a place the narrowest host holds, alone.
        ([rule("wide", "*.svc.cluster.local"), rule("narrow", "*.there.svc.cluster.local")], ["narrow"]),
        ([rule("wide", "*.svc.cluster.local"), rule("exact")], ["exact"]),
        ([rule("all", "*"), rule("wide", "*.local")], ["wide"]),
        # A short name means a Service of the rule's own namespace.
        ([rule("short", "web")], ["short"]),
        ([rule("other", "web", "here")], []),
        # Of one host all hold, the oldest first.
        ([rule("b", created="2026-01-02T00:00:00Z"), rule("a", created="2026-01-03T00:00:00Z")], ["b", "a"]),
        ([rule("b", created="2026-01-02T00:00:00Z"), rule("a", created="2026-01-02T00:00:00Z")], ["a", "b"]),
    ],
)
def test_the_rules_of_the_nearest_place_and_the_narrowest_host(rules: list[Any], chosen: list[str]) -> None:
    assert names(*rules) == chosen


@pytest.mark.parametrize(
    ("exported", "owner", "root"),
    [
        ([], ["r"], ["r"]),
        (["*"], ["r"], ["r"]),
        (["."], [], []),
        (["here"], ["r"], ["r"]),
        (["bank"], [], []),
        (["bank", "here"], ["r"], ["r"]),
    ],
)
def test_who_sees_a_rule_of_another_namespace(exported: list[str], owner: list[str], root: list[str]) -> None:
    assert names(rule("r", exportTo=exported)) == owner
    assert names(rule("r", namespace=ROOT, exportTo=exported)) == root


@pytest.mark.parametrize("exported", [[], ["*"], ["."], ["bank"]])
def test_a_rule_holds_for_callers_of_its_own_namespace_whoever_else_sees_it(exported: list[str]) -> None:
    found = names(rule("mine", namespace="here", exportTo=exported), rule("theirs"))
    assert found == ["mine"] if exported != ["bank"] else ["mine", "theirs"]


def test_what_only_others_see_hides_no_other_rule() -> None:
    """The place is gone on to where nobody there speaks to the caller."""
    assert names(rule("owner", exportTo=["."]), rule("root", namespace=ROOT)) == ["root"]
    assert names(rule("hidden", exportTo=["."]), rule("shown")) == ["shown"]


@pytest.mark.parametrize(
    ("exported", "chosen"),
    [(["*"], ["owner"]), ([], ["owner"]), (["."], ["root"]), ([ROOT], ["root"])],
)
def test_defaults_of_the_mesh_do_not_hide_a_services_rules_from_its_gateways(
    exported: list[str], chosen: list[str]
) -> None:
    """Callers of the root namespace: of its rules only those for nobody else come first."""
    rules = rule("root", "*.svc.cluster.local", ROOT, exportTo=exported), rule("owner")
    assert names(*rules, caller=ROOT) == chosen


SELECTING = {"workloadSelector": {"matchLabels": {"app": "a"}}}


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        ((("app", "a"),), ["mine", "all"]),
        ((("app", "a"), ("version", "v1")), ["mine", "all"]),
        ((("app", "b"),), ["all"]),
        ((), ["all"]),
    ],
)
def test_a_rule_that_selects_its_callers_comes_before_those_for_everybody(labels: Any, chosen: list[str]) -> None:
    reader = reader_of(
        rule("all", namespace="here", created="2026-01-01T00:00:00Z"),
        rule("mine", namespace="here", created="2026-01-02T00:00:00Z", **SELECTING),
        # A selector never reaches into another namespace.
        rule("theirs", **SELECTING),
    )
    places = steps(
        "there",
        local=local_rules(reader, "here", ROOT),
        exported=lambda owner: exported_rules(reader, owner, "here"),
        root_namespace=ROOT,
        labels=labels,
    )
    assert [key.name for key in find_rules(WEB, places)] == chosen


RANDOM = {"loadBalancer": {"simple": "RANDOM"}}
ROBIN = {"loadBalancer": {"simple": "ROUND_ROBIN"}}
LIMIT = {"connectionPool": {"tcp": {"maxConnections": 1}}}


def subset(name: str, version: str = "", **policy: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "labels": {"version": version or name}}
    return made | ({"trafficPolicy": policy} if policy else {})


def policy_of(*rules: dict[str, Any], port: int = 80, chosen: str = "", baseline: Any = None) -> tuple[str, Any, Any]:
    """(where it comes from, the balancer, the limit of connections)."""
    reader = reader_of(*rules)
    found = effective_policy(
        reader, rules_finder(reader, "here", ROOT)(WEB, "there"), port=port, subset=chosen, baseline=baseline
    )
    policy = found.policy
    balancer = policy.load_balancer.simple if policy.load_balancer is not None else None
    pool = policy.connection_pool
    limit = pool.tcp.max_connections if pool is not None and pool.tcp is not None else None
    return str(found.origin), balancer, limit


def at(port: int, **policy: Any) -> dict[str, Any]:
    return {"port": {"number": port}, **policy}


OLD, NEW = {"created": "2026-01-01T00:00:00Z"}, {"created": "2026-01-02T00:00:00Z"}


@pytest.mark.parametrize(
    ("rules", "more", "policy"),
    [
        ([rule("a", trafficPolicy={**RANDOM, **LIMIT})], {}, ("a", "RANDOM", 1)),
        # Of merged rules the first that has a policy has all of it: fields of two are not mixed.
        ([rule("a", **OLD, trafficPolicy=RANDOM), rule("b", **NEW, trafficPolicy={**ROBIN, **LIMIT})], {},
         ("a", "RANDOM", None)),
        ([rule("a", **OLD), rule("b", **NEW, trafficPolicy=LIMIT)], {}, ("b", None, 1)),
        # A port's settings take the place of all the others of their level.
        ([rule("a", trafficPolicy={**RANDOM, **LIMIT, "portLevelSettings": [at(80, **ROBIN)]})], {},
         ("a", "ROUND_ROBIN", None)),
        ([rule("a", trafficPolicy={**RANDOM, **LIMIT, "portLevelSettings": [at(81, **ROBIN)]})], {},
         ("a", "RANDOM", 1)),
        # A subset replaces field by field, and is looked for in all of the rules.
        ([rule("a", trafficPolicy={**RANDOM, **LIMIT}, subsets=[subset("v1", **ROBIN)])], {"chosen": "v1"},
         ("a spec.subsets[0]", "ROUND_ROBIN", 1)),
        ([rule("a", **OLD, trafficPolicy=LIMIT), rule("b", **NEW, subsets=[subset("v0"), subset("v1", **ROBIN)])],
         {"chosen": "v1"}, ("b spec.subsets[1]", "ROUND_ROBIN", 1)),
        ([rule("a", **OLD, subsets=[subset("v1", **RANDOM)]), rule("b", **NEW, subsets=[subset("v1", **ROBIN)])],
         {"chosen": "v1"}, ("a spec.subsets[0]", "RANDOM", None)),
        ([rule("a", trafficPolicy=RANDOM, subsets=[subset("v1")])], {"chosen": "v1"},
         ("a spec.subsets[0]", "RANDOM", None)),
        ([rule("a", trafficPolicy=RANDOM)], {"chosen": "gone"}, ("a", "RANDOM", None)),
        # A subset's settings of a port take the place of its own and of the destination's.
        ([rule("a", trafficPolicy=LIMIT, subsets=[subset("v1", **RANDOM, portLevelSettings=[at(80, **ROBIN)])])],
         {"chosen": "v1"}, ("a spec.subsets[0]", "ROUND_ROBIN", None)),
        ([rule("a", trafficPolicy=LIMIT, subsets=[subset("v1", **RANDOM, portLevelSettings=[at(81, **ROBIN)])])],
         {"chosen": "v1"}, ("a spec.subsets[0]", "RANDOM", 1)),
        ([], {}, ("None", None, None)),
    ],
)  # fmt: skip
def test_the_policy_that_comes_of_rules_ports_and_subsets(rules: Any, more: Any, policy: tuple[str, Any, Any]) -> None:
    origin, *rest = policy_of(*rules, **more)
    assert (origin.removeprefix("DestinationRule/there/"), *rest) == policy


def test_the_meshs_policy_fills_in_what_nobody_sets() -> None:
    mesh = reader_of(rule("m", trafficPolicy={**ROBIN, **LIMIT})).destination_rule
    baseline = mesh(next(iter(rules_finder(reader_of(rule("m")), "here", ROOT)(WEB, "there")))).spec.traffic_policy
    assert isinstance(baseline, TrafficPolicy)
    assert policy_of(rule("a", trafficPolicy=RANDOM), baseline=baseline)[1:] == ("RANDOM", 1)
    assert policy_of(baseline=baseline)[1:] == ("ROUND_ROBIN", 1)


def test_subsets_of_all_rules_are_there_and_the_first_of_a_name_holds() -> None:
    reader = reader_of(
        rule("a", **OLD, subsets=[subset("v1", "one"), subset("v2")]),
        rule("b", **NEW, subsets=[subset("v1", "uno"), subset("v3")]),
    )
    found = subset_labels(reader, rules_finder(reader, "here", ROOT)(WEB, "there"))
    assert [(each.name, dict(each.labels)["version"]) for each in found] == [("v1", "one"), ("v2", "v2"), ("v3", "v3")]
