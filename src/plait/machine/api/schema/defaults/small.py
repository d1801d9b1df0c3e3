"""Defaults of kinds that have few."""

from __future__ import annotations

import base64
from typing import Any

from plait.machine.api.schema.defaults.setting import part, put, section
from plait.machine.api.schema.normal import copied


def default_namespace(namespace: dict[str, Any]) -> None:
    """A label with its own name, the finalizer that empties it, and the phase."""
    metadata = section(namespace, "metadata")
    if isinstance(name := metadata.get("name"), str) and name:
        section(metadata, "labels")["kubernetes.io/metadata.name"] = name
    spec = section(namespace, "spec")
    if not spec.get("finalizers") and not metadata.get("deletionTimestamp"):
        spec["finalizers"] = ["kubernetes"]
    put(section(namespace, "status"), phase="Active")


def default_secret(secret: dict[str, Any]) -> None:
    """A type; plain text given as stringData goes into data."""
    put(secret, type="Opaque")
    plain = secret.get("stringData")
    if isinstance(plain, dict) and all(isinstance(value, str) for value in plain.values()):
        del secret["stringData"]
        if plain:
            data = section(secret, "data")
            data.update({name: base64.b64encode(value.encode()).decode() for name, value in plain.items()})


def default_node(node: dict[str, Any]) -> None:
    """What pods may use is all there is."""
    status = node.get("status")
    capacity = part(status, "capacity")
    if isinstance(status, dict) and capacity and not status.get("allocatable"):
        status["allocatable"] = copied(capacity)


def default_token_request(request: dict[str, Any]) -> None:
    """One hour."""
    spec = section(request, "spec")
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = 3600


def default_event(event: dict[str, Any]) -> None:
    """Readers of events expect who reported them, if only as empty text."""
    event.setdefault("reportingComponent", "")
    event.setdefault("reportingInstance", "")
    section(event, "source")
