"""How policies and rules name the workloads they are for."""

from __future__ import annotations

import msgspec


class LabelSelector(msgspec.Struct, frozen=True, rename="camel"):
    """Workloads with all of these labels; none at all means every workload of the namespace."""

    match_labels: dict[str, str] = {}


class TargetReference(msgspec.Struct, frozen=True):
    """A Gateway, Service or the like that a policy is attached to, in the policy's own namespace."""

    group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
