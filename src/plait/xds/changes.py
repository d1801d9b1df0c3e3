"""What goes into the engine, and what it says of credentials."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from plait.api.meta import ObjectKey


@dataclass(frozen=True, slots=True)
class Upsert:
    """An object was made or changed; `obj` is the JSON object as the API gives it, which may be a Secret."""

    obj: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Remove:
    """An object is gone."""

    group: str
    kind: str
    namespace: str
    name: str


Change: TypeAlias = Upsert | Remove


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialStatus:
    """A credential that an object asks for at `path`, for gateways or the sidecars that it selects.

    `secrets` are the (namespace, name) that decide about it, `problem` says in words why there is none to use, and
    `unusable` which Secret is there and of no use (NAMESPACE/NAME).
    """

    object: ObjectKey
    path: str
    secrets: tuple[tuple[str, str], ...]
    problem: str = ""
    unusable: str = ""
