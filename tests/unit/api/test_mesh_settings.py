"""Settings of the mesh that are wrong are refused in a person's words, all of them at once."""

from __future__ import annotations

import pytest

from plait.api.decode import problems_of
from plait.api.problem import Level, Problem


def told(text: str) -> tuple[Problem, ...]:
    metadata = {"name": "istio", "namespace": "istio-system"}
    return problems_of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}})


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("defaultConfig: {concurrency: two}", "defaultConfig.concurrency", "must be a whole number, not text"),
        (
            "defaultConfig: {proxyMetadata: {OK: yes}}",
            "defaultConfig.proxyMetadata[OK]",
            "must be text, not true or false",
        ),
        (
            "defaultConfig: {discoveryAddress: istiod}",
            "defaultConfig.discoveryAddress",
            "'istiod' is not HOST:PORT",
        ),
        ("outboundTrafficPolicy: REGISTRY_ONLY", "outboundTrafficPolicy", "must be a map, not text"),
        (
            "localityLbSetting: {distribute: [{from: a, to: {b: 99}}]}",
            "localityLbSetting.distribute[0].to",
            "the shares add up to 99",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path(text: str, path: str, words: str) -> None:
    (problem,) = told(text)
    assert (problem.level, problem.path, problem.message) == (Level.ERROR, f"data.mesh.{path}", words)


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("connectTimeout: 5", "must be a duration, not a whole number", "write 5s"),
        ("defaultHttpRetryPolicy: {perTryTimeout: 0.5}", "must be a duration, not a number", "write 0.5s"),
        ("tcpKeepalive: {time: 30}", "must be a duration, not a whole number", "write 30s"),
        ("accessLogFile: 5", "must be text, not a whole number", 'write "5" in quotes'),
        ("ingressClass: true", "must be text, not true or false", 'write "true" in quotes'),
        ("defaultConfig: {concurrency: '2'}", "must be a whole number, not text", "write 2 without quotes"),
        ("accessLogEncoding: yaml", "is none of the known words", "write JSON or TEXT"),
        ("ingressControllerMode: OFF", "is none of the known words", 'write "DEFAULT", "OFF" or "STRICT"'),
        ("h2UpgradePolicy: 5", "is none of the known words", "write DO_NOT_UPGRADE or UPGRADE"),
        (
            "outboundTrafficPolicy: {mode: ALLOW}",
            "is none of the known words",
            "write ALLOW_ANY, ALLOW_ANY_DYNAMIC_DNS or REGISTRY_ONLY",
        ),
        ("connectTimeout: [5s]", "must be a duration, not a list", "Istio's MeshConfig"),
    ],
)
def test_a_wrong_type_says_what_to_write(text: str, message: str, fix: str) -> None:
    (problem,) = told(text)
    assert (problem.message, problem.fix) == (message, fix)


def test_each_wrong_entry_of_a_map_is_told_by_its_key() -> None:
    found = told("defaultConfig: {proxyMetadata: {A: 1, B: x, C.D: true, 'E[0]': [a]}}")
    assert [(problem.path.removeprefix("data.mesh.defaultConfig."), problem.fix) for problem in found] == [
        ("proxyMetadata[A]", 'write "1" in quotes'),
        ("proxyMetadata[C.D]", 'write "true" in quotes'),
        ("proxyMetadata[E[0]]", "Istio's MeshConfig"),
    ]
    (nested,) = told("discoverySelectors: [{matchLabels: {a: b}}, {matchLabels: {a: 1, b: c}}]")
    assert nested.path == "data.mesh.discoverySelectors[1].matchLabels[a]"


def test_of_several_values_of_a_wrong_type_each_is_told() -> None:
    found = told("connectTimeout: 5\naccessLogFile: [a]\ndnsRefreshRate: 5s\n")
    assert [problem.path for problem in found] == ["data.mesh.connectTimeout", "data.mesh.accessLogFile"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("outboundClusterStatName: '%SERVICE%_%SERVICES%'", "outboundClusterStatName"),
        ("defaultConfig: {proxyMetadata: {A=B: x}}", "defaultConfig.proxyMetadata[A=B]"),
    ],
)
def test_what_is_left_out_is_told(text: str, path: str) -> None:
    (problem,) = told(text)
    assert (problem.level, problem.path) == (Level.WARNING, f"data.mesh.{path}")
