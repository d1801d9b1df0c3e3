"""The tie between a Deployment and its ReplicaSets: the pod template, and a hash of it as a label."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from plait.machine.controllers.objects import annotations_of, controller_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

Object = dict[str, Any]

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"

#: Annotations that belong to the Deployment or the ReplicaSet itself and are not carried over from one to the other.
_OWN = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        REVISION,
        REVISION_HISTORY,
        DESIRED,
        MOST,
    }
)
# Without vowels and look-alikes, so that no hash reads as a word.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_LENGTH = 10


def template_hash(template: Object, collisions: int) -> str:
    """Ten characters that change with the template, and with the number of collisions met so far."""
    canonical = msgspec.json.encode([template, collisions], order="deterministic")
    number = int.from_bytes(hashlib.sha256(canonical).digest(), "big")
    letters = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[digit])
    return "".join(letters)


def same_template(first: Object, second: Object) -> bool:
    """Whether two pod templates make equal pods: the hash label does not count, empty metadata equals none."""
    return _bare(first) == _bare(second)


def replicaset_for(deployment: Object, *, replicas: int, most: int, revision: int) -> Object:
    """The ReplicaSet of the Deployment's present template.

    Its template is the Deployment's with nothing but the hash label added: kubectl and helm find "the new ReplicaSet"
    by comparing templates.
    """
    spec, meta = deployment["spec"], deployment["metadata"]
    collisions = int((deployment.get("status") or {}).get("collisionCount") or 0)
    digest = template_hash(spec["template"], collisions)
    template = copy.deepcopy(spec["template"])
    template_meta = template["metadata"] = dict(template.get("metadata") or {})
    template_meta["labels"] = {**(template_meta.get("labels") or {}), HASH_LABEL: digest}
    selector = copy.deepcopy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    wanted: Object = {"replicas": replicas, "selector": selector, "template": template}
    if spec.get("minReadySeconds"):
        wanted["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{digest}",
            "namespace": meta["namespace"],
            "labels": dict(template_meta["labels"]),
            "annotations": {
                **carried_annotations(deployment),
                REVISION: str(revision),
                DESIRED: str(wanted_count(deployment)),
                MOST: str(most),
            },
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": wanted,
    }


def wanted_count(deployment: Object) -> int:
    """`spec.replicas`, 1 if absent."""
    replicas = deployment["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def carried_annotations(deployment: Object) -> dict[str, str]:
    """What a ReplicaSet takes over, for example `kubernetes.io/change-cause`."""
    return {key: value for key, value in annotations_of(deployment).items() if key not in _OWN}


def revision_of(obj: Object) -> int:
    """The revision annotation; 0 if there is none."""
    return number_annotation(obj, REVISION) or 0


def number_annotation(obj: Object, key: str) -> int | None:
    """A number in an annotation; None if it is missing or none."""
    text = annotations_of(obj).get(key, "")
    return int(text) if text.isascii() and text.isdigit() else None


def revised_annotations(deployment: Object, replicaset: Object, revision: int) -> Mapping[str, str]:
    """The annotations a ReplicaSet lacks as the Deployment's newest: those carried over, and its revision."""
    known = annotations_of(replicaset)
    wanted = carried_annotations(deployment)
    before = revision_of(replicaset)
    if before < revision:
        wanted[REVISION] = str(revision)
        if before:
            history = known.get(REVISION_HISTORY, "")
            wanted[REVISION_HISTORY] = f"{history},{before}" if history else str(before)
    return {key: value for key, value in wanted.items() if known.get(key) != value}


def _bare(template: Object) -> Object:
    meta = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != HASH_LABEL}
    meta["labels"] = labels
    return {
        "metadata": {key: value for key, value in meta.items() if value not in (None, {}, [], "")},
        "spec": template.get("spec") or {},
    }
