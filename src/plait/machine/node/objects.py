"""ConfigMaps, Secrets and Services as the node knows them: from its watch, or asked for when a pod is quicker."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from plait.kube.errors import NotFound
from plait.kube.kinds import CONFIGMAP, SECRET, SERVICE

if TYPE_CHECKING:
    from plait.kube.client import Client
    from plait.kube.kinds import Kind
    from plait.kube.reflect import Batch

KINDS = (CONFIGMAP, SECRET, SERVICE)
Configuration = Literal["ConfigMap", "Secret"]


class Objects:
    """Newest state of the objects that containers refer to."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[Kind, dict[tuple[str, str], dict[str, Any]]] = {kind: {} for kind in KINDS}

    def apply(self, batch: Batch) -> set[tuple[str, str, str]]:
        """Take in a batch; returns (kind, namespace, name) of the objects that changed."""
        known = self._known[batch.kind]
        changed = set()
        for obj in batch.upserts:
            key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            known[key] = obj
            changed.add((batch.kind.kind, *key))
        for ref in batch.deletes:
            known.pop((ref.namespace, ref.name), None)
            changed.add((batch.kind.kind, ref.namespace, ref.name))
        return changed

    async def prefetch(self, namespace: str, wanted: Iterable[tuple[Configuration, str]]) -> None:
        """Ask for objects that the watch has not brought (yet). Raises ApiError, not for what does not exist."""
        for kind_name, name in wanted:
            kind = CONFIGMAP if kind_name == "ConfigMap" else SECRET
            if name and (namespace, name) not in self._known[kind]:
                try:
                    self._known[kind][namespace, name] = await self._client.get(kind, name, namespace)
                except NotFound:
                    continue  # who needs it says so: a container's configuration, a volume

    def services(self, namespace: str) -> list[dict[str, Any]]:
        """The Services of a namespace."""
        return [service for (own, _), service in sorted(self._known[SERVICE].items()) if own == namespace]

    def within(self, namespace: str) -> NamespaceObjects:
        """What the pods of a namespace may refer to."""
        return NamespaceObjects(self._known, namespace)


class NamespaceObjects:
    """ConfigMaps and Secrets of one namespace; what `environment.Sources` asks for."""

    def __init__(self, known: Mapping[Kind, Mapping[tuple[str, str], Mapping[str, Any]]], namespace: str) -> None:
        self._known = known
        self._namespace = namespace

    def data(self, kind: Configuration, name: str) -> Mapping[str, bytes] | None:
        """The contents by key; None where there is no such object."""
        obj = self._known[CONFIGMAP if kind == "ConfigMap" else SECRET].get((self._namespace, name))
        return None if obj is None else contents(obj)


def contents(obj: Mapping[str, Any]) -> dict[str, bytes]:
    """The bytes in a ConfigMap or Secret."""
    if obj.get("kind") == "Secret":
        return {key: _decoded(value) for key, value in (obj.get("data") or {}).items()}
    texts = {key: str(value).encode() for key, value in (obj.get("data") or {}).items()}
    return texts | {key: _decoded(value) for key, value in (obj.get("binaryData") or {}).items()}


def references(spec: Mapping[str, Any]) -> set[tuple[Configuration, str]]:
    """ConfigMaps and Secrets that the containers and volumes of a pod name."""
    found: set[tuple[Configuration, str]] = set()
    groups = ("initContainers", "containers", "ephemeralContainers")
    for container in (each for group in groups for each in spec.get(group) or ()):
        for item in container.get("envFrom") or ():
            _add(found, item.get("configMapRef"), item.get("secretRef"))
        for item in container.get("env") or ():
            source = item.get("valueFrom") or {}
            _add(found, source.get("configMapKeyRef"), source.get("secretKeyRef"))
    for volume in spec.get("volumes") or ():
        sources = (volume.get("projected") or {}).get("sources") or ()
        for source in (volume, *sources):
            _add(found, source.get("configMap"), source.get("secret"))
    return found


def _add(
    found: set[tuple[Configuration, str]], config_map: Mapping[str, Any] | None, secret: Mapping[str, Any] | None
) -> None:
    if config_map:
        found.add(("ConfigMap", config_map.get("name", "")))
    if secret:
        found.add(("Secret", secret.get("secretName") or secret.get("name", "")))


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value or "")
    except (binascii.Error, ValueError):
        return b""
