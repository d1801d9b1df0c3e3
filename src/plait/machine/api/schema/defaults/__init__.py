"""What an API server fills in: one function a kind, each changing a normalised copy in place.

Values are those of Kubernetes 1.32's typed defaulting, of the storage strategies (clusterIPs, finalizers) and of the
admission plug-ins every cluster runs (service account, priority, tolerations). Wrong types are left for validation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.defaults.definitions import default_definition
from plait.machine.api.schema.defaults.jobs import default_cron_job, default_job
from plait.machine.api.schema.defaults.pods import default_pod
from plait.machine.api.schema.defaults.services import default_endpoint_slice, default_service
from plait.machine.api.schema.defaults.small import (
    default_event,
    default_namespace,
    default_node,
    default_secret,
    default_token_request,
)
from plait.machine.api.schema.defaults.stored import (
    default_autoscaler,
    default_binding,
    default_claim,
    default_limit_range,
    default_network_policy,
    default_priority_class,
)
from plait.machine.api.schema.defaults.workloads import default_deployment, default_replica_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plait.machine.api.schema.kinds import ServedKind

_BY_KIND: Mapping[tuple[str, str], Callable[[dict[str, Any]], None]] = {
    ("", "Pod"): default_pod,
    ("", "Service"): default_service,
    ("", "Namespace"): default_namespace,
    ("", "Secret"): default_secret,
    ("", "Node"): default_node,
    ("", "Event"): default_event,
    ("apps", "Deployment"): default_deployment,
    ("apps", "ReplicaSet"): default_replica_set,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): default_definition,
    ("batch", "CronJob"): default_cron_job,
    ("batch", "Job"): default_job,
    ("discovery.k8s.io", "EndpointSlice"): default_endpoint_slice,
    ("authentication.k8s.io", "TokenRequest"): default_token_request,
    ("autoscaling", "HorizontalPodAutoscaler"): default_autoscaler,
    ("networking.k8s.io", "NetworkPolicy"): default_network_policy,
    ("", "PersistentVolumeClaim"): default_claim,
    ("", "LimitRange"): default_limit_range,
    ("scheduling.k8s.io", "PriorityClass"): default_priority_class,
    ("rbac.authorization.k8s.io", "RoleBinding"): default_binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): default_binding,
}


def fill(kind: ServedKind, obj: dict[str, Any]) -> None:
    """Fill in the defaults of a kind, in place."""
    if (one := _BY_KIND.get((kind.group, kind.kind))) is not None:
        one(obj)
