"""Plait's own rules at the door of the machine's API server: sidecars for pods, checks of Istio's objects.

On Kubernetes the same functions stand behind a webhook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from plait.analyze import deployments, ingresses, istio_annotations, names, service_entries, services
from plait.analyze.analysis import judge
from plait.analyze.analyzer import Analyzer
from plait.analyze.finding import Finding
from plait.analyze.kinds import VIRTUAL_SERVICE
from plait.analyze.messages import NO_MATCHING_WORKLOADS, SCHEMA_ERROR, SCHEMA_WARNING, SUBSET_WITHOUT_PODS
from plait.analyze.schema import finding_of
from plait.analyze.shadowing import dead_rules
from plait.analyze.world import Item, World
from plait.api import former_policies
from plait.api.problem import Level, Problem
from plait.app.bootstrap_patches import with_bootstrap_patches
from plait.app.former_policies import judge_policy, sentence
from plait.app.neighbours import Neighbours
from plait.app.patch_checks import patch_faults
from plait.app.proxy_settings import settings_of
from plait.app.readable import meaning
from plait.inject import AnnotationError, InjectConfig, foreign_sidecars, inject_pod, old_images
from plait.machine.api.admission import AdmissionRequest, AdmissionResult, PendingError
from plait.machine.api.schema.fields import FieldError
from plait.mesh.config import MeshConfig, settings_key
from plait.trial.patches import PatchTrials

#: Groups whose objects the core decodes: what it would refuse to use is refused here.
_ISTIO = (".istio.io",)
MESH = MeshConfig()
#: The mesh's settings, which every proxy would feel.
_SETTINGS = ("", *settings_key(MESH))
#: Not told at the door: pods come when they come, often in the same `kubectl apply`; `plait analyze` tells it.
_LATER = frozenset({SUBSET_WITHOUT_PODS, NO_MATCHING_WORKLOADS})
#: Their texts say it all: a code would only name validation.
_WITHOUT_CODE = frozenset({SCHEMA_WARNING})


@dataclass(frozen=True, slots=True)
class Rules:
    """Admission of one mesh. What it says depends on the request alone; of the store in it a decoded copy is kept.

    With `trials`, what an EnvoyFilter adds is loaded by a scratch Envoy before it is let in.
    """

    inject: InjectConfig = field(default_factory=InjectConfig)
    neighbours: Neighbours = field(default_factory=Neighbours)
    trials: PatchTrials | None = None

    def admit(self, request: AdmissionRequest) -> AdmissionResult:
        """What becomes of an object on its way into the store."""
        if (request.group, request.kind) == ("", "Pod") and request.operation == "CREATE":
            return self._pod(request)
        if request.group == former_policies.GROUP:
            return self._policy(request)
        if (
            request.group.endswith(_ISTIO)
            or (request.group, request.kind, request.namespace, request.name) == _SETTINGS
        ):
            return self._istio(request)
        if (request.group, request.kind) == ("", "Service"):
            taken = self._against_others(request, (service_entries.TAKEN,)) if request.operation == "CREATE" else ()
            warnings = (*_unclear_ports(request), *self._annotations(request), *taken)
            return AdmissionResult(obj=request.obj, warnings=warnings)
        if (request.group, request.kind) == ("networking.k8s.io", "Ingress"):
            return AdmissionResult(obj=request.obj, warnings=self._against_others(request, ingresses.ANALYZERS))
        if request.group == "apps" and (request.old is None or request.old.get("spec") != request.obj.get("spec")):
            return AdmissionResult(
                obj=request.obj,
                warnings=(
                    *foreign_sidecars(request.obj, self.inject),
                    *old_images(request.obj),
                    *_told(request, (deployments.USER,)),
                ),
            )
        return AdmissionResult(obj=request.obj)

    def beside(self, group: str, obj: dict[str, Any], faults: Sequence[FieldError]) -> tuple[FieldError, ...]:
        """What the meaning of an Istio object is refused for beside the faults of its form."""
        if not group.endswith(_ISTIO):
            return ()
        return tuple(_error(problem) for problem in meaning(obj, faults) if problem.level is Level.ERROR)

    def _annotations(self, request: AdmissionRequest) -> tuple[str, ...]:
        """What Istio's annotations on a Service get wrong, when they are written."""
        if not (written := Item(request.obj).annotations) or written == Item(request.old or {}).annotations:
            return ()
        return self._against_others(request, (istio_annotations.USUAL, names.EXPORTS))

    def _against_others(self, request: AdmissionRequest, analyzers: tuple[Analyzer, ...]) -> tuple[str, ...]:
        """What analyzers say of an object among all that is stored."""
        item = Item(request.obj)
        world = self.neighbours.as_of_now(request.objects) if request.objects is not None else World()
        with world.trying(item):
            return tuple(map(_words, judge(world, item, analyzers)))

    def _pod(self, request: AdmissionRequest) -> AdmissionResult:
        try:
            made = inject_pod(
                request.obj,
                namespace=request.namespace_object or {},
                config=self.inject,
                settings=settings_of(request, self.inject.root_namespace),
            )
        except AnnotationError as error:
            path = f"metadata.annotations[{error.annotation}]"
            return AdmissionResult(obj=request.obj, errors=(FieldError(path=path, message=str(error)),))
        pod = with_bootstrap_patches(made.pod, request, self.inject.root_namespace)
        return AdmissionResult(obj=pod, warnings=made.warnings)

    def _policy(self, request: AdmissionRequest) -> AdmissionResult:
        peers, problems = judge_policy(request, self.inject.root_namespace)
        if peers is None:
            return AdmissionResult(obj=request.obj, errors=tuple(map(_error, problems)))
        title = " ".join((request.kind, "/".join(filter(None, (request.namespace, request.name)))))
        return AdmissionResult(obj=request.obj, warnings=(sentence(title, peers),))

    def _istio(self, request: AdmissionRequest) -> AdmissionResult:
        if request.settled and _of_istio(request.obj) == _of_istio(request.old or {}):
            return AdmissionResult(obj=request.obj)
        item, faults = request.work("meaning", _given(request.obj), lambda: _read(request.obj))
        problems = (*item.decoded.problems, *faults)
        errors = tuple(_error(problem) for problem in problems if problem.level is Level.ERROR)
        untried: tuple[str, ...] = ()
        if not errors and request.kind == "EnvoyFilter":
            errors, untried = self._tried(request)
        world = self.neighbours.as_of_now(request.objects) if request.objects is not None else World()
        with world.trying(item):
            found = judge(world, item)
        told = [finding for finding in found if finding.message not in {SCHEMA_ERROR, *_LATER}]
        told += [finding_of(problem) for problem in faults if problem.level is not Level.ERROR]
        return AdmissionResult(obj=request.obj, warnings=(*untried, *map(_words, told)), errors=errors)

    def _tried(self, request: AdmissionRequest) -> tuple[tuple[FieldError, ...], tuple[str, ...]]:
        """What a scratch Envoy refuses of an EnvoyFilter, and warnings of what it was not asked about."""
        trials, obj = self.trials, request.obj
        if trials is None or (request.old is not None and request.old.get("spec") == obj.get("spec")):
            return (), ()
        verdict = trials.verdict(obj)
        if verdict is None:
            raise PendingError(lambda: trials.find_out(obj))
        errors = tuple(
            FieldError(path=path, message=f"Invalid value: Envoy would not load it: {words}")
            for path, words in verdict.refused
        )
        warnings = tuple(
            f"EnvoyFilter {request.namespace}/{request.name}: {path}: {why}" for path, why in verdict.untried
        )
        return errors, warnings


