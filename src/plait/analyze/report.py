"""Findings with the places they were written at, and their forms for programs: plain data, and SARIF for CI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from plait.analyze.finding import Finding
from plait.analyze.meanings import MEANINGS
from plait.analyze.messages import MESSAGES, Message
from plait.api.problem import Level

_DOCUMENTATION: Final = "https://istio.io/latest/docs/reference/config/analysis/"
#: Of a message in a status: it is read with every read of the object.
_LONGEST: Final = 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field stands in a file; line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Reported:
    """A finding, and where its object's field stands; None for an object of the mesh."""

    finding: Finding
    place: Place | None = None


def level_name(level: Level) -> str:
    """As Istio's tool writes it: `Error`."""
    return level.value.capitalize()


def documentation(message: Message) -> str:
    """Where Istio explains one of its messages; empty for a message of ours."""
    return f"{_DOCUMENTATION}{message.code.lower()}/" if message.code.startswith("IST") else ""


def plain(reported: Reported) -> dict[str, Any]:
    """One finding as data; the fields of Istio's tool and what it does not have."""
    finding = reported.finding
    data = {
        "code": finding.code,
        "name": finding.message.name,
        "level": level_name(finding.level),
        "origin": finding.resource,
        "message": finding.text,
        "documentationUrl": documentation(finding.message),
        "reference": str(reported.place) if reported.place is not None else "",
        "path": finding.path,
        "also": list(finding.also),
        "value": finding.value,
        "fix": finding.fix,
        "cluster": finding.cluster,
    }
    return {name: value for name, value in data.items() if value not in ("", [], None)}


def validation_message(finding: Finding) -> dict[str, Any]:
    """One element of an object's `status.validationMessages`: Istio's form (AnalysisMessageBase), with the field that
    is at fault and the text, which Istio's has not.
    """
    message = {
        "type": {"name": finding.message.name, "code": finding.code},
        "level": finding.level.name,
        "documentationUrl": documentation(finding.message),
        "path": finding.path,
        "message": said(finding)[:_LONGEST],
    }
    return {name: value for name, value in message.items() if value}


#: What `validation_message` has that Istio's form has not.
OWN_FIELDS: Final = frozenset({"path", "message"})


def said(finding: Finding) -> str:
    """What is wrong, and what to write instead; without the object and the path."""
    also = f" (also at {', '.join(finding.also)})" if finding.also else ""
    return finding.text + also + (f"; {finding.fix}" if finding.fix else "")


_LEVELS: Final = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}


def sarif(reported: Sequence[Reported], version: str) -> dict[str, Any]:
    """A SARIF 2.1.0 log of one run."""
    used = [MESSAGES[code] for code in sorted({one.finding.code for one in reported})]
    places = {message.code: index for index, message in enumerate(used)}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "plait", "version": version, "rules": [_rule(message) for message in used]}
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, places) for one in reported],
            }
        ],
    }


def _rule(message: Message) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": message.code,
        "name": message.name,
        "shortDescription": {"text": MEANINGS[message.code]},
        "defaultConfiguration": {"level": _LEVELS[message.level]},
    }
    return {**rule, "helpUri": link} if (link := documentation(message)) else rule


def _result(reported: Reported, places: dict[str, int]) -> dict[str, Any]:
    finding = reported.finding
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": finding.resource, "kind": "resource"}]}
    if reported.place is not None:
        location["physicalLocation"] = {
            "artifactLocation": {"uri": quote(reported.place.file.replace("\\", "/"))},
            "region": {"startLine": reported.place.line, "startColumn": reported.place.column},
        }
    return {
        "ruleId": finding.code,
        "ruleIndex": places[finding.code],
        "level": _LEVELS[finding.level],
        "message": {"text": str(finding)},
        "locations": [location],
        # Tells CI systems that a finding is the same one after lines have moved.
        "partialFingerprints": {"objectAndPath/v1": f"{finding.code} {finding.resource} {finding.path}"},
    }


def worst(reported: Iterable[Reported]) -> Level | None:
    """The worst level among them."""
    order = (Level.ERROR, Level.WARNING, Level.INFO)
    levels = {one.finding.level for one in reported}
    return next((level for level in order if level in levels), None)


def reaches(level: Level, threshold: Level) -> bool:
    """Whether a level is as bad as a threshold, or worse."""
    order = (Level.ERROR, Level.WARNING, Level.INFO)
    return order.index(level) <= order.index(threshold)
