"""What Istio demands of an AuthorizationPolicy beyond its shape."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from plait.api.names import is_subnet
from plait.api.security import AuthorizationPolicy, Condition, Operation, Rule, Source
from plait.api.validate.findings import Findings
from plait.api.validate.selection import validate_targets

DRY_RUN: Final = "istio.io/dry-run"
#: Annotations of objects that Istio makes of others, and the one by which its webhook is tried.
_INTERNAL: Final = frozenset(
    {"internal.istio.io/parents", "internal.istio.io/parent-namespace", "internal.istio.io/webhook-always-reject"}
)
#: Attributes of conditions.
_ADDRESSES: Final = frozenset({"source.ip", "remote.ip", "destination.ip"})
_PLAIN: Final = frozenset(
    {
        "source.namespace", "source.principal", "source.serviceAccount", "source.trustDomain", "request.auth.principal",
        "request.auth.audiences", "request.auth.presenter", "connection.sni", "destination.port", *_ADDRESSES,
    }
)  # fmt: skip
_AUTHENTICATED: Final = frozenset({"principals", "requestprincipals", "namespaces", "serviceaccounts", "trustdomains"})
_IDENTITIES: Final = frozenset({"source.namespace", "source.principal", "source.serviceAccount", "source.trustDomain"})
_MAPS: Final = (
    "request.headers", "request.experimental.inline.headers", "request.auth.claims", "experimental.envoy.filters.",
)  # fmt: skip
_MAP_KEY: Final = re.compile(r"[^\[\]]+(?:\[[^\[\]]+\])+")
#: RFC 3986: what a segment of a path may be made of; Envoy's templates have no stars of another kind.
_LITERAL: Final = re.compile(r"[-a-zA-Z0-9._~%!$&'()+,;:@=]+")
_MOST_ACCOUNTS: Final = 16
_LONGEST_ACCOUNT: Final = 320


def validate_annotations(kind: str, annotations: dict[str, Any], findings: Findings) -> None:
    """Istio, for all kinds: only AuthorizationPolicies can be tried without effect; some are for Istio alone."""
    for name in _INTERNAL & annotations.keys():
        findings.error(f"metadata.annotations[{name}]", "is not for users: it says whose objects this stands for")
    if DRY_RUN in annotations and kind != "AuthorizationPolicy":
        findings.error(
            f"metadata.annotations[{DRY_RUN}]", f"a {kind} cannot be tried without effect",
            fix="remove it; AuthorizationPolicies can",
        )  # fmt: skip


def validate_authorizationpolicy(policy: AuthorizationPolicy, findings: Findings) -> None:
    """Add what is wrong with `policy` to `findings`."""
    spec = policy.spec
    validate_targets(spec.selector, spec.target_ref, spec.target_refs, findings)
    dry_run = policy.metadata.annotations.get(DRY_RUN)
    if dry_run is not None:
        _dry_run(dry_run, spec.action, findings)
    if spec.action == "CUSTOM":
        if not spec.rules:
            findings.error("spec.rules", "CUSTOM without rules never asks anybody", fix="rules: [{}] for everything")
        if spec.provider is None or not spec.provider.name:
            findings.error("spec.provider.name", "CUSTOM needs a provider", fix="the name of an extension provider")
    elif spec.provider is not None:
        findings.error("spec.provider", f"{spec.action} asks no provider", fix="action: CUSTOM, or no provider")
    if spec.action == "DENY" and not spec.rules:
        findings.error("spec.rules", "DENY without rules denies nothing", fix="rules: [{}] for everything")
    for index, rule in enumerate(spec.rules or ()):
        path = f"spec.rules[{index}]"
        _rule(path, rule, findings)
        if spec.action == "CUSTOM":
            _custom(path, rule, findings)
        if spec.action == "DENY" and _only_http(rule):
            findings.warn(
                path,
                "a DENY rule about HTTP alone denies every TCP connection to these workloads",
                fix="to: [{operation: {ports: […]}}] with the HTTP ports",
            )


def _custom(path: str, rule: Rule, findings: Findings) -> None:
    """Istio: who is asked decides by the request; what other policies check of the caller is not known by then."""
    fix = "an ALLOW or DENY policy for that, beside this one"
    for index, each in enumerate(rule.from_ or ()):
        for name, values in _lists(each.source or Source()):
            if values and name.removeprefix("not").lower() in _AUTHENTICATED:
                findings.error(f"{path}.from[{index}].source.{name}", "is not possible with CUSTOM", fix=fix)
    for index, condition in enumerate(rule.when or ()):
        key = condition.key
        if key in _IDENTITIES or key.startswith("request.auth."):
            findings.error(f"{path}.when[{index}].key", f"{key!r} is not possible with CUSTOM", fix=fix, value=key)


def _dry_run(text: str, action: str, findings: Findings) -> None:
    path = f"metadata.annotations[{DRY_RUN}]"
    if text not in {"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"}:
        findings.error(path, f"{text!r} is not true or false", value=text)
    elif action not in {"ALLOW", "DENY"}:
        findings.error(path, f"a {action} policy cannot be tried without effect", fix="action ALLOW or DENY")


def _rule(path: str, rule: Rule, findings: Findings) -> None:
    for name, given in (("from", rule.from_), ("to", rule.to)):
        if given is not None and not given:
            findings.error(f"{path}.{name}", "is empty", fix="at least one entry, or nothing for everything")
    for index, each in enumerate(rule.from_ or ()):
        where = f"{path}.from[{index}].source"
        if each.source is None or not any(values for _, values in _lists(each.source)):
            findings.error(where, "says nothing about who", fix="for example namespaces: [NAME]")
        else:
            _source(where, each.source, findings)
    for index, item in enumerate(rule.to or ()):
        where = f"{path}.to[{index}].operation"
        if item.operation is None or not any(values for _, values in _lists(item.operation)):
            findings.error(where, "says nothing about what", fix="for example methods: [GET]")
        else:
            _operation(where, item.operation, findings)
    for index, condition in enumerate(rule.when or ()):
        _condition(f"{path}.when[{index}]", condition, findings)


def _lists(part: Source | Operation | Condition) -> Iterable[tuple[str, tuple[str, ...]]]:
    for field, name in zip(part.__struct_fields__, part.__struct_encode_fields__, strict=True):
        value = getattr(part, field)
        if isinstance(value, tuple):
            yield name, value


def _no_empty(path: str, part: Source | Operation | Condition, findings: Findings) -> None:
    for name, values in _lists(part):
        if not values and not isinstance(part, Condition):
            findings.warn(f"{path}.{name}", "is empty, so it says nothing", fix="at least one value")
        for index, value in enumerate(values):
            if not value:
                findings.error(f"{path}.{name}[{index}]", "an empty value", fix="a value, or * for any that is there")


def _source(path: str, source: Source, findings: Findings) -> None:
    _no_empty(path, source, findings)
    for name in ("ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"):
        field = re.sub(r"[A-Z]", lambda match: "_" + match.group().lower(), name)
        _addresses(f"{path}.{name}", getattr(source, field) or (), findings)
    accounts = source.service_accounts or source.not_service_accounts
    others = source.principals or source.not_principals or source.namespaces or source.not_namespaces
    if accounts and others:
        findings.error(path, "serviceAccounts exclude principals and namespaces", fix="one of them")
    for name, values in (
        ("serviceAccounts", source.service_accounts),
        ("notServiceAccounts", source.not_service_accounts),
    ):
        _accounts(f"{path}.{name}", values or (), findings)


def _accounts(path: str, values: tuple[str, ...], findings: Findings) -> None:
    """Istio: NAME, or NAMESPACE/NAME; no wildcards, and not too many."""
    if len(values) > _MOST_ACCOUNTS:
        findings.error(path, f"{len(values)} service accounts", fix=f"at most {_MOST_ACCOUNTS}, or another policy")
    for index, value in enumerate(values):
        parts = value.split("/")
        if value and (len(parts) > 2 or not all(parts) or "*" in value or len(value) > _LONGEST_ACCOUNT):
            text = f"{value!r} is not a service account"
            findings.error(f"{path}[{index}]", text, fix="NAMESPACE/NAME or NAME", value=value)


def _operation(path: str, operation: Operation, findings: Findings) -> None:
    _no_empty(path, operation, findings)
    for name, ports in (("ports", operation.ports), ("notPorts", operation.not_ports)):
        for index, text in enumerate(ports or ()):
            if text and not _is_port(text):
                findings.error(f"{path}.{name}[{index}]", f"{text!r} is not a port", fix="0 to 65535", value=text)
    for name, paths in (("paths", operation.paths), ("notPaths", operation.not_paths)):
        for index, text in enumerate(paths or ()):
            _path(f"{path}.{name}[{index}]", text, findings)


def _path(path: str, text: str, findings: Findings) -> None:
    """Istio: {*} stands for a segment and {**} for all the rest; beside them there are plain segments only."""
    template, rest = "{*}" in text or "{**}" in text, False
    if template and not text.startswith("/"):
        findings.warn(path, f"no path is like {text!r}: they begin with /", fix=f"/{text.lstrip('/')}", value=text)
    for segment in text.strip("/").split("/"):
        if segment in {"{*}", "{**}"}:
            if rest:
                findings.error(path, f"{segment!r} after {{**}}", fix="{**} as the last of its kind", value=text)
            rest = rest or segment == "{**}"
        elif "{" in segment or "}" in segment or (template and not _LITERAL.fullmatch(segment)):
            findings.error(
                path, f"{segment!r} is no part of a template", fix="{*} and {**} as whole segments", value=text
            )


def _addresses(path: str, values: Iterable[str], findings: Findings) -> None:
    for index, value in enumerate(values):
        if value and not is_subnet(value):
            findings.error(f"{path}[{index}]", f"{value!r} is not an address or range", fix="10.0.0.0/8", value=value)


def _condition(path: str, condition: Condition, findings: Findings) -> None:
    key = condition.key
    if not condition.values and not condition.not_values:
        findings.error(path, "there is nothing to compare with", fix="values or notValues")
    _no_empty(path, condition, findings)
    if not key:
        findings.error(f"{path}.key", "an attribute is missing", fix="for example source.ip")
        return
    named = next((start for start in _MAPS if key.startswith(start)), None)
    if named is not None:
        if not _MAP_KEY.fullmatch(key) or (named != _MAPS[-1] and not key.startswith(f"{named}[")):
            findings.error(f"{path}.key", f"{key!r} has no name in brackets", fix=f"{named}[NAME]", value=key)
        elif re.search(r"[\x00\r\n]", key):
            findings.error(f"{path}.key", f"{key!r} has a name of several lines", fix=f"{named}[NAME]", value=key)
        return
    if key not in _PLAIN:
        findings.error(f"{path}.key", f"{key!r} is not an attribute", fix=", ".join(sorted(_PLAIN)), value=key)
        return
    for name, values in (("values", condition.values or ()), ("notValues", condition.not_values or ())):
        if key in _ADDRESSES:
            _addresses(f"{path}.{name}", values, findings)
        if key == "source.serviceAccount":
            _accounts(f"{path}.{name}", values, findings)
        if key == "destination.port":
            for index, text in enumerate(values):
                if text and not _is_port(text):
                    findings.error(f"{path}.{name}[{index}]", f"{text!r} is not a port", fix="0 to 65535", value=text)


def _is_port(text: str) -> bool:
    """Istio: a port of a policy may be 0."""
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= 65535


def _only_http(rule: Rule) -> bool:
    """Istio: whether a rule names callers or operations, and of these only what HTTP has."""
    sources = [each.source for each in rule.from_ or () if each.source is not None]
    operations = [item.operation for item in rule.to or () if item.operation is not None]
    http = ("request_principals", "not_request_principals", "trust_domains", "not_trust_domains")
    tcp_from = any(getattr(source, name) for source in sources for name in source.__struct_fields__ if name not in http)
    tcp_to = any(operation.ports or operation.not_ports for operation in operations)
    return not tcp_to if operations else bool(sources) and not tcp_from