def _unclear_ports(request: AdmissionRequest) -> tuple[str, ...]:
    """Ports that do not say what they speak, where sidecars will have to find out."""
    spec, old = request.obj.get("spec") or {}, (request.old or {}).get("spec") or {}
    namespace = Item(request.namespace_object or {})
    injected = namespace.labels.get("istio-injection") == "enabled" or "istio.io/rev" in namespace.labels
    if not injected or spec.get("ports") == old.get("ports"):
        return ()
    return _told(request, services.ANALYZERS)


def _told(request: AdmissionRequest, analyzers: tuple[Analyzer, ...]) -> tuple[str, ...]:
    """What analyzers say that need nothing of the rest of the world."""
    item = Item(request.obj)
    return tuple(map(_words, judge(World((item,)), item, analyzers)))


def _given(obj: dict[str, Any]) -> list[Any]:
    """What the meaning of an object depends on, which the server does not write."""
    item = Item(obj)
    return [item.kind, item.key, item.labels, item.annotations, item.spec, obj.get("data")]


def _read(obj: dict[str, Any]) -> tuple[Item, tuple[Problem, ...]]:
    """The object with all that can be said of it alone, and what Envoy could not read of it."""
    item = Item(obj)
    if item.kind == VIRTUAL_SERVICE:
        dead_rules(item)
    _ = item.decoded
    return item, patch_faults(obj)


def _of_istio(obj: dict[str, Any]) -> list[dict[str, str]]:
    """The labels and the annotations that have a meaning to the mesh."""
    item = Item(obj)
    return [{name: each[name] for name in each if "istio.io/" in name} for each in (item.labels, item.annotations)]


def _error(problem: Problem) -> FieldError:
    message = f"{problem.message}; {problem.fix}" if problem.fix else problem.message
    return FieldError(path=problem.path, message=f"Invalid value: {message}", value=problem.value)


def _words(finding: Finding) -> str:
    return str(finding) if finding.message in _WITHOUT_CODE else f"{finding} [{finding.code}]"
