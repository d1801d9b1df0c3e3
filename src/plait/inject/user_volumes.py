"""Volumes that a pod's annotations give its sidecar: certificates, sockets, scripts.

Istio: `sidecar.istio.io/userVolume` and `userVolumeMount` hold JSON, a map of names to volumes or mounts, or a list of
them with their names inside. A mount may be of a volume that the pod has anyway.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from plait.inject import annotations as names
from plait.inject.annotations import AnnotationError

USER_VOLUME: Final = "sidecar.istio.io/userVolume"
USER_MOUNT: Final = "sidecar.istio.io/userVolumeMount"


def user_volumes(pod: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The volumes that the pod gets for its sidecar. Raises AnnotationError."""
    return tuple(_named(pod, USER_VOLUME, '{"certs": {"secret": {"secretName": "certs"}}}'))


def user_mounts(pod: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Where the sidecar has volumes of the pod. Raises AnnotationError."""
    example = '{"certs": {"mountPath": "/etc/certs", "readOnly": true}}'
    given = tuple(_named(pod, USER_MOUNT, example))
    known = {volume.get("name") for volume in (*((pod.get("spec") or {}).get("volumes") or ()), *user_volumes(pod))}
    for mount in given:
        if not isinstance(mount.get("mountPath"), str) or mount["name"] not in known:
            what = "has no mountPath" if mount["name"] in known else "is no volume of the pod"
            reason = f"{mount['name']!r} {what}; write for example {example}, with the volume in {USER_VOLUME}"
            raise AnnotationError(USER_MOUNT, names.of(pod)[USER_MOUNT], reason)
    return given


def _named(pod: Mapping[str, Any], annotation: str, example: str) -> Iterator[dict[str, Any]]:
    text = names.of(pod).get(annotation, "")
    if not text.strip():
        return
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        value = [{"name": name, **each} if isinstance(each, dict) else each for name, each in value.items()]
    if not isinstance(value, list) or not all(isinstance(i, dict) and isinstance(i.get("name"), str) for i in value):
        reason = f"this is no JSON of names and what they are; write for example {example}"
        raise AnnotationError(annotation, text, reason)
    yield from value
