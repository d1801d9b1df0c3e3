"""What is wrong in an object itself: the findings of validation, and rules of one object that hide each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from plait.analyze.analyzer import Analyzer
from plait.analyze.finding import Finding
from plait.analyze.kinds import PROXY_CONFIG, VIRTUAL_SERVICE, WORKLOAD_GROUP, Kind
from plait.analyze.messages import INEFFECTIVE_MATCH, SCHEMA_ERROR, SCHEMA_WARNING, UNREACHABLE_RULE
from plait.analyze.shadowing import unreachable_rules
from plait.analyze.world import Item, World
from plait.api.decode import decoded_kinds
from plait.api.problem import Level, Problem


def _check(_world: World, item: Item) -> Iterator[Finding]:
    hidden = list(unreachable_rules(item)) if item.kind == VIRTUAL_SERVICE else []
    told = {finding.path for finding in hidden}
    for problem in item.decoded.problems:
        if problem.level is not Level.ERROR and problem.path in told:
            # The same, said with a code of its own.
            continue
        yield replace(finding_of(problem), object=item.key, cluster=item.cluster)
    yield from hidden


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


ANALYZERS: Final = tuple(_analyzer(kind) for kind in decoded_kinds() if kind[0].endswith(".istio.io"))
#: Of what no view has a part of, since it acts when a pod starts or a workload joins: for who knows its problems.
WHEN_STARTED: Final = tuple(map(_analyzer, (PROXY_CONFIG, WORKLOAD_GROUP)))
