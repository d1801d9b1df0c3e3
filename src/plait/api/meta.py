"""What every API object has: a key to name it by, and the part of its metadata that has meaning in the mesh."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class ObjectKey(NamedTuple):
    """Names one object. `namespace` is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}" if self.namespace else f"{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> ObjectKey:
        """Read back what `str` wrote."""
        parts = text.split("/")
        return cls(parts[0], parts[1] if len(parts) > 2 else "", parts[-1])


class Owner(msgspec.Struct, frozen=True, rename="camel"):
    """An owner reference, as far as it tells which workload a pod belongs to."""

    kind: str = ""
    name: str = ""
    controller: bool = False


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """Only fields that can change what the mesh does: not resourceVersion, generation or managedFields, so that an
    object rewritten with equal meaning is equal.
    """

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str = ""
    owner_references: tuple[Owner, ...] = ()
