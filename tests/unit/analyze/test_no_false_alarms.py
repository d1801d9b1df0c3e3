"""Worlds in which something looks wrong and is not, each beside the one in which it is."""

from __future__ import annotations

import pytest

from .test_messages import codes
from .worlds import EDGE, GATEWAY, SERVICE, istio, rule

TO = "route: [{destination: {host: web.shop.svc.cluster.local}}]"


def at_gateway(name: str, born: int, http: str, *, namespace: str = "shop", more: str = "") -> str:
    metadata = f"{{name: {name}, namespace: {namespace}, creationTimestamp: '{born}-01-01T00:00:00Z'}}"
    spec = f"{{hosts: [web.example.com], gateways: [shop/edge], {more}http: [{http}]}}"
    return f"\n---\n{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {metadata}, spec: {spec}}}\n"


INNER = istio("VirtualService", "inner", f"{{http: [{{match: [{{uri: {{prefix: /x}}}}], {TO}}}]}}")


@pytest.mark.parametrize(
    ("older", "younger", "gateway", "dead"),
    [
        ({"http": f"{{{TO}}}", "namespace": "bank"}, f"{{{TO}}}", GATEWAY, True),
        # The gateway's pods, of istio-system, do not see it.
        ({"http": f"{{{TO}}}", "namespace": "bank", "more": "exportTo: ['.'], "}, f"{{{TO}}}", GATEWAY, False),
        # The gateway takes rules of one namespace only.
        (
            {"http": f"{{{TO}}}", "namespace": "bank"},
            f"{{{TO}}}",
            GATEWAY.replace("[web.example.com]", "[shop/web.example.com]"),
            False,
        ),
        # What is delegated has matches of its own.
        ({"http": "{delegate: {name: inner}}"}, f"{{{TO}}}", GATEWAY, False),
        ({"http": f"{{{TO}}}"}, "{delegate: {name: inner}}", GATEWAY, False),
    ],
)
def test_an_older_rule_that_takes_the_rest_at_a_gateway(
    older: dict[str, str], younger: str, gateway: str, dead: bool
) -> None:
    rules = at_gateway("old", 2020, **older) + at_gateway("new", 2021, younger)
    found = codes(SERVICE + EDGE + gateway + rules + INNER, "VirtualService shop/new")
    assert ("PLT0001" in found) is dead


def test_of_a_delegate_the_wider_rule_may_be_left_out() -> None:
    outer = rule("r", "{match: [{uri: {prefix: /a/b}}], delegate: {name: inner}}", hosts="web.example.com")
    # The first is not within the rule that delegates, and so the second is the one in use.
    http = f"{{match: [{{uri: {{prefix: /a}}}}], {TO}}}, {{match: [{{uri: {{prefix: /a/b/c}}}}], {TO}}}"
    inner = istio("VirtualService", "inner", f"{{http: [{http}]}}")
    assert "PLT0016" in codes(SERVICE + outer + inner, "VirtualService shop/r")
    assert "PLT0001" not in codes(SERVICE + outer + inner, "VirtualService shop/inner")


def policy(name: str, born: int, more: str = "") -> str:
    metadata = f"{{name: {name}, namespace: shop, creationTimestamp: '{born}-01-01T00:00:00Z'}}"
    spec = f"{{host: web{more}, trafficPolicy: {{loadBalancer: {{simple: RANDOM}}}}}}"
    return f"\n---\n{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {metadata}, spec: {spec}}}\n"


ONE, BOTH = (f", workloadSelector: {{matchLabels: {{{labels}}}}}" for labels in ("app: a", "app: a, version: v1"))


@pytest.mark.parametrize(
    ("older", "younger", "replaced"),
    [
        ("", "", True),
        (ONE, BOTH, True),
        (ONE, ONE, True),
        # Other callers go by the younger one.
        (ONE, "", False),
        (BOTH, ONE, False),
        # For whom it selects, it goes before the other.
        ("", ONE, False),
        (", exportTo: ['.']", ", exportTo: ['.']", True),
        ("", ", exportTo: ['.']", True),
        (", exportTo: ['.']", "", False),
        (", exportTo: ['.']", ", exportTo: ['.', bank]", False),
    ],
)
def test_an_older_rule_replaces_another_where_it_holds_for_all_its_callers(
    older: str, younger: str, replaced: bool
) -> None:
    world = SERVICE + policy("a", 2020, older) + policy("b", 2021, younger)
    assert ("PLT0005" in codes(world, "DestinationRule shop/b")) is replaced


