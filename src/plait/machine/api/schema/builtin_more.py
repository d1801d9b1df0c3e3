"""Built-in kinds beside those every mesh needs: Jobs, CronJobs, Ingresses, definitions, and what charts bring along.

The latter are stored and answered with a Warning, for nothing on one machine needs them: permissions (there are two
roles), budgets, autoscaling, network policies, claims, priorities. Workloads that would not run (StatefulSet,
DaemonSet) are not served at all: refused is better than never started.
"""

from __future__ import annotations

from plait.machine.api.schema.declaring import AGE, NAME, WORKLOAD_WIDE, built_in, column, wide
from plait.machine.api.schema.kinds import Column, GroupVersion, ServedKind

JOB = built_in(
    "batch",
    "v1",
    "Job",
    "jobs",
    namespaced=True,
    categories=("all",),
    status=True,
    columns=(
        NAME,
        column("Status", "Running, Complete, Failed, Suspended or on its way there"),
        column("Completions", "Pods that have succeeded, of those wanted"),
        column("Duration", "Time from its start to its end, or to now"),
        AGE,
        *WORKLOAD_WIDE,
    ),
)
CRON_JOB = built_in(
    "batch",
    "v1",
    "CronJob",
    "cronjobs",
    namespaced=True,
    short_names=("cj",),
    categories=("all",),
    status=True,
    columns=(
        NAME,
        column("Schedule", "When a Job is started: minute, hour, day of month, month, day of week"),
        column("Timezone", "Time zone of the schedule, UTC without one"),
        column("Suspend", "Whether it starts nothing"),
        column("Active", "Jobs that have not ended", "integer"),
        column("Last Schedule", "Time since the time of the last Job"),
        AGE,
        *WORKLOAD_WIDE,
    ),
)
CUSTOM_RESOURCE_DEFINITION = built_in(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    status=True,
    columns=(
        NAME,
        Column(name="Created At", path=".metadata.creationTimestamp", description="Time of creation"),
    ),
)
# The package of these types has a longer name than its group suggests.
CUSTOM_RESOURCE_DEFINITION.definitions["apiextensions.k8s.io/v1"] = (
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
)


INGRESS = built_in(
    "networking.k8s.io",
    "v1",
    "Ingress",
    "ingresses",
    served_versions=("v1", "v1beta1"),
    aliases=(GroupVersion(group="extensions", version="v1beta1"),),
    namespaced=True,
    short_names=("ing",),
    status=True,
    columns=(
        NAME,
        column("Class", "Name of the IngressClass"),
        column("Hosts", "Hosts that the rules are about"),
        column("Address", "Where the hosts are reached"),
        column("Ports", "Ports: 443 too where there is TLS"),
        AGE,
    ),
)
# Old Ingresses have become new ones before their fields are looked at (`plait.api.former`).
INGRESS.definitions.update(
    dict.fromkeys(("extensions/v1beta1", "networking.k8s.io/v1beta1"), "io.k8s.api.networking.v1.Ingress")
)


INGRESS_CLASS = built_in(
    "networking.k8s.io",
    "v1",
    "IngressClass",
    "ingressclasses",
    namespaced=False,
    columns=(
        NAME,
        Column(name="Controller", path=".spec.controller", description="Who serves Ingresses of this class"),
        column("Parameters", "An object with further settings"),
        AGE,
    ),
)


_AGED = Column(name="Age", type="date", path=".metadata.creationTimestamp", description="Time since creation")
_CREATED = Column(name="Created At", path=".metadata.creationTimestamp", description="Time of creation")
_ROLE = (NAME, column("Role", "Role that is given"), AGE)
_BUDGET = (
    NAME,
    column("Min Available", "Pods that shall stay"),
    column("Max Unavailable", "Pods that may be missing"),
    column("Allowed Disruptions", "Pods that may go now", "integer"),
    AGE,
)
_AUTOSCALER = (
    NAME,
    column("Reference", "What would be scaled"),
    column("Targets", "Measures and what they should be"),
    column("MinPods", "Pods at least"),
    column("MaxPods", "Pods at most", "integer"),
    column("Replicas", "Pods there are", "integer"),
    AGE,
)
_PRIORITY = (
    NAME,
    Column(name="Value", type="integer", path=".value", description="Priority"),
    Column(
        name="Global-Default", type="boolean", path=".globalDefault", description="Whether it is that of all others"
    ),
    _AGED,
    Column(name="PreemptionPolicy", path=".preemptionPolicy", description="Whether others give way"),
)
_CLAIM = (
    NAME,
    column("Status", "Whether there is a volume for it"),
    column("Volume", "Its volume"),
    column("Capacity", "Size of the volume"),
    column("Access Modes", "How the volume may be mounted"),
    column("StorageClass", "Class of volumes"),
    column("VolumeAttributesClass", "Class of changeable settings"),
    AGE,
    wide("VolumeMode", "A file system or a block device"),
)
_QUOTA = (
    NAME,
    column("Request", "What may be asked for, and what has been"),
    column("Limit", "What limits may add up to, and what they do"),
    AGE,
)


