"""Fields that are accepted and stored but do nothing on this machine: whoever sets one is told so in a Warning.

The table is data: a path and the sentence that follows it. A field that gets an effect loses its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from plait.api.inert import Inert, row, values

Json = dict[str, Any]

#: Capabilities that no container gets (the node withholds them: each would let it out of its pod).
WITHHELD: Final = frozenset(
    {
        "ALL", "BPF", "DAC_READ_SEARCH", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_RAW", "PERFMON",
        "SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "SYS_TIME", "SYSLOG",
    }
)  # fmt: skip


#: Containers that injection writes, ours or another's in old manifests.
_SIDECAR: Final = frozenset({"istio-init", "istio-proxy"})


_ONE_NODE: Final = "has no effect: this machine is the only node"
_NO_MODULE: Final = "has no effect: no security module is set up for processes here"
_OWN_SPACE: Final = "has no effect: every pod has namespaces of its own here"
_NO_CLAIMS: Final = "is not there on this machine, so the pod will not start; use emptyDir or hostPath"

_CONTAINER: Final = (
    row("livenessProbe.grpc", "is a check of the connection only: the health service is not asked"),
    row("readinessProbe.grpc", "is a check of the connection only: the health service is not asked"),
    row("startupProbe.grpc", "is a check of the connection only: the health service is not asked"),
    row("ports[].hostPort", "has no effect: no port of the host is opened; use kubectl port-forward or a Gateway"),
    row("resizePolicy", "has no effect: limits do not change while a pod runs"),
    row("resources.claims", "has no effect: there are no devices to claim"),
    row("resources.limits.ephemeral-storage", "is not enforced"),
    row("resources.requests", "reserves nothing: this machine is the only node"),
    row("securityContext.appArmorProfile", _NO_MODULE),
    row(
        "securityContext.capabilities.add[]",
        "is not given to any container on this machine",
        only=(*WITHHELD, *(f"CAP_{name}" for name in WITHHELD)),
    ),
    row("securityContext.privileged", "has no effect: no container gets the rights of the machine"),
    row("securityContext.procMount", "has no effect: /proc is always masked", but=("Default",)),
    row("securityContext.seLinuxOptions", _NO_MODULE),
    row("securityContext.seccompProfile", _NO_MODULE),
    row("securityContext.windowsOptions", "has no effect: this machine runs Linux"),
    row("terminationMessagePath", "has no effect: write /dev/termination-log", but=("/dev/termination-log",)),
    row("terminationMessagePolicy", "has no effect: only the file is read", but=("File",)),
    row("volumeDevices", "has no effect: there are no block volumes"),
    row("volumeMounts[].mountPropagation", "has no effect: mounts stay in their container", but=("None",)),
    row("volumeMounts[].recursiveReadOnly", "has no effect: only the volume itself is read-only", but=("Disabled",)),
)
_POD: Final = (
    row("affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", _ONE_NODE),
    row("affinity.podAffinity", _ONE_NODE),
    row("affinity.podAntiAffinity", _ONE_NODE),
    row("dnsPolicy", "has no effect: the mesh's name server is used", only=("Default",)),
    row("hostIPC", _OWN_SPACE),
    row("hostNetwork", _OWN_SPACE),
    row("hostPID", _OWN_SPACE),
    row("hostUsers", "has no effect: pods have no user namespace", only=(False,)),
    row("imagePullSecrets", "has no effect: images come from the image table, nothing is pulled"),
    row("overhead", "has no effect: pods are given to this node whatever they need"),
    row("preemptionPolicy", "has no effect: no pod gives way to another", but=("PreemptLowerPriority",)),
    row("priority", "has no effect: no pod gives way to another"),
    row("priorityClassName", "has no effect: no pod gives way to another"),
    row("resourceClaims", "has no effect: there are no devices to claim"),
    row("resources", "is not enforced: limits are those of containers"),
    row("runtimeClassName", "has no effect: containers are processes of this machine"),
    row("schedulerName", _ONE_NODE, but=("default-scheduler",)),
    row("schedulingGates", "has no effect: the pod starts at once"),
    row("securityContext.appArmorProfile", _NO_MODULE),
    row("securityContext.fsGroupChangePolicy", "has no effect: volumes are new with each pod"),
    row("securityContext.seLinuxChangePolicy", _NO_MODULE),
    row("securityContext.seLinuxOptions", _NO_MODULE),
    row("securityContext.seccompProfile", _NO_MODULE),
    row("securityContext.supplementalGroupsPolicy", "has no effect: images bring no groups", but=("Merge",)),
    row("securityContext.sysctls", "has no effect: a pod has the machine's settings"),
    row("securityContext.windowsOptions", "has no effect: this machine runs Linux"),
    row("setHostnameAsFQDN", "has no effect: the host name is the short one"),
    row("tolerations", "has no effect: this machine is the only node and has no taints"),
    row("topologySpreadConstraints", _ONE_NODE),
    row("volumes[].emptyDir.sizeLimit", "is not enforced"),
    *(
        row(f"volumes[].{kind}", _NO_CLAIMS)
        for kind in ("csi", "ephemeral", "fc", "image", "iscsi", "nfs", "persistentVolumeClaim")
    ),
    *(
        Inert(path=f"{group}[].{row.path}", says=row.says, only=row.only, but=row.but)
        for group in ("initContainers", "containers")
        for row in _CONTAINER
    ),
    row("containers[].restartPolicy", "has no effect: the pod's restartPolicy applies"),
)
_EPHEMERAL: Final = tuple(
    Inert(path=f"ephemeralContainers[].{row.path}", says=row.says, only=row.only, but=row.but)
    for row in _CONTAINER
    if row.path.startswith(("securityContext.", "terminationMessage", "volumeMounts"))
)
_TEMPLATE: Final = tuple(
    Inert(path=f"spec.template.spec.{row.path}", says=row.says, only=row.only, but=row.but) for row in _POD
)
_JOB_TEMPLATE: Final = tuple(
    Inert(path=f"spec.jobTemplate.{row.path}", says=row.says, only=row.only, but=row.but) for row in _TEMPLATE
)

#: (group, kind) -> its fields without effect.
TABLE: Final[Mapping[tuple[str, str], tuple[Inert, ...]]] = {
    ("", "Pod"): tuple(
        Inert(path=f"spec.{row.path}", says=row.says, only=row.only, but=row.but) for row in (*_POD, *_EPHEMERAL)
    ),
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("batch", "CronJob"): _JOB_TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("", "Service"): (
        row("spec.externalIPs", "has no effect: only ports of the host's loopback lead in; use a nodePort"),
        row("spec.externalTrafficPolicy", _ONE_NODE, only=("Local",)),
        row("spec.ipFamilies[]", "has no effect: the mesh speaks IPv4", only=("IPv6",)),
        row("spec.ipFamilyPolicy", "has no effect: the mesh speaks IPv4", but=("SingleStack",)),
        row("spec.loadBalancerClass", "has no effect: no load balancer is made"),
        row("spec.loadBalancerIP", "has no effect: no load balancer is made"),
        row("spec.loadBalancerSourceRanges", "has no effect: no load balancer is made"),
        row(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            "has no effect: a caller keeps its endpoint as long as that is there",
            but=(10800,),
        ),
    ),
    ("networking.k8s.io", "Ingress"): tuple(
        row(f"{backend}.resource", "has no effect: only Services are backends")
        for backend in ("spec.defaultBackend", "spec.rules[].http.paths[].backend")
    ),
    ("networking.k8s.io", "IngressClass"): (row("spec.parameters", "has no effect: Istio's controller has none"),),
    ("", "ResourceQuota"): (row("spec.hard", "is counted in the status and not enforced: nothing is refused for it"),),
    ("", "ServiceAccount"): (
        row("imagePullSecrets", "has no effect: images come from the image table, nothing is pulled"),
    ),
    ("", "Node"): (
        row("spec.taints", "has no effect: this machine is the only node"),
        row("spec.unschedulable", "has no effect: this machine is the only node"),
    ),
}


#: Where the pod is in objects of the kinds that have one.
_PODS: Final = {
    key: rows[0].path.removesuffix(_POD[0].path) for key, rows in TABLE.items() if rows[0].path.endswith(_POD[0].path)
}


@cache
def _unenforced(group: str, kind: str, unlimited: tuple[tuple[str, str], ...]) -> tuple[Inert, ...]:
    """Rows for limits that cannot be enforced on this very machine."""
    place = _PODS.get((group, kind))
    if place is None:
        return ()
    return tuple(
        row(
            f"{place}{containers}[].resources.limits.{name}",
            f"is not enforced: {why}; plait doctor says what mends it",
        )
        for containers in ("initContainers", "containers")
        for name, why in unlimited
    )


def inert_fields(
    group: str, kind: str, obj: Json, old: Json | None, *, unlimited: tuple[tuple[str, str], ...] = ()
) -> tuple[str, ...]:
    """A sentence for each field without effect that `obj` sets and `old` had not set so.

    `unlimited` are the resources whose limits are not enforced on this machine, with the reason. Silent about what a
    controller made: whoever wrote its owner has been told. A field of several list items is named once, with `[*]`.
    """
    if any(owner.get("controller") for owner in obj.get("metadata", {}).get("ownerReferences") or ()):
        return ()
    said = []
    for each in (*TABLE.get((group, kind), ()), *_unenforced(group, kind, unlimited)):
        steps = tuple(each.path.split("."))
        before = dict(values(old or {}, steps, but_named=_SIDECAR))
        # Sidecars are not written by whoever writes the object.
        found = values(obj, steps, but_named=_SIDECAR)
        new = [path for path, value in found if each.counts(value) and before.get(path) != value]
        if new:
            said.append(f"{new[0] if len(new) == 1 else each.path.replace('[]', '[*]')}: {each.says}")
    return tuple(said)