def test_a_subset_that_callers_have_from_a_rule_of_their_own_is_not_missing() -> None:
    host = "web.shop.svc.cluster.local"
    world = SERVICE + istio("DestinationRule", "d", "{host: web}")
    world += istio(
        "VirtualService",
        "r",
        f"{{hosts: [{host}], http: [{{route: [{{destination: {{host: {host}, subset: own}}}}]}}]}}",
        namespace="bank",
    )
    own = istio(
        "DestinationRule",
        "d",
        f"{{host: {host}, subsets: [{{name: own, labels: {{version: v1}}}}]}}",
        namespace="bank",
    )
    assert "PLT0012" in codes(world, "DestinationRule shop/d")
    assert "PLT0012" not in codes(world + own, "DestinationRule shop/d")


@pytest.mark.parametrize(
    ("policy", "fails"),
    [
        ("subsets: [{name: s}]", True),
        ("trafficPolicy: {tls: {mode: SIMPLE}}, subsets: [{name: s}]", False),
        ("subsets: [{name: s, trafficPolicy: {tls: {mode: SIMPLE}}}]", False),
        (
            "subsets: [{name: s, trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}}]",
            False,
        ),
        ("subsets: [{name: s}, {name: other, trafficPolicy: {tls: {mode: SIMPLE}}}]", True),
    ],
)
def test_http_to_a_port_of_tls_is_right_where_a_rule_makes_tls_of_it(policy: str, fails: bool) -> None:
    host = "a.example.com"
    world = istio(
        "ServiceEntry",
        "e",
        f"{{hosts: [{host}], ports: [{{number: 80, name: http, protocol: HTTP}}, "
        "{number: 443, name: https, protocol: HTTPS}], resolution: DNS}",
    )
    to = f"{{host: {host}, subset: s, port: {{number: 443}}}}"
    world += istio("VirtualService", "r", f"{{hosts: [{host}], http: [{{route: [{{destination: {to}}}]}}]}}")
    world += istio("DestinationRule", "d", f"{{host: {host}, {policy}}}")
    assert ("PLT0006" in codes(world, "VirtualService shop/r")) is fails
    # A subset without labels is the host under another policy: there is nothing to select.
    assert "IST0173" not in codes(world, "DestinationRule shop/d")


@pytest.mark.parametrize(
    ("target", "pod", "told"),
    [
        (
            "{group: gateway.networking.k8s.io, kind: Gateway, name: g}",
            "gateway.networking.k8s.io/gateway-name: g",
            False,
        ),
        (
            "{group: gateway.networking.k8s.io, kind: Gateway, name: g}",
            "gateway.networking.k8s.io/gateway-name: h",
            True,
        ),
        ("{group: gateway.networking.k8s.io, kind: Gateway, name: g}", "version: v1", True),
        ("{group: '', kind: Service, name: web}", "version: v1", True),
    ],
)
@pytest.mark.parametrize("kind", ["AuthorizationPolicy", "RequestAuthentication"])
def test_a_policy_for_a_target_is_for_its_proxies(kind: str, target: str, pod: str, told: bool) -> None:
    world = SERVICE.replace("version: v1", pod)
    for refs in (f"targetRefs: [{target}]", f"targetRef: {target}"):
        found = codes(world + istio(kind, "p", f"{{{refs}}}", group="security"), f"{kind} shop/p")
        assert ("PLT0010" in found) is told


@pytest.mark.parametrize(
    ("subset", "wrong"),
    [
        ("labels: {version: v1}, trafficPolicy: {tls: {mode: DISABLE}}", True),
        ("labels: {version: v1}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}", False),
        # Whose pods nobody has a demand of.
        ("labels: {version: v2}, trafficPolicy: {tls: {mode: DISABLE}}", False),
        (
            "labels: {version: v1}, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]}",
            True,
        ),
        ("labels: {version: v1}", False),
    ],
)
def test_the_policy_of_a_subset_is_held_against_its_own_pods(subset: str, wrong: bool) -> None:
    world = SERVICE + SERVICE.replace("version: v1", "version: v2").replace("web-1", "web-2")
    world += istio(
        "PeerAuthentication",
        "p",
        "{selector: {matchLabels: {version: v1}}, mtls: {mode: STRICT}}",
        group="security",
    )
    world += istio("DestinationRule", "d", f"{{host: web, subsets: [{{name: s, {subset}}}]}}")
    assert ("PLT0009" in codes(world, "DestinationRule shop/d")) is wrong