def _inert(
    group: str,
    version: str,
    kind: str,
    plural: str,
    *short: str,
    namespaced: bool = True,
    older: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    columns: tuple[Column, ...] = (NAME, _AGED),
) -> ServedKind:
    return built_in(
        group,
        version,
        kind,
        plural,
        namespaced=namespaced,
        short_names=short,
        categories=categories,
        acts=False,
        columns=columns,
        served_versions=(version, *older),
    )


RESOURCE_QUOTA = built_in(
    "",
    "v1",
    "ResourceQuota",
    "resourcequotas",
    namespaced=True,
    short_names=("quota",),
    status=True,
    columns=_QUOTA,
)
_RBAC = "rbac.authorization.k8s.io"
STORED: tuple[ServedKind, ...] = (
    _inert(_RBAC, "v1", "Role", "roles", columns=(NAME, _CREATED)),
    _inert(_RBAC, "v1", "RoleBinding", "rolebindings", columns=_ROLE),
    _inert(_RBAC, "v1", "ClusterRole", "clusterroles", namespaced=False, columns=(NAME, _CREATED)),
    _inert(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False, columns=_ROLE),
    _inert("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", columns=_BUDGET),
    _inert(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "hpa",
        older=("v1",),
        categories=("all",),
        columns=_AUTOSCALER,
    ),
    _inert(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
        "netpol",
        columns=(NAME, column("Pod-Selector", "Pods it is about"), AGE),
    ),
    _inert("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", columns=_CLAIM),
    _inert("", "v1", "LimitRange", "limitranges", "limits", columns=(NAME, _CREATED)),
    _inert("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "pc", namespaced=False, columns=_PRIORITY),
)
"""Kinds without effect here; each creation is answered with a Warning that says so."""


_METRICS = "io.k8s.metrics.pkg.apis.metrics.v1beta1"


def _measured(kind: str, plural: str, *, namespaced: bool) -> ServedKind:
    made = built_in(
        "metrics.k8s.io", "v1beta1", kind, plural, namespaced=namespaced, verbs=("get", "list"), stored=False
    )
    made.definitions[made.api_version] = f"{_METRICS}.{kind}"
    return made


def _metrics_type(kind: str, **own: dict[str, object]) -> dict[str, object]:
    meta = "io.k8s.apimachinery.pkg.apis.meta.v1"
    common: dict[str, object] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    common["metadata"] = {"$ref": f"#/components/schemas/{meta}.ObjectMeta"}
    common["timestamp"] = {"$ref": f"#/components/schemas/{meta}.Time"}
    return {
        "type": "object",
        "properties": {**common, "window": {"type": "string"}, **own},
        "x-kubernetes-group-version-kind": [{"group": "metrics.k8s.io", "version": "v1beta1", "kind": kind}],
    }


_QUANTITIES: dict[str, object] = {
    "type": "object",
    "additionalProperties": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"},
}
_CONTAINER: dict[str, object] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "usage": _QUANTITIES},
}
METRICS_DEFINITIONS = {
    f"{_METRICS}.NodeMetrics": _metrics_type("NodeMetrics", usage=_QUANTITIES),
    f"{_METRICS}.PodMetrics": _metrics_type("PodMetrics", containers={"type": "array", "items": _CONTAINER}),
}
"""Schemas of the kinds below; the package the others are made of does not have them."""

METRICS: tuple[ServedKind, ...] = (
    _measured("PodMetrics", "pods", namespaced=True),
    _measured("NodeMetrics", "nodes", namespaced=False),
)
"""Measured when somebody asks (`kubectl top`)."""

KINDS: tuple[ServedKind, ...] = (
    JOB, CRON_JOB, CUSTOM_RESOURCE_DEFINITION, INGRESS, INGRESS_CLASS, RESOURCE_QUOTA, *STORED, *METRICS,
)  # fmt: skip
