"""Conformance set `validation_legacy`: would Istio 1.0 have stored these manifests?"""

from __future__ import annotations

from typing import Any

from plait.api.legacy import validate_legacy
from plait.api.problem import Level
from plait.api.yaml import objects, read_yaml


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """Accepted if no finding of any document is an error."""
    reading = read_yaml(case["yaml"], case["id"])
    found = [problem for obj in objects(reading) for problem in validate_legacy(obj)]
    errors = [*map(str, reading.problems), *(str(each) for each in found if each.level is Level.ERROR)]
    warnings = [str(each) for each in found if each.level is not Level.ERROR]
    return {"accepted": not errors, "warnings": warnings, "errors": errors}
