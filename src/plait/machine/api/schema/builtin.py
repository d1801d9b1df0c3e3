"""The built-in kinds the machine serves.

A kind is listed here only if requests for it work: clients such as `kubectl get all` and namespace deletion walk
whatever discovery shows. Column names and types are those users of kubectl know.
"""

from __future__ import annotations

from plait.machine.api.schema import builtin_more
from plait.machine.api.schema.declaring import AGE as _AGE
from plait.machine.api.schema.declaring import CREATE as _CREATE
from plait.machine.api.schema.declaring import META as _META
from plait.machine.api.schema.declaring import NAME as _NAME
from plait.machine.api.schema.declaring import OPENAPI as _OPENAPI
from plait.machine.api.schema.declaring import READ_WRITE as _READ_WRITE
from plait.machine.api.schema.declaring import WORKLOAD_WIDE as _WORKLOAD_WIDE
from plait.machine.api.schema.declaring import built_in as _kind
from plait.machine.api.schema.declaring import column as _column
from plait.machine.api.schema.declaring import scale as _scale
from plait.machine.api.schema.declaring import wide as _wide
from plait.machine.api.schema.kinds import Column, GroupVersion, ServedKind, Subresource

POD = _kind(
    "",
    "v1",
    "Pod",
    "pods",
    namespaced=True,
    short_names=("po",),
    categories=("all",),
    status=True,
    subs=(
        Subresource(name="attach", group="", version="v1", kind="PodAttachOptions", verbs=("create", "get")),
        Subresource(name="binding", group="", version="v1", kind="Binding", verbs=_CREATE),
        Subresource(
            name="ephemeralcontainers",
            group="",
            version="v1",
            kind="Pod",
            verbs=_READ_WRITE,
            part=("spec", "ephemeralContainers"),
        ),
        Subresource(name="eviction", group="policy", version="v1", kind="Eviction", verbs=_CREATE),
        Subresource(name="exec", group="", version="v1", kind="PodExecOptions", verbs=("create", "get")),
        Subresource(name="log", group="", version="v1", kind="Pod", verbs=("get",)),
        Subresource(name="portforward", group="", version="v1", kind="PodPortForwardOptions", verbs=("create", "get")),
    ),
    columns=(
        _NAME,
        _column("Ready", "Containers that are ready, of all containers"),
        _column("Status", "Phase of the pod, or why it is held up"),
        _column("Restarts", "Restarts of all containers, and when the last one was"),
        _AGE,
        _wide("IP", "Address of the pod"),
        _wide("Node", "Node the pod runs on"),
        _wide("Nominated Node", "Node the pod may get after others leave it"),
        _wide("Readiness Gates", "Extra conditions a pod waits for before it counts as ready"),
    ),
)
NAMESPACE = _kind(
    "",
    "v1",
    "Namespace",
    "namespaces",
    namespaced=False,
    short_names=("ns",),
    status=True,
    subs=(Subresource(name="finalize", group="", version="v1", kind="Namespace", verbs=("update",)),),
    columns=(_NAME, _column("Status", "Active, or Terminating while its contents go"), _AGE),
)
SERVICE = _kind(
    "",
    "v1",
    "Service",
    "services",
    namespaced=True,
    short_names=("svc",),
    categories=("all",),
    status=True,
    columns=(
        _NAME,
        _column("Type", "ClusterIP, NodePort, LoadBalancer or ExternalName"),
        _column("Cluster-IP", "Virtual address of the service; None if headless"),
        _column("External-IP", "Addresses under which the service is reached from outside"),
        _column("Port(s)", "Ports of the service"),
        _AGE,
        _wide("Selector", "Labels by which pods are found"),
    ),
)
DEPLOYMENT = _kind(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    served_versions=("v1", "v1beta2", "v1beta1"),
    aliases=(GroupVersion(group="extensions", version="v1beta1"),),
    namespaced=True,
    short_names=("deploy",),
    categories=("all",),
    status=True,
    subs=(_scale(),),
    columns=(
        _NAME,
        _column("Ready", "Pods that are ready, of those wanted"),
        _column("Up-to-date", "Pods of the newest template", "integer"),
        _column("Available", "Pods that have been ready for minReadySeconds", "integer"),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
)
REPLICASET = _kind(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    namespaced=True,
    short_names=("rs",),
    categories=("all",),
    status=True,
    subs=(_scale(),),
    columns=(
        _NAME,
        _column("Desired", "Pods wanted", "integer"),
        _column("Current", "Pods that exist", "integer"),
        _column("Ready", "Pods that are ready", "integer"),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
)
ENDPOINTSLICE = _kind(
    "discovery.k8s.io",
    "v1",
    "EndpointSlice",
    "endpointslices",
    namespaced=True,
    columns=(
        _NAME,
        _column("AddressType", "IPv4, IPv6 or FQDN"),
        _column("Ports", "Ports of every endpoint of the slice"),
        _column("Endpoints", "Addresses of the endpoints"),
        _AGE,
    ),
)
ENDPOINTS = _kind(
    "",
    "v1",
    "Endpoints",
    "endpoints",
    namespaced=True,
    short_names=("ep",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    stored=False,
    columns=(_NAME, _column("Endpoints", "Addresses of the endpoints that are ready, with their ports"), _AGE),
)
"""Made of EndpointSlices when somebody asks, and turned into them when somebody writes them."""
CONFIGMAP = _kind(
    "",
    "v1",
    "ConfigMap",
    "configmaps",
    namespaced=True,
    short_names=("cm",),
    columns=(_NAME, _column("Data", "Number of entries"), _AGE),
)
SECRET = _kind(
    "",
    "v1",
    "Secret",
    "secrets",
    namespaced=True,
    columns=(_NAME, _column("Type", "What the entries mean"), _column("Data", "Number of entries", "integer"), _AGE),
)
SERVICEACCOUNT = _kind(
    "",
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    namespaced=True,
    short_names=("sa",),
    subs=(Subresource(name="token", group="authentication.k8s.io", version="v1", kind="TokenRequest", verbs=_CREATE),),
    columns=(_NAME, _column("Secrets", "Number of secrets listed", "integer"), _AGE),
)
EVENT = _kind(
    "",
    "v1",
    "Event",
    "events",
    namespaced=True,
    short_names=("ev",),
    columns=(
        _column("Last Seen", "Time since the event was last seen"),
        _column("Type", "Normal or Warning"),
        _column("Reason", "One word for why"),
        _column("Object", "What the event is about"),
        _wide("Subobject", "Part of the object the event is about"),
        _wide("Source", "Who reported the event"),
        _column("Message", "What happened"),
        _wide("First Seen", "Time since the event was first seen"),
        _wide("Count", "How often the event was seen"),
        Column(name="Name", priority=1, format="name", description="Name of the event"),
    ),
)
NODE = _kind(
    "",
    "v1",
    "Node",
    "nodes",
    namespaced=False,
    short_names=("no",),
    status=True,
    columns=(
        _NAME,
        _column("Status", "Ready or not, and whether it takes new pods"),
        _column("Roles", "Roles by its labels"),
        _AGE,
        _column("Version", "Version of the node"),
        _wide("Internal-IP", "Address inside the mesh"),
        _wide("External-IP", "Address outside the mesh"),
        _wide("OS-Image", "Operating system"),
        _wide("Kernel-Version", "Kernel"),
        _wide("Container-Runtime", "What runs the pods"),
    ),
)
LEASE = _kind(
    "coordination.k8s.io",
    "v1",
    "Lease",
    "leases",
    namespaced=True,
    columns=(_NAME, _column("Holder", "Who holds the lease"), _AGE),
)


def _review(group: str, kind: str, plural: str, *, namespaced: bool = False) -> ServedKind:
    return _kind(group, "v1", kind, plural, namespaced=namespaced, verbs=_CREATE, stored=False)


KINDS: tuple[ServedKind, ...] = (
    NAMESPACE,
    POD,
    SERVICE,
    CONFIGMAP,
    SECRET,
    SERVICEACCOUNT,
    EVENT,
    NODE,
    DEPLOYMENT,
    REPLICASET,
    ENDPOINTSLICE,
    ENDPOINTS,
    LEASE,
    *builtin_more.KINDS,
    _review("authentication.k8s.io", "TokenReview", "tokenreviews"),
    _review("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews"),
    _review("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
    _review("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    _review("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews"),
    _review("authorization.k8s.io", "LocalSubjectAccessReview", "localsubjectaccessreviews", namespaced=True),
)
"""Resources, in the order of discovery within their groups."""


def _body(group: str, version: str, kind: str, definition: str) -> ServedKind:
    kind_of_body = _kind(group, version, kind, "", namespaced=True, verbs=(), stored=False)
    kind_of_body.definitions[kind_of_body.api_version] = definition
    return kind_of_body


BODIES: tuple[ServedKind, ...] = (
    _body("autoscaling", "v1", "Scale", f"{_OPENAPI}.autoscaling.v1.Scale"),
    _body("", "v1", "Binding", f"{_OPENAPI}.core.v1.Binding"),
    _body("policy", "v1", "Eviction", f"{_OPENAPI}.policy.v1.Eviction"),
    _body("authentication.k8s.io", "v1", "TokenRequest", f"{_OPENAPI}.authentication.v1.TokenRequest"),
    _body("", "v1", "DeleteOptions", f"{_META}.DeleteOptions"),
    _body("meta.k8s.io", "v1", "DeleteOptions", f"{_META}.DeleteOptions"),
)
"""Kinds that are only bodies of requests to subresources and of DELETE."""
