"""Objects of Istio 1.0: kinds that are gone, and today's kinds by the rules of that time (Istio 1.0.9).

Read as plain JSON: what 1.0 knew and today's types do not must not be lost here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from plait.api.decode import problems_of
from plait.api.meta import ObjectKey
from plait.api.names import is_dns_label, is_hostname, is_port
from plait.api.problem import Problem
from plait.api.regex import regex_error
from plait.api.validate.findings import Findings

Json = Mapping[str, Any]
GROUPS: Final = frozenset({"authentication.istio.io", "rbac.istio.io", "config.istio.io"})
_DEFAULT: Final = "default"
_LABEL: Final = re.compile(r"[-A-Za-z0-9_./]*")


def validate_legacy(obj: Json) -> tuple[Problem, ...]:
    """What Istio 1.0 would say of an object."""
    metadata = _map(obj.get("metadata"))
    kind, version = str(obj.get("kind") or ""), str(obj.get("apiVersion") or "")
    key = ObjectKey(kind, str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
    findings = Findings(key)
    spec = _map(obj.get("spec"))
    if version.partition("/")[0] in GROUPS:
        check = _KINDS.get(kind)
        if check is not None:
            check(spec, findings)
        return tuple(findings.problems)
    if (check := _OF_TODAY.get(kind)) is not None:
        check(spec, findings)
    return (*findings.problems, *problems_of(obj))


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(spec: Json, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = spec.get(name)
    for index, item in enumerate(found if isinstance(found, list) else ()):
        yield f"{name}[{index}]", _map(item)


def _some(spec: Json, name: str, path: str, findings: Findings) -> None:
    if not spec.get(name):
        findings.error(f"{path}.{name}", "at least one is needed", fix="one entry or more")


# -- authentication.istio.io -------------------------------------------------------------------------------------------


def _policy(spec: Json, findings: Findings) -> None:
    """The name says whether a policy is for a namespace (default, no targets) or for services."""
    targets = spec.get("targets") or []
    named = findings.key.name
    if not targets and named != _DEFAULT:
        findings.error("spec.targets", "a policy without targets must be named default", fix="targets, or that name")
    if targets and named == _DEFAULT:
        findings.error("spec.targets", "a policy named default has no targets", fix="another name")
    for path, target in _items(spec, "targets"):
        if not is_dns_label(str(target.get("name") or "")):
            findings.error(f"spec.{path}.name", f"{target.get('name')!r} is not the name of a service")
        for place, port in _items(target, "ports"):
            where = f"spec.{path}.{place}"
            if "number" in port:
                findings.port(f"{where}.number", port["number"] if isinstance(port["number"], int) else 0)
            elif not is_dns_label(str(port.get("name") or "")):
                findings.error(where, "a port has a number or a name", fix="number: 80")
    _methods(spec, findings)


def _mesh_policy(spec: Json, findings: Findings) -> None:
    if findings.key.name != _DEFAULT:
        findings.error("metadata.name", "the policy of the mesh is named default", fix=_DEFAULT)
    if spec.get("targets"):
        findings.error("spec.targets", "the policy of the mesh has no targets", fix="remove them, or kind Policy")
    _methods(spec, findings)


def _methods(spec: Json, findings: Findings) -> None:
    issuers: set[str] = set()
    for name in ("peers", "origins"):
        for path, method in _items(spec, name):
            jwt = method.get("jwt")
            if isinstance(jwt, dict):
                _jwt(f"spec.{path}.jwt", jwt, issuers, findings)
            elif name == "origins":
                findings.error(f"spec.{path}.jwt", "an origin is told by a token", fix="jwt: {issuer: …}")


def _jwt(path: str, jwt: Json, issuers: set[str], findings: Findings) -> None:
    issuer = str(jwt.get("issuer") or "")
    if not issuer:
        findings.error(f"{path}.issuer", "an issuer is missing", fix="the iss claim of the tokens")
    elif issuer in issuers:
        findings.error(f"{path}.issuer", f"a second issuer {issuer!r}", fix="each issuer once", value=issuer)
    issuers.add(issuer)
    for name in ("audiences", "jwtHeaders", "jwtParams"):
        values = jwt.get(name)
        for index, value in enumerate(values if isinstance(values, list) else ()):
            if not value:
                findings.error(f"{path}.{name}[{index}]", "an empty value", fix="a value")
    uri = str(jwt.get("jwksUri") or jwt.get("jwks_uri") or "")
    if uri and not _is_http(uri):
        findings.error(f"{path}.jwksUri", f"{uri!r} is not the URL of keys", fix="https://HOST/PATH", value=uri)


def _is_http(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and (port is None or is_port(port))


# -- rbac.istio.io -----------------------------------------------------------------------------------------------------


def _service_role(spec: Json, findings: Findings) -> None:
    _some(spec, "rules", "spec", findings)
    for path, rule in _items(spec, "rules"):
        _some(rule, "services", f"spec.{path}", findings)
        for place, constraint in _items(rule, "constraints"):
            where = f"spec.{path}.{place}"
            if not constraint.get("key"):
                findings.error(f"{where}.key", "key cannot be empty", fix="for example destination.labels[version]")
            _some(constraint, "values", where, findings)


def _service_role_binding(spec: Json, findings: Findings) -> None:
    _some(spec, "subjects", "spec", findings)
    for path, subject in _items(spec, "subjects"):
        if not any(subject.get(name) for name in ("user", "group", "properties")):
            findings.error(f"spec.{path}", "at least 1 of user, group or properties must be specified", fix='user: "*"')
    reference = spec.get("roleRef")
    if not isinstance(reference, dict):
        findings.error("spec.roleRef", "roleRef must be specified", fix="roleRef: {kind: ServiceRole, name: NAME}")
        return
    if reference.get("kind") != "ServiceRole":
        findings.error("spec.roleRef.kind", f"{reference.get('kind')!r}", fix="ServiceRole")
    if not reference.get("name"):
        findings.error("spec.roleRef.name", "name cannot be empty", fix="the name of a ServiceRole")


def _rbac_config(spec: Json, findings: Findings) -> None:
    if findings.key.name != _DEFAULT:
        findings.error("metadata.name", "the name must be default", fix=_DEFAULT)
    modes = {"OFF", "ON", "ON_WITH_INCLUSION", "ON_WITH_EXCLUSION", 0, 1, 2, 3}
    mode = spec.get("mode", "OFF")
    if not isinstance(mode, str | int) or mode not in modes:
        findings.error("spec.mode", f"{mode!r}", fix="OFF, ON, ON_WITH_INCLUSION or ON_WITH_EXCLUSION", value=mode)
    for wanted, number, name in (("ON_WITH_INCLUSION", 2, "inclusion"), ("ON_WITH_EXCLUSION", 3, "exclusion")):
        if mode in {wanted, number} and not isinstance(spec.get(name), dict):
            findings.error(f"spec.{name}", f"{name} cannot be null", fix=f"{name}: {{}} for none")


# -- config.istio.io ---------------------------------------------------------------------------------------------------


def _api_spec(spec: Json, findings: Findings) -> None:
    if "attributes" in spec:
        _attributes("spec.attributes", _map(spec["attributes"]), findings)
    _some(spec, "patterns", "spec", findings)
    for path, pattern in _items(spec, "patterns"):
        if "attributes" in pattern:
            _attributes(f"spec.{path}.attributes", _map(pattern["attributes"]), findings)
        if not pattern.get("httpMethod") and not pattern.get("http_method"):
            findings.error(f"spec.{path}.httpMethod", "a method is missing", fix="for example GET")
        template = pattern.get("uriTemplate", pattern.get("uri_template"))
        regex = pattern.get("regex")
        if not template and not regex:
            findings.error(f"spec.{path}", "uriTemplate or regex must be specified", fix="uriTemplate: /pet/{id}")
        if isinstance(regex, str) and regex and (reason := regex_error(regex)):
            findings.error(f"spec.{path}.regex", reason, fix="RE2 syntax", value=regex)
    for path, key in _items(spec, "apiKeys" if "apiKeys" in spec else "api_keys"):
        if not any(key.get(name) for name in ("query", "header", "cookie")):
            findings.error(f"spec.{path}", "query, header or cookie must be named", fix="header: x-api-key")


def _attributes(path: str, attributes: Json, findings: Findings) -> None:
    named = attributes.get("attributes")
    if not isinstance(named, dict) or not named:
        findings.error(path, "there are no attributes", fix="attributes: {api.service: {stringValue: NAME}}")
        return
    for name, value in named.items():
        where = f"{path}.attributes[{name}]"
        if not name:
            findings.error(where, "an attribute without a name")
        if not isinstance(value, dict) or not value:
            findings.error(where, "has no value", fix="stringValue: TEXT")
            continue
        for kind, given in value.items():
            if kind in {"stringValue", "string_value", "bytesValue", "bytes_value"} and given == "":
                findings.error(f"{where}.{kind}", "is empty", fix="a text")
            if kind in {"stringMapValue", "string_map_value"} and not _map(given).get("entries"):
                findings.error(f"{where}.{kind}", "is empty", fix="entries")
            if kind in {"durationValue", "duration_value", "timestampValue", "timestamp_value"} and given is None:
                findings.error(f"{where}.{kind}", "is empty", fix="a value")


def _quota_spec(spec: Json, findings: Findings) -> None:
    _some(spec, "rules", "spec", findings)
    for path, rule in _items(spec, "rules"):
        for place, match in _items(rule, "match"):
            for name, clause in _map(match.get("clause")).items():
                where = f"spec.{path}.{place}.clause[{name}]"
                forms = _map(clause)
                if not name:
                    findings.error(where, "an attribute without a name")
                if not any(forms.get(form) for form in ("exact", "prefix", "regex")):
                    findings.error(where, "there is nothing to compare with", fix="exact, prefix or regex with a text")
                regex = forms.get("regex")
                if isinstance(regex, str) and regex and (reason := regex_error(regex)):
                    findings.error(f"{where}.regex", reason, fix="RE2 syntax", value=regex)
        _some(rule, "quotas", f"spec.{path}", findings)
        for place, quota in _items(rule, "quotas"):
            if not quota.get("quota"):
                findings.error(f"spec.{path}.{place}.quota", "a name is missing", fix="the name of a quota instance")
            charge = quota.get("charge")
            if not isinstance(charge, int | str) or not str(charge).lstrip("+").isdigit() or int(charge) <= 0:
                findings.error(f"spec.{path}.{place}.charge", f"{charge!r}", fix="1 or more", value=charge)


def _binding(specs: str) -> Callable[[Json, Findings], None]:
    def check(spec: Json, findings: Findings) -> None:
        _some(spec, "services", "spec", findings)
        for path, service in _items(spec, "services"):
            _service(f"spec.{path}", service, findings)
        snake = "".join("_" + letter.lower() if letter.isupper() else letter for letter in specs)
        name = specs if specs in spec else snake
        _some(spec, name, "spec", findings)
        for path, reference in _items(spec, name):
            if not is_dns_label(str(reference.get("name") or "")):
                findings.error(f"spec.{path}.name", f"{reference.get('name')!r} is not a name", fix="a name")
            if reference.get("namespace") and not is_dns_label(str(reference["namespace"])):
                findings.error(f"spec.{path}.namespace", f"{reference['namespace']!r} is not a namespace")

    return check


def _service(path: str, service: Json, findings: Findings) -> None:
    name, whole = str(service.get("name") or ""), str(service.get("service") or "")
    if not name and not whole:
        findings.error(path, "name or service is mandatory", fix="name: NAME")
    if whole:
        for other in ("name", "namespace", "domain"):
            if service.get(other):
                findings.error(f"{path}.{other}", "is not valid beside service", fix="one of them")
    if name and not is_dns_label(name):
        findings.error(f"{path}.name", f"{name!r} is not a name", value=name)
    if service.get("namespace") and not is_dns_label(str(service["namespace"])):
        findings.error(f"{path}.namespace", f"{service['namespace']!r} is not a namespace")
    if service.get("domain") and not is_hostname(str(service["domain"])):
        findings.error(f"{path}.domain", f"{service['domain']!r} is not a DNS name")
    for name, value in _map(service.get("labels")).items():
        if not _LABEL.fullmatch(str(name)) or not _LABEL.fullmatch(str(value)):
            findings.error(f"{path}.labels", f"{name}={value} is not a label", value=value)


# -- networking.istio.io, where 1.0 was stricter -----------------------------------------------------------------------


def _virtual_service(spec: Json, findings: Findings) -> None:
    if not spec.get("hosts"):
        findings.error("spec.hosts", "a host is missing", fix="the hosts callers use")
    for path, route in _items(spec, "http"):
        attempts = _map(route.get("retries")).get("attempts", 0)
        if "retries" in route and isinstance(attempts, int) and attempts <= 0:
            findings.error(f"spec.{path}.retries.attempts", "an attempt is missing", fix="attempts: 1 or more")
        if "redirect" in route and route.get("websocketUpgrade"):
            findings.error(f"spec.{path}.websocketUpgrade", "a redirect upgrades nothing", fix="remove it")
    for name in ("http", "tls", "tcp"):
        for path, route in _items(spec, name):
            weights = [item.get("weight") or 0 for _, item in _items(route, "route")]
            if len(weights) > 1 and all(isinstance(weight, int) for weight in weights) and sum(weights) != 100:
                findings.error(f"spec.{path}.route", f"the weights add up to {sum(weights)}", fix="weights up to 100")


def _service_entry(spec: Json, findings: Findings) -> None:
    resolution = spec.get("resolution") or "NONE"
    if resolution == "STATIC" and not spec.get("endpoints"):
        findings.error("spec.endpoints", "resolution STATIC needs endpoints", fix="endpoints: [{address: IP}]")
    addresses = spec.get("addresses")
    ranges = any("/" in str(item) for item in (addresses if isinstance(addresses, list) else ()))
    if ranges and resolution not in {"NONE", "STATIC"}:
        findings.error("spec.addresses", f"a range of addresses cannot be resolved by {resolution}", fix="NONE")


def _envoy_filter(spec: Json, findings: Findings) -> None:
    """Until 1.2 a list of filters, each with a place."""
    if "configPatches" in spec:
        return
    _some(spec, "filters", "spec", findings)
    for path, item in _items(spec, "filters"):
        place = _map(item.get("insertPosition"))
        if place.get("index") in {"BEFORE", "AFTER", 2, 3} and not place.get("relativeTo"):
            findings.error(f"spec.{path}.insertPosition.relativeTo", "a filter is missing", fix="its name")
        if item.get("filterType") in {None, "INVALID", 0}:
            findings.error(f"spec.{path}.filterType", "a type is missing", fix="HTTP or NETWORK")
        if not item.get("filterName"):
            findings.error(f"spec.{path}.filterName", "a name is missing", fix="the name that Envoy knows")
        if not isinstance(item.get("filterConfig"), dict):
            findings.error(f"spec.{path}.filterConfig", "a configuration is missing", fix="filterConfig: {}")


_KINDS: Final[Mapping[str, Callable[[Json, Findings], None]]] = {
    "Policy": _policy,
    "MeshPolicy": _mesh_policy,
    "ServiceRole": _service_role,
    "ServiceRoleBinding": _service_role_binding,
    "RbacConfig": _rbac_config,
    "ClusterRbacConfig": _rbac_config,
    "HTTPAPISpec": _api_spec,
    "HTTPAPISpecBinding": _binding("apiSpecs"),
    "QuotaSpec": _quota_spec,
    "QuotaSpecBinding": _binding("quotaSpecs"),
}
_OF_TODAY: Final[Mapping[str, Callable[[Json, Findings], None]]] = {
    "VirtualService": _virtual_service,
    "ServiceEntry": _service_entry,
    "EnvoyFilter": _envoy_filter,
}
