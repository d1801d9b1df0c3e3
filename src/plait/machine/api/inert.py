"""Fields that are accepted and stored but do nothing on this machine: whoever sets one is told so in a Warning.

The table is data: a path and the sentence that follows it. A field that gets an effect loses its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Inert:
    """A field without effect. `[]` after a name in `path` stands for each item of a list.

    Only values in `only` count, if there are any; those in `but` do not count, since they ask for what is so anyway.
    Nothing (false, 0, an empty string, list or object) counts only if it is named in `only`.
    """

    path: str
    says: str
    only: frozenset[Any] = frozenset()
    but: frozenset[Any] = frozenset()

    def counts(self, value: Any) -> bool:
        """Whether somebody who wrote this value expects something that will not happen."""
        if self.only:
            return isinstance(value, str | int) and value in self.only
        return bool(value) and not (isinstance(value, str | int) and value in self.but)


def _row(path: str, says: str, *, only: tuple[Any, ...] = (), but: tuple[Any, ...] = ()) -> Inert:
    return Inert(path=path, says=says, only=frozenset(only), but=frozenset(but))


_ONE_NODE: Final = "has no effect: this machine is the only node"
_NO_MODULE: Final = "has no effect: no security module is set up for processes here"
_OWN_SPACE: Final = "has no effect: every pod has namespaces of its own here"
_NO_CLAIMS: Final = "is not there on this machine, so the pod will not start; use emptyDir or hostPath"

_CONTAINER: Final = (
    _row("livenessProbe.grpc", "is a check of the connection only: the health service is not asked"),
    _row("readinessProbe.grpc", "is a check of the connection only: the health service is not asked"),
    _row("startupProbe.grpc", "is a check of the connection only: the health service is not asked"),
    _row("ports[].hostPort", "has no effect: no port of the host is opened; use kubectl port-forward or a Gateway"),
    _row("resizePolicy", "has no effect: resources are not enforced"),
    _row("resources", "is not enforced: pods share the machine's CPU and memory"),
    _row("securityContext.appArmorProfile", _NO_MODULE),
    _row(
        "securityContext.capabilities.add[]",
        "is not given to any container on this machine",
        only=(*WITHHELD, *(f"CAP_{name}" for name in WITHHELD)),
    ),
    _row("securityContext.privileged", "has no effect: no container gets the rights of the machine"),
    _row("securityContext.procMount", "has no effect: /proc is always masked", but=("Default",)),
    _row("securityContext.seLinuxOptions", _NO_MODULE),
    _row("securityContext.seccompProfile", _NO_MODULE),
    _row("securityContext.windowsOptions", "has no effect: this machine runs Linux"),
    _row("stdin", "has no effect: standard input is empty"),
    _row("stdinOnce", "has no effect: standard input is empty"),
    _row("terminationMessagePath", "has no effect: write /dev/termination-log", but=("/dev/termination-log",)),
    _row("terminationMessagePolicy", "has no effect: only the file is read", but=("File",)),
    _row("tty", "has no effect: containers get no terminal"),
    _row("volumeDevices", "has no effect: there are no block volumes"),
    _row("volumeMounts[].mountPropagation", "has no effect: mounts stay in their container", but=("None",)),
    _row("volumeMounts[].recursiveReadOnly", "has no effect: only the volume itself is read-only", but=("Disabled",)),
)
_POD: Final = (
    _row("activeDeadlineSeconds", "has no effect: the pod is not ended"),
    _row("affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", _ONE_NODE),
    _row("affinity.podAffinity", _ONE_NODE),
    _row("affinity.podAntiAffinity", _ONE_NODE),
    _row("dnsPolicy", "has no effect: the mesh's name server is used", only=("Default",)),
    _row("hostIPC", _OWN_SPACE),
    _row("hostNetwork", _OWN_SPACE),
    _row("hostPID", _OWN_SPACE),
    _row("hostUsers", "has no effect: pods have no user namespace", only=(False,)),
    _row("imagePullSecrets", "has no effect: images come from the image table, nothing is pulled"),
    _row("overhead", "has no effect: resources are not enforced"),
    _row("preemptionPolicy", "has no effect: no pod gives way to another", but=("PreemptLowerPriority",)),
    _row("priority", "has no effect: no pod gives way to another"),
    _row("priorityClassName", "has no effect: no pod gives way to another"),
    _row("resourceClaims", "has no effect: there are no devices to claim"),
    _row("resources", "is not enforced: pods share the machine's CPU and memory"),
    _row("runtimeClassName", "has no effect: containers are processes of this machine"),
    _row("schedulerName", _ONE_NODE, but=("default-scheduler",)),
    _row("schedulingGates", "has no effect: the pod starts at once"),
    _row("securityContext.appArmorProfile", _NO_MODULE),
    _row("securityContext.fsGroupChangePolicy", "has no effect: volumes are new with each pod"),
    _row("securityContext.seLinuxChangePolicy", _NO_MODULE),
    _row("securityContext.seLinuxOptions", _NO_MODULE),
    _row("securityContext.seccompProfile", _NO_MODULE),
    _row("securityContext.supplementalGroupsPolicy", "has no effect: images bring no groups", but=("Merge",)),
    _row("securityContext.sysctls", "has no effect: a pod has the machine's settings"),
    _row("securityContext.windowsOptions", "has no effect: this machine runs Linux"),
    _row("setHostnameAsFQDN", "has no effect: the host name is the short one"),
    _row("tolerations", "has no effect: this machine is the only node and has no taints"),
    _row("topologySpreadConstraints", _ONE_NODE),
    _row("volumes[].emptyDir.sizeLimit", "is not enforced"),
    *(
        _row(f"volumes[].{kind}", _NO_CLAIMS)
        for kind in ("csi", "ephemeral", "fc", "image", "iscsi", "nfs", "persistentVolumeClaim")
    ),
    *(
        Inert(path=f"{group}[].{row.path}", says=row.says, only=row.only, but=row.but)
        for group in ("initContainers", "containers")
        for row in _CONTAINER
    ),
    _row("containers[].restartPolicy", "has no effect: the pod's restartPolicy applies"),
)
_TEMPLATE: Final = tuple(
    Inert(path=f"spec.template.spec.{row.path}", says=row.says, only=row.only, but=row.but) for row in _POD
)

#: (group, kind) -> its fields without effect.
TABLE: Final[Mapping[tuple[str, str], tuple[Inert, ...]]] = {
    ("", "Pod"): tuple(Inert(path=f"spec.{row.path}", says=row.says, only=row.only, but=row.but) for row in _POD),
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("", "Service"): (
        _row("spec.allocateLoadBalancerNodePorts", "has no effect: node ports are not opened"),
        _row("spec.externalIPs", "has no effect: only the host's loopback ports lead in, to the ingress gateway"),
        _row("spec.externalTrafficPolicy", _ONE_NODE, only=("Local",)),
        _row("spec.ipFamilies[]", "has no effect: the mesh speaks IPv4", only=("IPv6",)),
        _row("spec.ipFamilyPolicy", "has no effect: the mesh speaks IPv4", but=("SingleStack",)),
        _row("spec.loadBalancerClass", "has no effect: no load balancer is made"),
        _row("spec.loadBalancerIP", "has no effect: no load balancer is made"),
        _row("spec.loadBalancerSourceRanges", "has no effect: no load balancer is made"),
        _row("spec.trafficDistribution", _ONE_NODE),
        _row(
            "spec.type",
            "opens no port of the host; reach it with kubectl port-forward or through the ingress gateway",
            only=("NodePort",),
        ),
    ),
    ("", "ServiceAccount"): (
        _row("imagePullSecrets", "has no effect: images come from the image table, nothing is pulled"),
    ),
    ("", "Node"): (
        _row("spec.taints", "has no effect: this machine is the only node"),
        _row("spec.unschedulable", "has no effect: this machine is the only node"),
    ),
}


def inert_fields(group: str, kind: str, obj: Json, old: Json | None) -> tuple[str, ...]:
    """A sentence for each field without effect that `obj` sets and `old` had not set so.

    Silent about what a controller made: whoever wrote its owner has been told. A field of several list items is
    named once, with `[*]`.
    """
    if any(owner.get("controller") for owner in obj.get("metadata", {}).get("ownerReferences") or ()):
        return ()
    said = []
    for row in TABLE.get((group, kind), ()):
        steps = tuple(row.path.split("."))
        before = dict(_values(old or {}, steps))
        new = [path for path, value in _values(obj, steps) if row.counts(value) and before.get(path) != value]
        if new:
            said.append(f"{new[0] if len(new) == 1 else row.path.replace('[]', '[*]')}: {row.says}")
    return tuple(said)


def _values(value: Any, steps: tuple[str, ...], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every place below `value` that the steps lead to."""
    if not steps:
        yield path, value
        return
    name = steps[0].removesuffix("[]")
    if not isinstance(value, dict) or name not in value:
        return
    found, here = value[name], f"{path}.{name}" if path else name
    if not steps[0].endswith("[]"):
        yield from _values(found, steps[1:], here)
    elif isinstance(found, list):
        for index, item in enumerate(found):
            if isinstance(item, dict) and item.get("name") in _SIDECAR:
                continue  # not written by whoever writes the object
            yield from _values(item, steps[1:], f"{here}[{index}]")
