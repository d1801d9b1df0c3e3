"""Conformance set `validation`: would these manifests be stored?"""

from __future__ import annotations

from typing import Any

from plait.app.objects.validate import findings_of_text, validator


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """Accepted if no finding of any document is an error."""
    found = findings_of_text(validator(), case["yaml"], file=case["id"])
    errors = [str(each) for each in found if each.is_error]
    return {"accepted": not errors, "warnings": [str(each) for each in found if not each.is_error], "errors": errors}
