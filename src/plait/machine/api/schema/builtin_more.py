"""Built-in kinds beside those every mesh needs: Job and CustomResourceDefinition, and what charts bring along.

The latter are stored and answered with a Warning, for nothing on one machine needs them: permissions (there are two
roles), budgets, autoscaling, network policies, claims. Workloads that would not run (StatefulSet, DaemonSet, CronJob)
are not served at all: refused is better than never started.
"""

from __future__ import annotations

from plait.machine.api.schema.declaring import AGE, NAME, built_in, column, wide
from plait.machine.api.schema.kinds import Column, ServedKind

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
        wide("Containers", "Names of the containers of the pod template"),
        wide("Images", "Images of the containers of the pod template"),
        wide("Selector", "Labels by which pods are found"),
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


_AGED = Column(name="Age", type="date", path=".metadata.creationTimestamp", description="Time since creation")


def _inert(group: str, version: str, kind: str, plural: str, *short: str, namespaced: bool = True) -> ServedKind:
    return built_in(
        group, version, kind, plural, namespaced=namespaced, short_names=short, acts=False, columns=(NAME, _AGED)
    )


_RBAC = "rbac.authorization.k8s.io"
STORED: tuple[ServedKind, ...] = (
    _inert(_RBAC, "v1", "Role", "roles"),
    _inert(_RBAC, "v1", "RoleBinding", "rolebindings"),
    _inert(_RBAC, "v1", "ClusterRole", "clusterroles", namespaced=False),
    _inert(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    _inert("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb"),
    _inert("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa"),
    _inert("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol"),
    _inert("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc"),
)
"""Kinds without effect here; each creation is answered with a Warning that says so."""

KINDS: tuple[ServedKind, ...] = (JOB, CUSTOM_RESOURCE_DEFINITION, *STORED)
