"""What a ReplicaSet's pods and status should be. Pure."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.machine.controllers.conditions import with_condition, without_condition
from plait.machine.controllers.objects import (
    controller_reference,
    format_time,
    labels_of,
    selects,
)
from plait.machine.controllers.pods import deletion_order, is_active, is_ready, seconds_to_available

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

Object = dict[str, Any]

#: As many pods at most are made or deleted in one pass.
BURST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why pods could not be made (FailedCreate) or deleted (FailedDelete)."""

    reason: str
    message: str


def wanted_replicas(sets: Object) -> int:
    """`spec.replicas`, 1 if absent; for ReplicaSets and Deployments."""
    replicas = sets["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def pod_for(owner: Object) -> Object:
    """A pod from the ReplicaSet's template."""
    template = copy.deepcopy(owner["spec"]["template"])
    given = template.get("metadata") or {}
    meta: Object = {
        "generateName": owner["metadata"]["name"][:247] + "-",
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [controller_reference(owner)],
    }
    meta |= {key: given[key] for key in ("labels", "annotations", "finalizers") if given.get(key)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def pods_to_delete(owner: Object, active: Sequence[Object]) -> tuple[Object, ...]:
    """The surplus, those first whose end hurts least."""
    surplus = len(active) - wanted_replicas(owner)
    if surplus <= 0:
        return ()
    return tuple(sorted(active, key=deletion_order)[: min(surplus, BURST)])


def pods_missing(owner: Object, active: Sequence[Object]) -> int:
    """How many to make in this pass."""
    return max(0, min(wanted_replicas(owner) - len(active), BURST))


def replicaset_status(
    owner: Object, pods: Sequence[Object], *, now: datetime, failure: Failure | None
) -> tuple[Object, float | None]:
    """The status, and after how many seconds time alone will change it."""
    old = owner.get("status") or {}
    spec = owner["spec"]
    min_ready = int(spec.get("minReadySeconds") or 0)
    template_labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    active = [pod for pod in pods if is_active(pod)]
    waits = [seconds_to_available(pod, min_ready=min_ready, now=now) for pod in active]
    conditions = list(old.get("conditions") or ())
    if failure is not None:
        conditions = with_condition(
            conditions,
            "ReplicaFailure",
            "True",
            reason=failure.reason,
            message=failure.message,
            now=format_time(now),
            updates=False,
        )
    else:
        conditions = without_condition(conditions, "ReplicaFailure")
    fully = sum(template_labels.items() <= labels_of(pod).items() for pod in active)
    counts = {
        "fullyLabeledReplicas": fully,
        "readyReplicas": sum(is_ready(pod) for pod in active),
        "availableReplicas": sum(wait == 0 for wait in waits),
    }
    status: Object = {"replicas": len(active)} | {key: value for key, value in counts.items() if value}
    status["observedGeneration"] = owner["metadata"].get("generation", 1)
    if conditions:
        status["conditions"] = conditions
    left = [wait for wait in waits if wait]
    return status, min(left) if left else None


def pods_to_release(owner: Object, owned: Sequence[Object]) -> tuple[Object, ...]:
    """Owned pods whose labels the selector no longer takes."""
    return tuple(pod for pod in owned if not selects(owner["spec"].get("selector"), labels_of(pod)))


def pods_to_adopt(owner: Object, orphans: Sequence[Object]) -> tuple[Object, ...]:
    """Pods without a controller that the selector takes."""
    selector = owner["spec"].get("selector")
    return tuple(pod for pod in orphans if is_active(pod) and selects(selector, labels_of(pod)))
