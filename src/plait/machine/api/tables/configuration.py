"""Cells of namespaces, config maps, secrets, service accounts, events and leases."""

from __future__ import annotations

from typing import Any

from plait.machine.api.objects import at_path, metadata
from plait.machine.api.times import age, parse_timestamp

Json = dict[str, Any]
Cells = list[Any]


def _name(obj: Json) -> str:
    return str(metadata(obj)["name"])


def _age(obj: Json, now: float) -> str:
    return age(metadata(obj).get("creationTimestamp"), now)


def namespace(obj: Json, now: float) -> Cells:
    """Name, status, age."""
    return [_name(obj), at_path(obj, "status", "phase", default="Active"), _age(obj, now)]


def config_map(obj: Json, now: float) -> Cells:
    """Name, number of entries, age."""
    return [_name(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), _age(obj, now)]


def secret(obj: Json, now: float) -> Cells:
    """Name, type, number of entries, age."""
    return [_name(obj), obj.get("type", "Opaque"), len(obj.get("data") or {}), _age(obj, now)]


def service_account(obj: Json, now: float) -> Cells:
    """Name, number of secrets, age."""
    return [_name(obj), len(obj.get("secrets") or []), _age(obj, now)]


def lease(obj: Json, now: float) -> Cells:
    """Name, holder, age."""
    return [_name(obj), at_path(obj, "spec", "holderIdentity", default=""), _age(obj, now)]


def event(obj: Json, now: float) -> Cells:
    """Last seen, type, reason, object, message; wide: subobject, source, first seen, count, name."""
    about = obj.get("involvedObject", {})
    first = obj.get("firstTimestamp") or obj.get("eventTime") or metadata(obj).get("creationTimestamp")
    series = obj.get("series") or {}
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
    count = series.get("count") or obj.get("count") or 1
    first_seen, last_seen = age(first, now), age(last, now)
    if count > 1 and parse_timestamp(last) is not None and last != first:
        last_seen = f"{last_seen} (x{count} over {first_seen})"
    source = obj.get("source") or {}
    reporter = ", ".join(filter(None, [source.get("component") or obj.get("reportingComponent"), source.get("host")]))
    return [
        last_seen,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        reporter,
        obj.get("message", "").strip(),
        first_seen,
        count,
        _name(obj),
    ]
