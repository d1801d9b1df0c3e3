"""Plait's own rules at the door of the machine's API server: sidecars for pods, checks of Istio's objects.

On Kubernetes the same functions stand behind a webhook.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from plait.api.decode import decode
from plait.api.problem import Level, Problem
from plait.inject import AnnotationError, InjectConfig, inject_pod
from plait.machine.api.admission import AdmissionRequest, AdmissionResult
from plait.machine.api.schema.fields import FieldError

#: Groups whose objects the core decodes: what it would refuse to use is refused here.
_ISTIO = (".istio.io",)


@dataclass(frozen=True, slots=True)
class Rules:
    """Admission of one mesh; pure."""

    inject: InjectConfig = field(default_factory=InjectConfig)

    def admit(self, request: AdmissionRequest) -> AdmissionResult:
        """What becomes of an object on its way into the store."""
        if (request.group, request.kind) == ("", "Pod") and request.operation == "CREATE":
            return self._pod(request)
        if request.group.endswith(_ISTIO):
            return _istio(request)
        return AdmissionResult(obj=request.obj)

    def _pod(self, request: AdmissionRequest) -> AdmissionResult:
        try:
            made = inject_pod(request.obj, namespace=request.namespace_object or {}, config=self.inject)
        except AnnotationError as error:
            path = f"metadata.annotations[{error.annotation}]"
            return AdmissionResult(obj=request.obj, errors=(FieldError(path=path, message=str(error)),))
        return AdmissionResult(obj=made.pod, warnings=made.warnings)


def _istio(request: AdmissionRequest) -> AdmissionResult:
    problems = decode(request.obj).problems
    errors = tuple(_error(problem) for problem in problems if problem.level is Level.ERROR)
    warnings = tuple(_words(problem) for problem in problems if problem.level is Level.WARNING)
    return AdmissionResult(obj=request.obj, warnings=warnings, errors=errors)


def _error(problem: Problem) -> FieldError:
    message = f"{problem.message}; {problem.fix}" if problem.fix else problem.message
    return FieldError(path=problem.path, message=f"Invalid value: {message}", value=problem.value)


def _words(problem: Problem) -> str:
    said = f"{problem.object.kind} {problem.object.namespace}/{problem.object.name}: {problem.path}: {problem.message}"
    return f"{said}; {problem.fix}" if problem.fix else said
