"""What Istio demands of a Telemetry beyond its shape."""

from __future__ import annotations

import re
from typing import Final

from plait.api.telemetry import CustomTag, Metrics, Telemetry, Tracing
from plait.api.validate.findings import Findings
from plait.api.validate.selection import validate_targets
from plait.kit.cel import CelError, compile_cel

#: Envoy: attributes that expressions of access logs can use.
_ATTRIBUTES: Final = frozenset(
    {"request", "response", "connection", "upstream", "source", "destination", "metadata", "filter_state", "node",
     "listener_direction", "listener_metadata", "cluster_name", "cluster_metadata", "route_name", "route_metadata",
     "upstream_host_metadata", "plugin_name", "plugin_root_id", "plugin_vm_id", "xds"}
)  # fmt: skip
_WORDS: Final = frozenset(
    {"true", "false", "null", "in", "has", "size", "int", "uint", "double", "string", "bytes", "bool", "duration",
     "timestamp", "type", "dyn", "matches"}
)  # fmt: skip
_STRING: Final = re.compile(r"""[rR]?"(?:[^"\\]|\\.)*"|[rR]?'(?:[^'\\]|\\.)*'""")
#: What a macro calls the items that it goes through.
_BOUND: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_ROOT: Final = re.compile(r"(?<![\w.\]])([A-Za-z_]\w*)")


def validate_telemetry(obj: Telemetry, findings: Findings) -> None:
    """Add what is wrong with `obj` to `findings`."""
    spec = obj.spec
    validate_targets(spec.selector, spec.target_ref, spec.target_refs, findings)
    for index, metrics in enumerate(spec.metrics):
        _metrics(f"spec.metrics[{index}]", metrics, findings)
    if len(spec.tracing) > 1:
        findings.warn("spec.tracing", "multiple tracing is not supported: only the first is used", fix="one entry")
    for index, tracing in enumerate(spec.tracing):
        _tracing(f"spec.tracing[{index}]", tracing, findings)
    for index, log in enumerate(spec.access_logging):
        path = f"spec.accessLogging[{index}]"
        _providers(path, [each.name for each in log.providers], findings)
        if log.filter is not None:
            _expression(f"{path}.filter.expression", log.filter.expression, findings)


def _expression(path: str, text: str, findings: Findings) -> None:
    """Istio asks for CEL; a name that proxies do not know never holds, so that nothing is logged."""
    fix = "CEL, for example response.code >= 400"
    try:
        compile_cel(text)
    except CelError as error:
        findings.error(path, f"is no CEL: {error}" if text else "an expression is missing", fix=fix, value=text)
        return
    bare = _STRING.sub("''", text)
    own = _WORDS.union(_BOUND.findall(bare))
    for name in dict.fromkeys(_ROOT.findall(bare)):
        if name not in _ATTRIBUTES and name not in own:
            findings.warn(path, f"no proxy knows {name!r}, so nothing is logged", fix=fix, value=text)


def _providers(path: str, names: list[str], findings: Findings) -> None:
    for index, name in enumerate(names):
        if not name:
            findings.error(f"{path}.providers[{index}].name", "a name is missing", fix="for example prometheus")


def _metrics(path: str, metrics: Metrics, findings: Findings) -> None:
    _providers(path, [each.name for each in metrics.providers], findings)
    findings.duration(f"{path}.reportingInterval", metrics.reporting_interval)
    for index, override in enumerate(metrics.overrides):
        for name, tag in override.tag_overrides.items():
            where = f"{path}.overrides[{index}].tagOverrides[{name}]"
            if tag.operation == "UPSERT" and not tag.value:
                findings.error(f"{where}.value", "must be set when operation is UPSERT", fix="an expression in CEL")
            if tag.operation == "REMOVE" and tag.value:
                findings.error(f"{where}.value", "must not be set when operation is REMOVE", fix="remove it")
        match = override.match
        if match is not None and match.custom_metric == "":
            findings.error(
                f"{path}.overrides[{index}].match.customMetric", "a name is missing", fix="the metric's name"
            )


def _tracing(path: str, tracing: Tracing, findings: Findings) -> None:
    _providers(path, [each.name for each in tracing.providers], findings)
    if len(tracing.providers) > 1:
        findings.warn(
            f"{path}.providers", "multiple providers are not supported: the first is used", fix="one provider"
        )
    share = tracing.random_sampling_percentage
    findings.percent(f"{path}.randomSamplingPercentage", share)
    for name, tag in tracing.custom_tags.items():
        _tag(f"{path}.customTags[{name}]", name, tag, findings)


def _tag(path: str, name: str, tag: CustomTag, findings: Findings) -> None:
    if not name:
        findings.error(path, "a tag without a name", fix="a name")
    forms = {"literal": tag.literal, "environment": tag.environment, "header": tag.header, "formatter": tag.formatter}
    present = [form for form, value in forms.items() if value is not None]
    if len(present) > 1:
        findings.error(path, "a tag has one source", fix="one of literal, environment, header, formatter")
    elif not present:
        findings.warn(path, "says nothing", fix="one of literal, environment, header, formatter")
    for form, value in (("literal", tag.literal), ("formatter", tag.formatter)):
        if value is not None and not value.value:
            findings.error(f"{path}.{form}.value", "is empty", fix="a text")
    for form, named in (("environment", tag.environment), ("header", tag.header)):
        if named is not None and not named.name:
            findings.error(f"{path}.{form}.name", "is empty", fix="a name")
