"""The conformance set `analyze`: which messages are reported about some manifests?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from plait.analyze.analysis import analyze
from plait.analyze.registry import BY_NAME
from plait.analyze.world import Item, Surroundings, World
from plait.api.yaml import objects, read_yaml


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """The messages of the analyzer that the case names; of all usual ones where it is unknown."""
    settings = Surroundings(
        mesh_config=_settings(case.get("mesh_config")),
        mesh_networks=_settings(case.get("mesh_networks")),
        now=datetime.now(UTC),
    )
    world = World(_items(case), settings)
    analyzer = BY_NAME.get(str(case.get("analyzer")))
    found = analyze(world, None if analyzer is None else (analyzer,), implied=True)
    return {
        "id": case.get("id"),
        "messages": [
            {
                "code": finding.code,
                "resource": finding.resource,
                "level": finding.level.value.capitalize(),
                "message": str(finding),
            }
            for finding in found
        ],
    }


def _items(case: dict[str, Any]) -> Iterator[Item]:
    """Objects stay in the namespace their manifest names, also if it names none."""
    yield from _read(case.get("fixture_yaml", ""), "")
    for part in case.get("inputs", ()):
        yield from _read(part["yaml"], "")
    for cluster, parts in (case.get("clusters") or {}).items():
        for part in parts:
            yield from _read(part["yaml"], cluster)


def _read(text: str, cluster: str) -> Iterator[Item]:
    for obj in objects(read_yaml(text)):
        if isinstance(obj, dict):
            yield Item(obj, cluster=cluster)


def _settings(part: dict[str, Any] | None) -> dict[str, Any] | None:
    if not part:
        return None
    documents = read_yaml(part["yaml"]).documents
    value = documents[0].value if documents else None
    return value if isinstance(value, dict) else {}
