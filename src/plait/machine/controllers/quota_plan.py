"""What of a ResourceQuota is used. Pure: Kubernetes' rules of counting, from the objects of the quota's namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from plait.machine.quantity import parse_quantity

if TYPE_CHECKING:
    from plait.kube.kinds import Kind

Object = dict[str, Any]

_ENDED: Final = frozenset({"Succeeded", "Failed"})
#: Names without a prefix mean requests.
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
#: Kinds that may be counted by their bare name; of the others as count/NAME.GROUP.
_BARE: Final = frozenset(
    {"configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services"}
)
_BINARY: Final = ("Gi", "Mi", "Ki")


def quota_status(
    quota: Object, *, pods: Iterable[Object], services: Iterable[Object], counts: Mapping[Kind, int]
) -> Object:
    """The status: the bounds, and what is used of those that are counted here.

    `counts` says how many objects of each kind the namespace has. What cannot be counted (storage, say) is left out,
    which kubectl shows as unknown.
    """
    spec = quota.get("spec") or {}
    hard = spec.get("hard") or {}
    held = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in _ENDED and in_scope(spec, pod)]
    by_name = {kind.resource: number for kind, number in counts.items()}
    used = {name: found for name in hard if (found := _used(name, held, list(services), by_name)) is not None}
    return {"hard": hard, "used": used}


def _used(name: str, pods: list[Object], services: list[Object], counts: Mapping[str, int]) -> str | None:
    if name == "pods":
        return str(len(pods))
    if name == "services.loadbalancers":
        return str(sum(_type(service) == "LoadBalancer" for service in services))
    if name == "services.nodeports":
        return str(sum(map(_node_ports, services)))
    if name in _BARE:
        return str(counts.get(name, 0))
    prefix, slash, resource = name.partition("/")
    if slash:
        return str(counts.get(resource, 0)) if prefix == "count" else None
    kind, dot, resource = name.rpartition(".")
    if resource not in _COMPUTE or (dot and kind not in {"requests", "limits"}):
        return None
    total = sum((_of_pod(pod, kind or "requests", resource) for pod in pods), Fraction(0))
    return amount(total, binary=resource != "cpu")


def _type(service: Object) -> str:
    return str((service.get("spec") or {}).get("type", ""))


def _node_ports(service: Object) -> int:
    spec = service.get("spec") or {}
    has = _type(service) == "NodePort" or (
        _type(service) == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )
    return len(spec.get("ports") or ()) if has else 0


def _of_pod(pod: Object, kind: str, resource: str) -> Fraction:
    """What a pod asks for at most at a time: its containers together, or more while an init container runs."""
    spec = pod.get("spec") or {}
    beside, most = Fraction(0), Fraction(0)
    for container in spec.get("initContainers") or ():
        own = _of_container(container, kind, resource)
        if container.get("restartPolicy") == "Always":
            beside += own
        else:
            most = max(most, beside + own)
    together = sum((_of_container(each, kind, resource) for each in spec.get("containers") or ()), beside)
    return max(together, most)


def _of_container(container: Object, kind: str, resource: str) -> Fraction:
    return parse_quantity(((container.get("resources") or {}).get(kind) or {}).get(resource) or "0")


def amount(number: Fraction, *, binary: bool) -> str:
    """A quantity as Kubernetes writes it: 500m of CPU, 64Mi of memory."""
    if binary:
        size = -(-number.numerator // number.denominator)
        for power, unit in zip((3, 2, 1), _BINARY, strict=True):
            if size and size % 1024**power == 0:
                return f"{size // 1024**power}{unit}"
        return str(size)
    thousandths = -(-number * 1000 // 1)
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def in_scope(spec: Object, pod: Object) -> bool:
    """Whether a quota counts a pod: all of its scopes must hold."""
    scopes = [(scope, "Exists", ()) for scope in spec.get("scopes") or ()]
    scopes += [
        (each.get("scopeName", ""), each.get("operator", "Exists"), tuple(each.get("values") or ()))
        for each in (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    ]
    return all(_holds(name, operator, values, pod) for name, operator, values in scopes)


def _holds(name: str, operator: str, values: tuple[str, ...], pod: Object) -> bool:
    spec = pod.get("spec") or {}
    if name == "PriorityClass":
        own = spec.get("priorityClassName") or ""
        if operator in {"In", "NotIn"}:
            return (own in values) is (operator == "In")
        return bool(own) is (operator == "Exists")
    holds = _SCOPES.get(name)
    return holds is not None and holds(spec)


def _is_best_effort(spec: Object) -> bool:
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    return not any((each.get("resources") or {}).get(kind) for each in containers for kind in ("requests", "limits"))


_SCOPES: Final[dict[str, Callable[[Object], bool]]] = {
    "BestEffort": _is_best_effort,
    "NotBestEffort": lambda spec: not _is_best_effort(spec),
    "Terminating": lambda spec: spec.get("activeDeadlineSeconds") is not None,
    "NotTerminating": lambda spec: spec.get("activeDeadlineSeconds") is None,
}
