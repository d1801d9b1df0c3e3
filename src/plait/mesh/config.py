"""Mesh-wide settings the core acts on: the part of Istio's MeshConfig that has an effect, with Istio's defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from plait.api.durations import parse_duration
from plait.api.mesh_settings import KEY, NAME, ConfigMap, read_settings
from plait.api.meta import ObjectKey
from plait.snapshot.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """One mesh.

    `outbound_traffic_policy`: what happens to calls of unknown hosts. `detection_timeout`: how long a port whose
    protocol nobody declared waits for the client's first bytes; a server that speaks first is delayed by it.
    `retry_attempts` holds for HTTP routes that say nothing. `access_log_file` is where proxies write a line for each
    request and connection; empty: nowhere. `access_log_format` empty means Istio's.
    """

    domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    outbound_traffic_policy: Literal["ALLOW_ANY", "REGISTRY_ONLY"] = "ALLOW_ANY"
    connect_timeout: timedelta = timedelta(seconds=10)
    detection_timeout: timedelta = timedelta(milliseconds=200)
    retry_attempts: int = 2
    access_log_file: str = ""
    access_log_format: str = ""
    access_log_encoding: Literal["TEXT", "JSON"] = "TEXT"

    @property
    def registry_only(self) -> bool:
        """Whether calls of unknown hosts are refused."""
        return self.outbound_traffic_policy == "REGISTRY_ONLY"


def settings_key(mesh: MeshConfig) -> ObjectKey:
    """The object users write their settings in."""
    return ObjectKey("ConfigMap", mesh.root_namespace, NAME)


def mesh_config(reader: Reader, base: MeshConfig) -> MeshConfig:
    """What holds: `base` with what users have set."""
    source: ConfigMap | None = reader.object(settings_key(base))
    if source is None:
        return base
    found = read_settings(source.data.get(KEY, "")).settings
    changes: dict[str, Any] = {}
    for name in ("access_log_file", "access_log_format", "access_log_encoding"):
        if (value := getattr(found, name)) is not None:
            changes[name] = value
    if found.outbound_traffic_policy is not None:
        changes["outbound_traffic_policy"] = found.outbound_traffic_policy.mode
    if found.default_http_retry_policy is not None and found.default_http_retry_policy.attempts is not None:
        changes["retry_attempts"] = found.default_http_retry_policy.attempts
    for name, text in (
        ("connect_timeout", found.connect_timeout),
        ("detection_timeout", found.protocol_detection_timeout),
    ):
        # Zero would mean to wait for ever for a client that waits for the server; Istio's default says so.
        if text and (length := parse_duration(text)):
            changes[name] = length
    return replace(base, **changes)
