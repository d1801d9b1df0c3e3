"""Istio's MeshConfig as users write it: key `mesh` of the ConfigMap `istio` in the root namespace, a YAML text.

Only what has an effect is read; everything else is named in a warning.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple

import msgspec

from plait.api.formats import log_format_error
from plait.api.meta import Metadata
from plait.api.validation import Findings
from plait.api.yaml import read_yaml

NAME: Final = "istio"
KEY: Final = "mesh"


class ConfigMap(msgspec.Struct, frozen=True):
    """v1 ConfigMap, as far as the mesh reads one."""

    metadata: Metadata
    data: dict[str, str] = {}


class OutboundPolicy(msgspec.Struct, frozen=True):
    """What happens to calls of hosts that nobody knows."""

    mode: Literal["ALLOW_ANY", "REGISTRY_ONLY"] = "ALLOW_ANY"


class DefaultRetries(msgspec.Struct, frozen=True):
    """Retries of HTTP routes that say nothing."""

    attempts: int | None = None


class MeshSettings(msgspec.Struct, frozen=True, rename="camel"):
    """The fields that have an effect; None is not set."""

    access_log_file: str | None = None
    access_log_format: str | None = None
    access_log_encoding: Literal["TEXT", "JSON"] | None = None
    outbound_traffic_policy: OutboundPolicy | None = None
    connect_timeout: str | None = None
    protocol_detection_timeout: str | None = None
    default_http_retry_policy: DefaultRetries | None = None


class ReadSettings(NamedTuple):
    """`fault` says why the text cannot be used; `inert` are fields without an effect."""

    settings: MeshSettings
    fault: str = ""
    path: str = ""
    inert: tuple[str, ...] = ()


def read_settings(text: str) -> ReadSettings:
    """The settings in a text; of one that cannot be read, none."""
    reading = read_yaml(text)
    if reading.problems:
        problem = reading.problems[0]
        return ReadSettings(MeshSettings(), f"not YAML: {problem.message} in line {problem.line}")
    documents = [document.value for document in reading.documents]
    if not documents:
        return ReadSettings(MeshSettings())
    value = documents[0]
    if len(documents) > 1 or not isinstance(value, dict):
        return ReadSettings(MeshSettings(), "not one map of settings")
    given: dict[str, Any] = {str(key): item for key, item in value.items() if item is not None}
    known = {field.encode_name for field in msgspec.structs.fields(MeshSettings)}
    try:
        settings = msgspec.convert({key: item for key, item in given.items() if key in known}, MeshSettings)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        return ReadSettings(MeshSettings(), message, path.rstrip("`").removeprefix("$").lstrip("."))
    return ReadSettings(settings, inert=tuple(sorted(given.keys() - known)))


def validate_mesh_settings(source: ConfigMap, findings: Findings) -> None:
    """Settings must be ones a proxy takes: they reach all of them at once."""
    text = source.data.get(KEY, "")
    found = read_settings(text)
    if found.fault:
        findings.error(f"data.{KEY}" + (f".{found.path}" if found.path else ""), found.fault, fix="Istio's MeshConfig")
        return
    for name in found.inert:
        findings.warn(f"data.{KEY}.{name}", "has no effect in this version of plait")
    settings, path = found.settings, f"data.{KEY}"
    findings.duration(f"{path}.connectTimeout", settings.connect_timeout)
    timeout = settings.protocol_detection_timeout
    findings.duration(f"{path}.protocolDetectionTimeout", timeout, minimum=timedelta())
    if settings.default_http_retry_policy is not None:
        findings.count(f"{path}.defaultHttpRetryPolicy.attempts", settings.default_http_retry_policy.attempts)
    file = settings.access_log_file
    if file and (not file.startswith("/") or "\0" in file):
        findings.error(f"{path}.accessLogFile", f"{file!r} is not an absolute path", fix="/dev/stdout", value=file)
    _log_format(f"{path}.accessLogFormat", settings, findings)


def _log_format(path: str, settings: MeshSettings, findings: Findings) -> None:
    text = settings.access_log_format
    if not text:
        return
    fields = json_fields(text) if settings.access_log_encoding == "JSON" else {"": text}
    if fields is None:
        findings.error(path, "not a JSON object of texts", fix='for example {"code": "%RESPONSE_CODE%"}', value=text)
        return
    for field, part in fields.items():
        if reason := log_format_error(part):
            findings.error(f"{path}.{field}" if field else path, reason, fix="%% for a per cent sign", value=part)


def json_fields(text: str) -> dict[str, str] | None:
    """The fields of a JSON log line, each a format; None when `text` is no such object."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        return None
    return value
