"""Our reading of RE2's syntax against RE2 itself, in a real Envoy: what we accept it must take."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from plait.api.problem import Level

TAKEN = [
    "a|b", "^(.*?;)?(user=jason)(;.*)?$", "(?i)x", "(?i:x)y", "(?P<n>a)", "[a-z]{1,3}", "a{,3}", "{", r"\d+\.\w*",
    r"\pL\p{Greek}\P{^Lu}", "[[:alpha:]_]", "[]a]", "[^]]", "[a-]", r"\x41\x{FF}", r"\Qa(b\E", "a*?", "é+", r"\012",
    "(a|)", "a{1000}", "(?s-i).", r"[\d\-]", "}", "a]", "(.*a.*){900}", "(|a)*", "^*", "x{0}",
    r"\p{Adlam}", "a(?i)*", "a*(?i)*", r"a\Q\E+", "(?)a", r"[\x41-Z]", r"[\d-z]", r"\377",
]  # fmt: skip
REFUSED = ["(", "a**", "(?=a)", r"(a)\1", r"\p{Klingon}", "a{1001}", "(a{100}){100}", r"\x{100}", "(?P<é>x)", "(?i)*",
           "{2}", r"[a-\d]", r"\400"]  # fmt: skip


def rule(pattern: str) -> list[dict[str, Any]]:
    metadata = {"name": "web", "namespace": "shop"}
    match = {"headers": {"x": {"regex": pattern}}, "uri": {"regex": pattern}}
    spec = {"hosts": ["web"], "http": [{"match": [match], "route": [{"destination": {"host": "web"}}]}]}
    service = {"clusterIP": "10.42.128.1", "ports": [{"name": "http", "port": 80}]}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec},
    ]


@pytest.mark.envoy
def test_envoy_takes_every_pattern_we_accept(
    mesh: SimpleNamespace, accepted_by_envoy: Callable[[dict[str, Any]], None]
) -> None:
    node = mesh.node(kind="sidecar", ip="10.42.0.2", pod="caller", namespace="shop")
    for pattern in TAKEN:
        proxy = mesh.proxy(rule(pattern), node)
        assert not [p for found in proxy.engine.problems().values() for p in found if p.level is Level.ERROR], pattern
        accepted_by_envoy(proxy.bootstrap())


@pytest.mark.envoy
@pytest.mark.parametrize("pattern", REFUSED)
def test_what_we_refuse_never_reaches_envoy(
    pattern: str, mesh: SimpleNamespace, accepted_by_envoy: Callable[[dict[str, Any]], None]
) -> None:
    node = mesh.node(kind="sidecar", ip="10.42.0.2", pod="caller", namespace="shop")
    proxy = mesh.proxy(rule(pattern), node)
    paths = [p.path for found in proxy.engine.problems().values() for p in found if p.level is Level.ERROR]
    assert paths == ["spec.http[0].match[0].uri.regex", "spec.http[0].match[0].headers[x].regex"]
    accepted_by_envoy(proxy.bootstrap())
