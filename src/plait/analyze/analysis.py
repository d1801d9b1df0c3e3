"""Runs analyzers: over a whole world, or about one object in it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from plait.analyze.analyzer import Analyzer
from plait.analyze.finding import Finding
from plait.analyze.kinds import DEPLOYMENT, NAMESPACE
from plait.analyze.messages import (
    HOST_NOT_IN_GATEWAY,
    INTERNAL_ERROR,
    LEVELS,
    REFERENCE_NOT_FOUND,
    SCHEMA_WARNING,
    Merge,
)
from plait.analyze.pods import SYSTEM_NAMESPACES
from plait.analyze.registry import ANALYZERS, analyzers_for
from plait.analyze.suppress import Suppressions
from plait.analyze.world import Item, World
from plait.api.meta import ObjectKey

#: What goes without saying where another message is about the same field: a Gateway that is not there serves no host.
_IMPLIED: Final = {HOST_NOT_IN_GATEWAY: REFERENCE_NOT_FOUND}


def analyze(
    world: World,
    analyzers: Iterable[Analyzer] | None = None,
    suppressions: Suppressions | None = None,
    *,
    implied: bool = False,
) -> tuple[Finding, ...]:
    """The findings of `analyzers` (of all that are usual) about every object, the worst first.

    `implied`: with those that say nothing new beside another about the same field, as Istio has them.
    """
    chosen = [analyzer for analyzer in ANALYZERS if analyzer.usual] if analyzers is None else list(analyzers)
    findings: list[Finding] = []
    for analyzer in chosen:
        findings += _guarded(analyzer, partial(analyzer.run, world))
    return _finished(world, findings, suppressions, implied=implied)


def judge(world: World, item: Item, analyzers: Iterable[Analyzer] | None = None) -> tuple[Finding, ...]:
    """The findings of `analyzers` (of all that judge its kind) about one object of `world`."""
    findings: list[Finding] = []
    for analyzer in analyzers_for(item.kind) if analyzers is None else analyzers:
        check = analyzer.check
        if check is not None:
            findings += _guarded(analyzer, partial(check, world, item))
    return _finished(world, findings, None)


def _guarded(analyzer: Analyzer, run: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """A defect of one analyzer is a finding, so that the others are still heard."""
    result: list[Finding] = []
    try:
        result.extend(run())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told, with the place to mend
        where = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{analyzer.name}: {type(error).__name__}: {error} ({where.name}, line {where.lineno})"
        text = INTERNAL_ERROR.text.format(detail=detail)
        result.append(Finding(message=INTERNAL_ERROR, object=ObjectKey("Analyzer", "", analyzer.name), text=text))
    return result


def _finished(
    world: World, findings: Sequence[Finding], suppressions: Suppressions | None, *, implied: bool = False
) -> tuple[Finding, ...]:
    allowed = suppressions or Suppressions()
    # What validation only warns of is left to a message that has a name for it.
    named = {(one.group, one.object, one.cluster, one.path) for one in findings if one.message is not SCHEMA_WARNING}
    said = {(one.message, one.object, one.cluster, one.path) for one in findings} if not implied else set()
    kept = [
        finding
        for finding in findings
        if (_IMPLIED.get(finding.message), finding.object, finding.cluster, finding.path) not in said
        and not _of_the_cluster(finding)
        and not (
            finding.message is SCHEMA_WARNING
            and (finding.group, finding.object, finding.cluster, finding.path) in named
        )
        and not allowed.hides(world, finding)
    ]
    return tuple(sorted(merged(kept), key=_order))


def _of_the_cluster(finding: Finding) -> bool:
    """Whether it is about Kubernetes' own programs, which no injector touches: Istio passes over them too."""
    key = finding.object
    place = key.name if key.kind == NAMESPACE[1] else key.namespace
    return finding.group in _KUBERNETES and place in SYSTEM_NAMESPACES


#: The groups of pods, Services, namespaces and workloads.
_KUBERNETES: Final = frozenset({NAMESPACE[0], DEPLOYMENT[0]})


def _order(finding: Finding) -> tuple[int, str, ObjectKey, str, str, str, str]:
    place = finding.object, finding.group or "", finding.cluster, finding.path
    return LEVELS.index(finding.level), finding.code, *place, finding.text


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that read the same, told once with all their places; see `Merge`."""
    result: dict[object, Finding] = {}
    for finding in findings:
        place = finding.code, finding.group, finding.object, finding.cluster
        match finding.message.merge:
            case Merge.NEVER:
                # Two analyzers may find the very same thing: that a Gateway selects no pod, say.
                key: object = (*place, finding.path, finding.text)
            case Merge.SAME_TEXT:
                key = (*place, finding.text)
            case Merge.SAME_CODE:
                key = place
        before = result.get(key)
        if before is None:
            result[key] = finding
        elif finding.path not in {before.path, *before.also}:
            result[key] = replace(before, also=(*before.also, finding.path))
    return list(result.values())
