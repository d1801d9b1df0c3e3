"""Objects of Istio 1.0, judged by the rules of that time: a table of what was stored and what was refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from plait.api.legacy import validate_legacy
from plait.api.problem import Level
from plait.api.yaml import objects, read_yaml

_ROW: Final = re.compile(r"(takes|refuses) (\w+) (\w+): ?(.*)")
_GROUPS: Final = {
    "Policy": "authentication.istio.io/v1alpha1",
    "HTTPAPISpec": "config.istio.io/v1alpha2",
    "HTTPAPISpecBinding": "config.istio.io/v1alpha2",
    "QuotaSpec": "config.istio.io/v1alpha2",
    "QuotaSpecBinding": "config.istio.io/v1alpha2",
    "RbacConfig": "rbac.istio.io/v1alpha1",
    "ServiceRole": "rbac.istio.io/v1alpha1",
    "ServiceRoleBinding": "rbac.istio.io/v1alpha1",
}
ROWS: Final = [
    row for row in Path(__file__).with_name("legacy_rows.txt").read_text().splitlines() if not row.startswith("#")
]


@pytest.mark.parametrize("row", ROWS)
def test_rows_of_istio_1_0(row: str) -> None:
    found = _ROW.fullmatch(row)
    assert found is not None
    verdict, kind, name, spec = found.groups()
    group = _GROUPS.get(kind, "networking.istio.io/v1alpha3")
    metadata = f"{{name: {name}, namespace: bar}}"
    reading = read_yaml(f"{{apiVersion: {group}, kind: {kind}, metadata: {metadata}, spec: {{{spec}}}}}", "row")
    assert not reading.problems
    (obj,) = objects(reading)
    problems = validate_legacy(obj)
    assert any(problem.level is Level.ERROR for problem in problems) is (verdict == "refuses"), problems
