"""Sidecars and Telemetries: of each kind one can hold for a workload, so several that select it are in conflict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import at, labels, mappings, sequence
from plait.analyze.finding import Finding
from plait.analyze.kinds import NAMESPACE, SIDECAR, TELEMETRY
from plait.analyze.messages import (
    CONFLICTING_SIDECARS,
    CONFLICTING_TELEMETRIES,
    INEFFECTIVE_POLICY,
    INVALID_PROVIDER,
    MULTIPLE_SIDECARS,
    MULTIPLE_TELEMETRIES,
    REFERENCE_NOT_FOUND,
)
from plait.analyze.pods import namespace_in_ambient, pod_in_ambient, pods_selected
from plait.analyze.selectors import selector_text, selects
from plait.analyze.world import Index, Item, World

_SELECTORS: Final = {SIDECAR: ("workloadSelector", "labels"), TELEMETRY: ("selector", "matchLabels")}
_BY_NAMESPACE: Final = {kind: Index((kind,), lambda item, _: (item.namespace,)) for kind in _SELECTORS}


def _selector(item: Item) -> dict[str, str]:
    return labels(item.spec, *_SELECTORS[item.kind])


def _beside(world: World, item: Item) -> tuple[Item, ...]:
    """All objects of its kind in its namespace, itself included."""
    return world.find(_BY_NAMESPACE[item.kind], item.namespace)


def _names(items: list[Item]) -> str:
    return ", ".join(sorted(item.name for item in items))


def _no_pods(item: Item, selector: dict[str, str]) -> Finding:
    path = "spec." + ".".join(_SELECTORS[item.kind])
    where = f" of namespace {item.namespace}" if item.namespace else ""
    return found(
        REFERENCE_NOT_FOUND, item, path, value=selector, detail=f"no pod{where} carries {selector_text(selector)}"
    )


def _check_sidecar(world: World, item: Item) -> Iterator[Finding]:
    selector = _selector(item)
    if not selector:
        yield from _check_whole_namespace(world, item)
        return
    pods = list(pods_selected(world, selector, item.namespace))
    if not pods:
        yield _no_pods(item, selector)
    told = False
    for pod in pods:
        if pod_in_ambient(pod):
            if not told:
                told = True
                detail = f"it selects pod {pod.name}, which has no sidecar: its traffic goes through the node's proxy"
                yield found(INEFFECTIVE_POLICY, item, "spec.workloadSelector", detail=detail)
            continue
        rivals = _that_select(pod, _beside(world, item))
        if len(rivals) > 1:
            yield found(
                CONFLICTING_SIDECARS,
                item,
                "spec.workloadSelector",
                sidecars=_names(rivals),
                namespace=item.namespace,
                pod=pod.name,
            )


def _that_select(pod: Item, rules: Iterable[Item]) -> list[Item]:
    """Those whose selector names labels, and takes the pod."""
    return [rule for rule in rules if (wants := _selector(rule)) and selects(wants, pod.labels)]


def _check_whole_namespace(world: World, item: Item) -> Iterator[Finding]:
    if namespace_in_ambient(world.get(NAMESPACE, "", item.namespace)):
        detail = f"namespace {item.namespace} has no sidecars: its traffic goes through the node's proxy"
        yield found(INEFFECTIVE_POLICY, item, detail=detail)
        return
    rivals = [other for other in _beside(world, item) if not _selector(other)]
    if len(rivals) > 1:
        names = _names(rivals)
        yield found(MULTIPLE_SIDECARS, item, "metadata.name", sidecars=names, namespace=item.namespace)


def _check_telemetry(world: World, item: Item) -> Iterator[Finding]:
    selector = _selector(item)
    if not selector:
        return
    pods = list(pods_selected(world, selector, item.namespace))
    if not pods:
        yield _no_pods(item, selector)
    for pod in pods:
        rivals = _that_select(pod, _beside(world, item))
        if len(rivals) > 1:
            yield found(
                CONFLICTING_TELEMETRIES,
                item,
                "spec.selector",
                telemetries=_names(rivals),
                namespace=item.namespace,
                pod=pod.name,
            )


def _check_default_telemetry(world: World, item: Item) -> Iterator[Finding]:
    """Istio: an empty selector is a selector; only a missing one means the whole namespace."""
    if isinstance(item.spec.get("selector"), dict):
        return
    rivals = [other for other in _beside(world, item) if not isinstance(other.spec.get("selector"), dict)]
    if len(rivals) > 1:
        names = _names(rivals)
        yield found(MULTIPLE_TELEMETRIES, item, "metadata.name", telemetries=names, namespace=item.namespace)


def _check_providers(world: World, item: Item) -> Iterator[Finding]:
    if sequence(world.mesh_config, "defaultProviders", "accessLogging"):
        return
    for index, logging in mappings(item.spec, "accessLogging"):
        if at(logging, "disabled") is not True and not sequence(logging, "providers"):
            path = f"spec.accessLogging[{index}]"
            yield found(INVALID_PROVIDER, item, path, fix="providers: [{name: envoy}]")


ANALYZERS: Final = (
    Analyzer(
        name="sidecar.SelectorAnalyzer",
        messages=(REFERENCE_NOT_FOUND, CONFLICTING_SIDECARS, MULTIPLE_SIDECARS, INEFFECTIVE_POLICY),
        subjects=(SIDECAR,),
        check=_check_sidecar,
    ),
    Analyzer(
        name="telemetry.ProviderAnalyzer", messages=(INVALID_PROVIDER,), subjects=(TELEMETRY,), check=_check_providers
    ),
    Analyzer(
        name="telemetry.SelectorAnalyzer",
        messages=(REFERENCE_NOT_FOUND, CONFLICTING_TELEMETRIES),
        subjects=(TELEMETRY,),
        check=_check_telemetry,
    ),
    Analyzer(
        name="telemetry.DefaultSelectorAnalyzer",
        messages=(MULTIPLE_TELEMETRIES,),
        subjects=(TELEMETRY,),
        check=_check_default_telemetry,
    ),
)
