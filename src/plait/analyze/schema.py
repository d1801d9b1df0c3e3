"""What is wrong in an object itself: the findings of validation, and rules of one object that hide each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from plait.analyze.analyzer import Analyzer
from plait.analyze.finding import Finding
from plait.analyze.kinds import CONFIG_MAP, VIRTUAL_SERVICE, Kind
from plait.analyze.messages import INEFFECTIVE_MATCH, SCHEMA_ERROR, SCHEMA_WARNING, UNREACHABLE_RULE
from plait.analyze.shadowing import unreachable_rules
from plait.analyze.world import Item, World
from plait.api.decode import checked_kinds
from plait.api.problem import Level, Problem


def _check(_world: World, item: Item) -> Iterator[Finding]:
    hidden = list(unreachable_rules(item)) if item.kind == VIRTUAL_SERVICE else []
    told = {finding.path for finding in hidden}
    for problem in item.decoded.problems:
        if problem.level is not Level.ERROR and problem.path in told:
            # The same, said with a code of its own.
            continue
        yield replace(finding_of(problem), object=item.key, cluster=item.cluster, group=item.kind[0])
    yield from hidden


def _check_settings(world: World, item: Item) -> Iterator[Finding]:
    """The settings of the mesh, which every proxy would feel; other ConfigMaps are the applications' own."""
    if item.namespace == world.surroundings.root_namespace:
        yield from _check(world, item)


def finding_of(problem: Problem) -> Finding:
    """What validation has found, as analysis says it."""
    return Finding(
        message=SCHEMA_ERROR if problem.level is Level.ERROR else SCHEMA_WARNING,
        object=problem.object,
        text=problem.message,
        path=problem.path,
        fix=problem.fix,
        value=problem.value,
    )


def _analyzer(kind: Kind) -> Analyzer:
    own = (UNREACHABLE_RULE, INEFFECTIVE_MATCH) if kind == VIRTUAL_SERVICE else ()
    return Analyzer(
        name=f"schema.ValidationAnalyzer.{kind[1]}",
        messages=(SCHEMA_ERROR, SCHEMA_WARNING, *own),
        subjects=(kind,),
        check=_check,
    )


ANALYZERS: Final = (
    *(_analyzer(kind) for kind in checked_kinds() if kind[0].endswith(".istio.io")),
    Analyzer(
        name="plait.MeshSettings",
        messages=(SCHEMA_ERROR, SCHEMA_WARNING),
        subjects=(CONFIG_MAP,),
        check=_check_settings,
    ),
)
