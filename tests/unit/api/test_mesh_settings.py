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
        ("defaultConfig: {concurrency: two}", "defaultConfig.concurrency", "must be a whole number, not a text"),
        (
            "defaultConfig: {proxyMetadata: {OK: yes}}",
            "defaultConfig.proxyMetadata[...]",
            "must be a text, not true or false: write it in quotes",
        ),
        ("outboundTrafficPolicy: REGISTRY_ONLY", "outboundTrafficPolicy", "must be a map, not a text"),
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
