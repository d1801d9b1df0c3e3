"""What types cannot say: names, ranges, choices, references inside an object, fields that never change.

The rules are those of Kubernetes 1.32 for the kinds served; paths and the form of messages are the ones kubectl shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.validation.definitions import validate_definition
from plait.machine.api.schema.validation.ingresses import validate_ingress, validate_ingress_class
from plait.machine.api.schema.validation.jobs import validate_cron_job, validate_job
from plait.machine.api.schema.validation.metadata import validate_metadata
from plait.machine.api.schema.validation.pods import validate_pod
from plait.machine.api.schema.validation.services import validate_endpoint_slice, validate_service
from plait.machine.api.schema.validation.small import (
    validate_config_map,
    validate_event,
    validate_lease,
    validate_scale,
    validate_secret,
    validate_token_request,
)
from plait.machine.api.schema.validation.workloads import validate_deployment, validate_replica_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from plait.machine.api.schema.fields import FieldError
    from plait.machine.api.schema.kinds import ServedKind

    Rule = Callable[[dict[str, Any], dict[str, Any] | None], Iterator[FieldError]]

_RULES: Mapping[tuple[str, str], Rule] = {
    ("", "Pod"): validate_pod,
    ("", "Service"): validate_service,
    ("", "ConfigMap"): validate_config_map,
    ("", "Secret"): validate_secret,
    ("", "Event"): validate_event,
    ("apps", "Deployment"): validate_deployment,
    ("apps", "ReplicaSet"): validate_replica_set,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): validate_definition,
    ("batch", "CronJob"): validate_cron_job,
    ("batch", "Job"): validate_job,
    ("discovery.k8s.io", "EndpointSlice"): validate_endpoint_slice,
    ("coordination.k8s.io", "Lease"): validate_lease,
    ("networking.k8s.io", "Ingress"): validate_ingress,
    ("networking.k8s.io", "IngressClass"): validate_ingress_class,
    ("autoscaling", "Scale"): validate_scale,
    ("authentication.k8s.io", "TokenRequest"): validate_token_request,
}


def validate_object(kind: ServedKind, obj: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """Faults of an object whose types are right, as an update of `old` if there is one."""
    if kind.stored:
        yield from validate_metadata(kind, obj)
    if (rule := _RULES.get((kind.group, kind.kind))) is not None:
        comparable = old is not None and isinstance(old.get("spec", {}), dict | None)
        yield from rule(obj, old if comparable else None)
