"""Mesh-wide settings the core acts on: the part of Istio's MeshConfig that has an effect, with Istio's defaults."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """One mesh.

    `outbound_traffic_policy`: what happens to calls of unknown hosts. `detection_timeout`: how long a port whose
    protocol nobody declared waits for the client's first bytes; a server that speaks first is delayed by it.
    `retry_attempts` holds for HTTP routes that say nothing.
    """

    domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    outbound_traffic_policy: Literal["ALLOW_ANY", "REGISTRY_ONLY"] = "ALLOW_ANY"
    connect_timeout: timedelta = timedelta(seconds=10)
    detection_timeout: timedelta = timedelta(milliseconds=200)
    retry_attempts: int = 2
