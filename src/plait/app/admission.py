"""Plait's own rules at the door of the machine's API server: sidecars for pods, checks of Istio's objects.

On Kubernetes the same functions stand behind a webhook.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from plait.api.decode import decode
from plait.api.kubernetes import Service
from plait.api.problem import Level, Problem
from plait.app.neighbours import Neighbours
from plait.inject import AnnotationError, InjectConfig, foreign_sidecars, inject_pod
from plait.machine.api.admission import AdmissionRequest, AdmissionResult
from plait.machine.api.schema.fields import FieldError
from plait.mesh.checks import check
from plait.mesh.config import MeshConfig, settings_key
from plait.mesh.destination_rules import rules_finder
from plait.snapshot.protocols import Protocol, protocol_of
from plait.snapshot.reader import Reader
from plait.snapshot.snapshot import ObjectChange, advance

#: Groups whose objects the core decodes: what it would refuse to use is refused here.
_ISTIO = (".istio.io",)
MESH = MeshConfig()
#: The mesh's settings, which every proxy would feel.
_SETTINGS = ("", *settings_key(MESH))


@dataclass(frozen=True, slots=True)
class Rules:
    """Admission of one mesh. What it says depends on the request alone; of the store in it a decoded copy is kept."""

    inject: InjectConfig = field(default_factory=InjectConfig)
    neighbours: Neighbours = field(default_factory=Neighbours)

    def admit(self, request: AdmissionRequest) -> AdmissionResult:
        """What becomes of an object on its way into the store."""
        if (request.group, request.kind) == ("", "Pod") and request.operation == "CREATE":
            return self._pod(request)
        if (
            request.group.endswith(_ISTIO)
            or (request.group, request.kind, request.namespace, request.name) == _SETTINGS
        ):
            return self._istio(request)
        if (request.group, request.kind) == ("", "Service"):
            return AdmissionResult(obj=request.obj, warnings=_unclear_ports(request))
        if request.group == "apps" and (request.old is None or request.old.get("spec") != request.obj.get("spec")):
            return AdmissionResult(obj=request.obj, warnings=foreign_sidecars(request.obj, self.inject))
        return AdmissionResult(obj=request.obj)

    def _pod(self, request: AdmissionRequest) -> AdmissionResult:
        try:
            made = inject_pod(request.obj, namespace=request.namespace_object or {}, config=self.inject)
        except AnnotationError as error:
            path = f"metadata.annotations[{error.annotation}]"
            return AdmissionResult(obj=request.obj, errors=(FieldError(path=path, message=str(error)),))
        return AdmissionResult(obj=made.pod, warnings=made.warnings)

    def _istio(self, request: AdmissionRequest) -> AdmissionResult:
        decoded = decode(request.obj)
        errors = tuple(_error(problem) for problem in decoded.problems if problem.level is Level.ERROR)
        found = [problem for problem in decoded.problems if problem.level is not Level.ERROR]
        if decoded.key is not None and decoded.value is not None and request.objects is not None:
            world, _ = advance(self.neighbours.as_of_now(request.objects), [ObjectChange(decoded.key, decoded.value)])
            reader = Reader(world.get, world.domain)
            rules = rules_finder(reader, decoded.key.namespace, MESH.root_namespace)
            found += check(reader, decoded.key, rules)
        return AdmissionResult(obj=request.obj, warnings=tuple(map(_words, found)), errors=errors)


def _unclear_ports(request: AdmissionRequest) -> tuple[str, ...]:
    """Ports that do not say what they speak, where sidecars will have to find out."""
    spec, old = request.obj.get("spec") or {}, (request.old or {}).get("spec") or {}
    labels = ((request.namespace_object or {}).get("metadata") or {}).get("labels") or {}
    injected = labels.get("istio-injection") == "enabled" or "istio.io/rev" in labels
    service = decode(request.obj).value
    if not injected or not isinstance(service, Service) or spec.get("ports") == old.get("ports"):
        return ()
    return tuple(
        f"Service {request.namespace}/{request.name}: spec.ports[{index}].name: "
        f"{port.name!r} does not say what port {port.port} speaks, so the first bytes decide; "
        f"http-{port.name or port.port} or tcp-{port.name or port.port}, or set appProtocol"
        for index, port in enumerate(service.spec.ports)
        if protocol_of(port) is Protocol.AUTO
    )


def _error(problem: Problem) -> FieldError:
    message = f"{problem.message}; {problem.fix}" if problem.fix else problem.message
    return FieldError(path=problem.path, message=f"Invalid value: {message}", value=problem.value)


def _words(problem: Problem) -> str:
    said = f"{problem.object.kind} {problem.object.namespace}/{problem.object.name}: {problem.path}: {problem.message}"
    return f"{said}; {problem.fix}" if problem.fix else said
