"""Rules for kinds that have few: ConfigMap, Secret, Event, Lease, Scale."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.fields import TOO_LONG, FieldError, forbidden, invalid, key, required
from plait.machine.api.schema.validation import names
from plait.machine.api.schema.validation.metadata import immutable
from plait.machine.api.schema.validation.values import at_least

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = 1024 * 1024
_FIXED = "field is immutable when `immutable` is set"
_DOCKER = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}
_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    **{kind: (name,) for kind, name in _DOCKER.items()},
}
_ACCOUNT = "kubernetes.io/service-account.name"


def validate_config_map(config: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """Keys are file names; all values together are at most 1 MiB."""
    data, binary = config.get("data") or {}, config.get("binaryData") or {}
    for field, values in (("data", data), ("binaryData", binary)):
        for name in values:
            if fault := names.config_key(name):
                yield invalid(key(field, name), name, fault)
    for name in data:
        if name in binary:
            yield invalid(key("data", name), name, "duplicate of key present in binaryData")
    size = sum(len(value.encode()) for value in data.values()) + sum(_decoded(value) for value in binary.values())
    yield from _size(size, "data")
    if old is not None:
        yield from _fixed(config, old, ("data", "binaryData"))


def validate_secret(secret: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """As a ConfigMap; some types need certain keys, and the type never changes."""
    data, kind = secret.get("data") or {}, secret.get("type", "")
    for name in data:
        if fault := names.config_key(name):
            yield invalid(key("data", name), name, fault)
    yield from _size(sum(_decoded(value) for value in data.values()), "data")
    for name in _NEEDED.get(kind, ()):
        if name not in data:
            yield required(key("data", name))
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        yield required("data[username]")
        yield required("data[password]")
    if kind == "kubernetes.io/service-account-token":
        annotations = (secret.get("metadata") or {}).get("annotations") or {}
        if not annotations.get(_ACCOUNT):
            yield required(key("metadata.annotations", _ACCOUNT))
    if (name := _DOCKER.get(kind)) and name in data and not _is_json(data[name]):
        yield invalid(key("data", name), "<secret contents redacted>", "must be JSON, encoded with base64")
    if old is not None:
        yield from immutable(kind, old.get("type", ""), "type")
        yield from _fixed(secret, old, ("data",))


def _decoded(text: str) -> int:
    """Bytes that a base64 text stands for."""
    return len("".join(text.split()).rstrip("=")) * 3 // 4


def _is_json(text: str) -> bool:
    try:
        json.loads(b64decode(text))
    except ValueError:
        return False
    return True


def _size(size: int, path: str) -> Iterator[FieldError]:
    if size > _LIMIT:
        message = f"Too long: may not be more than {_LIMIT} bytes, has {size}"
        yield FieldError(path=path, message=message, reason=TOO_LONG)


def _fixed(new: dict[str, Any], old: dict[str, Any], fields: tuple[str, ...]) -> Iterator[FieldError]:
    """Once `immutable` is true neither it nor the data change."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden("immutable", _FIXED)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            yield forbidden(field, _FIXED)


def validate_event(event: dict[str, Any], old: dict[str, Any] | None) -> Iterator[FieldError]:
    """An event lives in the namespace of what it is about (cluster-wide things: in `default`)."""
    about = (event.get("involvedObject") or {}).get("namespace", "")
    own = (event.get("metadata") or {}).get("namespace", "")
    if old is None and own != about and not (not about and own in {"default", "kube-system"}):
        yield invalid("involvedObject.namespace", about, "does not match event.namespace")


def validate_lease(lease: dict[str, Any], _old: dict[str, Any] | None) -> Iterator[FieldError]:
    """Durations and counts of a Lease."""
    spec = lease.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    yield from at_least(spec.get("leaseTransitions"), 0, "spec.leaseTransitions")


def validate_scale(scale: dict[str, Any], _old: dict[str, Any] | None) -> Iterator[FieldError]:
    """The body of `/scale`."""
    yield from at_least((scale.get("spec") or {}).get("replicas"), 0, "spec.replicas")


def validate_token_request(request: dict[str, Any], _old: dict[str, Any] | None) -> Iterator[FieldError]:
    """Tokens live between ten minutes and 2^32 seconds."""
    seconds = (request.get("spec") or {}).get("expirationSeconds", 3600)
    if seconds < 600:
        yield invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    elif seconds > 2**32:
        yield invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
