"""What Istio demands of a VirtualService beyond its shape, plus whatever would make Envoy refuse the routes."""

from __future__ import annotations

from base64 import b64decode
from datetime import timedelta
from typing import Final

from plait.api.formats import header_format_error
from plait.api.names import is_dns_label, is_header_name, is_header_value, is_ip
from plait.api.regex import regex_error
from plait.api.validate_fault import validate_cors, validate_fault
from plait.api.validate_l4 import validate_l4_routes
from plait.api.validation import Findings
from plait.api.virtualservice import (
    Destination,
    Headers,
    HTTPDirectResponse,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRetry,
    HTTPRoute,
    RouteDestination,
    StringMatch,
    VirtualService,
)

_MAX_BODY: Final = 1024 * 1024
_REDIRECT_CODES: Final = (301, 302, 303, 307, 308)
_CLAIMS: Final = "@request.auth.claims"
#: Pseudo-headers a match may name besides ordinary headers.
_PSEUDO_HEADERS: Final = frozenset({":method", ":path", ":authority", ":scheme"})


def validate_virtualservice(rule: VirtualService, findings: Findings) -> None:
    """Add what is wrong with `rule` to `findings`."""
    spec = rule.spec
    findings.export_to("spec.exportTo", spec.export_to)
    for index, gateway in enumerate(spec.gateways):
        _gateway(f"spec.gateways[{index}]", gateway, findings)
    mesh = not spec.gateways or "mesh" in spec.gateways
    if not spec.hosts and not any(route.delegate is None and route.route for route in spec.http):
        # Only a rule that others delegate to has no hosts; such a rule has no gateways either.
        findings.error("spec.hosts", "a host is missing", fix="the hosts callers use, for example [reviews]")
    for index, host in enumerate(spec.hosts):
        _host(f"spec.hosts[{index}]", host, findings, mesh=mesh)
    if len({host.lower() for host in spec.hosts}) < len(spec.hosts):
        findings.error("spec.hosts", "a host is named twice", fix="name each host once", value=list(spec.hosts))
    if not spec.http and not spec.tcp and not spec.tls:
        findings.error("spec", "there is no http, tcp or tls rule", fix="at least one rule")
    for index, route in enumerate(spec.http):
        _http_route(f"spec.http[{index}]", route, findings)
    for kind, routes in (("tls", [item.route for item in spec.tls]), ("tcp", [item.route for item in spec.tcp])):
        for index, destinations in enumerate(routes):
            _destinations(f"spec.{kind}[{index}].route", destinations, findings)
            if not destinations:
                findings.error(f"spec.{kind}[{index}].route", "a destination is missing")
    validate_l4_routes(spec, findings)
    for index, item in enumerate(spec.tcp):
        for place, match in enumerate(item.match):
            for number, gateway in enumerate(match.gateways):
                _gateway(f"spec.tcp[{index}].match[{place}].gateways[{number}]", gateway, findings)


def _gateway(path: str, name: str, findings: Findings) -> None:
    namespace, slash, short = name.rpartition("/")
    if name != "mesh" and (not short or (slash and namespace != "." and not is_dns_label(namespace))):
        findings.error(path, f"{name!r} does not name a gateway", fix="mesh, NAME or NAMESPACE/NAME", value=name)


def _host(path: str, host: str, findings: Findings, *, mesh: bool) -> None:
    if is_ip(host):
        return
    findings.host(path, host, wildcard=True)
    if host == "*" and mesh:
        findings.error(
            path, "'*' cannot be a host for the sidecars", fix="name a gateway, or narrow the host", value=host
        )


def _http_route(path: str, route: HTTPRoute, findings: Findings) -> None:
    actions = [
        name
        for name, present in (
            ("route", route.route),
            ("redirect", route.redirect),
            ("directResponse", route.direct_response),
            ("delegate", route.delegate),
        )
        if present
    ]
    if len(actions) != 1:
        findings.error(
            path,
            f"a rule does one thing, this one has {' and '.join(actions) or 'nothing'}",
            fix="one of route, redirect, directResponse or delegate",
        )
    for index, match in enumerate(route.match):
        _match(f"{path}.match[{index}]", match, findings)
    _destinations(f"{path}.route", route.route, findings)
    _headers(f"{path}.headers", route.headers, findings)
    findings.duration(f"{path}.timeout", route.timeout, minimum=timedelta())
    if route.retries is not None:
        _retries(f"{path}.retries", route.retries, findings)
    if route.redirect is not None:
        _redirect(f"{path}.redirect", route.redirect, findings)
    if route.direct_response is not None:
        _direct_response(f"{path}.directResponse", route.direct_response, findings)
    if route.rewrite is not None:
        _rewrite(f"{path}.rewrite", route, findings)
    _mirrors(path, route, findings)
    if route.fault is not None:
        validate_fault(f"{path}.fault", route.fault, findings)
    if route.cors_policy is not None:
        validate_cors(f"{path}.corsPolicy", route.cors_policy, findings, origin=_string_match)
    _without_effect(path, route, findings)


def _without_effect(path: str, route: HTTPRoute, findings: Findings) -> None:
    """What is understood but does nothing yet must be said."""
    if route.delegate is not None:
        findings.warn(f"{path}.delegate", "has no effect yet: the rule is skipped", fix="write the rule here")
    for index, match in enumerate(route.match):
        if any(name.startswith(_CLAIMS) for name in (*match.headers, *match.without_headers)):
            findings.warn(f"{path}.match[{index}]", "routing by JWT claims has no effect yet: this match never holds")


def _mirrors(path: str, route: HTTPRoute, findings: Findings) -> None:
    if route.mirror is not None:
        _destination(f"{path}.mirror", route.mirror, findings)
        if route.mirrors:
            findings.error(path, "both mirror and mirrors are set", fix="only mirrors")
    findings.percent(f"{path}.mirrorPercent", route.mirror_percent)
    if route.mirror_percent is not None:
        findings.warn(
            f"{path}.mirrorPercent",
            "is deprecated",
            fix=f"mirrorPercentage: {{value: {route.mirror_percent}}}",
            value=route.mirror_percent,
        )
    share = route.mirror_percentage
    findings.percent(f"{path}.mirrorPercentage.value", share.value if share is not None else None)
    for index, mirror in enumerate(route.mirrors):
        share = mirror.percentage
        findings.percent(f"{path}.mirrors[{index}].percentage.value", share.value if share is not None else None)
        _destination(f"{path}.mirrors[{index}].destination", mirror.destination, findings)


def _destinations(path: str, destinations: tuple[RouteDestination, ...], findings: Findings) -> None:
    total = 0
    for index, item in enumerate(destinations):
        where = f"{path}[{index}]"
        _destination(f"{where}.destination", item.destination, findings)
        _headers(f"{where}.headers", item.headers, findings)
        if item.weight < 0:
            findings.error(f"{where}.weight", f"{item.weight} is negative", fix="0 or more", value=item.weight)
        total += max(item.weight, 0)
    if len(destinations) > 1 and total == 0:
        findings.error(path, "all weights are 0, so nothing would get traffic", fix="weights that add up to 100")
    if len(destinations) > 1 and total > 0:
        _shares(path, destinations, total, findings)
    if total > 0xFFFFFFFF:
        findings.error(path, f"the weights add up to {total}", fix="weights that add up to 100", value=total)


def _shares(path: str, destinations: tuple[RouteDestination, ...], total: int, findings: Findings) -> None:
    """Weights are taken in proportion, which is not what somebody means who writes 90 and 5."""
    weights = [item.weight for item in destinations]
    if total != 100:
        shares = " and ".join(f"{100 * weight / total:.3g}%" for weight in weights)
        findings.warn(
            path,
            f"the weights {' + '.join(map(str, weights))} add up to {total}, not 100: they are taken as {shares}",
            fix="weights that add up to 100",
            value=weights,
        )
    for index, weight in enumerate(weights):
        if weight == 0:
            findings.warn(f"{path}[{index}].weight", "0 or absent: this destination gets no traffic", fix="a weight")


def _destination(path: str, destination: Destination, findings: Findings) -> None:
    findings.host(f"{path}.host", destination.host, wildcard=False)
    if destination.subset and not is_dns_label(destination.subset):
        findings.error(f"{path}.subset", f"{destination.subset!r} is not a name", value=destination.subset)
    if destination.port is not None:
        findings.port(f"{path}.port.number", destination.port.number)


def _string_match(path: str, match: StringMatch | None, findings: Findings, *, required: bool = False) -> None:
    if match is None:
        return
    forms = [name for name in ("exact", "prefix", "regex") if getattr(match, name) is not None]
    if len(forms) > 1:
        findings.error(path, f"{' and '.join(forms)} exclude each other", fix="one of exact, prefix, regex")
    if required and (not forms or not getattr(match, forms[0])):
        findings.error(path, "there is nothing to compare with", fix="exact, prefix or regex with a text")
    if match.prefix == "" and not required:
        findings.error(f"{path}.prefix", "an empty prefix", fix="a text, or {} for any value")
    if match.regex == "*" and not required:
        # Istio's own way to say "any value".
        return
    if match.regex == "" and not required:
        findings.error(f"{path}.regex", "an empty pattern", fix="a pattern, or {} for any value")
    if match.regex is not None and (reason := regex_error(match.regex)):
        findings.error(f"{path}.regex", reason, fix="RE2 syntax: github.com/google/re2/wiki/Syntax", value=match.regex)
    text = getattr(match, forms[0]) if forms else ""
    if "\0" in text:
        findings.error(path, "a NUL character", value=text)


def _match(path: str, match: HTTPMatchRequest, findings: Findings) -> None:
    for name, value in (("uri", match.uri), ("scheme", match.scheme), ("method", match.method)):
        _string_match(f"{path}.{name}", value, findings, required=True)
    _string_match(f"{path}.authority", match.authority, findings, required=True)
    for field, headers in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for name, value in headers.items():
            where = f"{path}.{field}[{name}]"
            if name not in _PSEUDO_HEADERS and not name.startswith(_CLAIMS) and not is_header_name(name):
                findings.error(where, f"{name!r} is not the name of a header", value=name)
            _string_match(where, value, findings)
    for name, value in match.query_params.items():
        where = f"{path}.queryParams[{name}]"
        if not name or "\0" in name:
            findings.error(where, "a query parameter without a name")
        _string_match(where, value, findings)
    if match.port:
        findings.port(f"{path}.port", match.port)
    if not is_header_value(match.stat_prefix):
        findings.error(f"{path}.statPrefix", "a line break", value=match.stat_prefix)
    for index, gateway in enumerate(match.gateways):
        _gateway(f"{path}.gateways[{index}]", gateway, findings)


def _headers(path: str, headers: Headers | None, findings: Findings) -> None:
    if headers is None:
        return
    for direction in ("request", "response"):
        operations = getattr(headers, direction)
        if operations is None:
            continue
        for kind in ("set", "add"):
            for name, value in getattr(operations, kind).items():
                where = f"{path}.{direction}.{kind}[{name}]"
                authority = name.lower() in {"host", ":authority"}
                if authority and (direction, kind) != ("request", "set"):
                    findings.error(where, f"{name!r} can only be set, and only on requests", fix="request.set")
                elif not authority and not is_header_name(name):
                    findings.error(where, f"{name!r} is not the name of a header", value=name)
                if reason := header_format_error(value):
                    findings.error(where, reason, fix="%% for a per cent sign", value=value)
        for index, name in enumerate(operations.remove):
            if not is_header_name(name) or name.lower() == "host":
                findings.error(f"{path}.{direction}.remove[{index}]", f"{name!r} cannot be removed", value=name)


def _retries(path: str, retries: HTTPRetry, findings: Findings) -> None:
    if not 0 <= retries.attempts <= 0xFFFFFFFF:
        findings.error(f"{path}.attempts", f"{retries.attempts} is negative", fix="0 or more", value=retries.attempts)
    findings.duration(f"{path}.perTryTimeout", retries.per_try_timeout)
    findings.duration(f"{path}.backoff", retries.backoff)
    if retries.attempts == 0 and (retries.per_try_timeout or retries.retry_on):
        findings.error(
            path, "attempts is 0, so the other fields mean nothing", fix="attempts of 1 or more, or nothing else"
        )
    for part in retries.retry_on.split(","):
        text = part.strip()
        if text.isascii() and text.isdigit() and not 100 <= int(text) <= 599:
            findings.error(f"{path}.retryOn", f"{text} is not an HTTP status", value=retries.retry_on)
    if not is_header_value(retries.retry_on):
        findings.error(f"{path}.retryOn", "a line break", value=retries.retry_on)


def _direct_response(path: str, response: HTTPDirectResponse, findings: Findings) -> None:
    findings.integer(f"{path}.status", response.status, low=200, high=599)
    body = response.body
    if body is None:
        return
    if body.string is not None and body.bytes is not None:
        findings.error(f"{path}.body", "string and bytes exclude each other", fix="one of them")
    if max(len((body.string or "").encode(errors="replace")), len(body.bytes or "")) > _MAX_BODY:
        findings.error(f"{path}.body", "more than 1 MiB", fix="a shorter body")
    if body.bytes is not None:
        try:
            b64decode(body.bytes, validate=True)
        except ValueError:
            findings.error(f"{path}.body.bytes", "not base64")


def _redirect(path: str, redirect: HTTPRedirect, findings: Findings) -> None:
    code = redirect.redirect_code
    if code and code not in _REDIRECT_CODES:
        findings.error(f"{path}.redirectCode", f"{code} is not a redirect", fix="301, 302, 303, 307 or 308", value=code)
    if redirect.uri and redirect.prefix_rewrite:
        findings.error(path, "uri and prefixRewrite exclude each other", fix="one of them")
    if redirect.port is not None and redirect.derive_port:
        findings.error(path, "port and derivePort exclude each other", fix="one of them")
    if redirect.derive_port not in {"", "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"}:
        findings.error(
            f"{path}.derivePort",
            f"{redirect.derive_port!r} is not a rule",
            fix="FROM_PROTOCOL_DEFAULT or FROM_REQUEST_PORT",
            value=redirect.derive_port,
        )
    if redirect.port is not None:
        findings.port(f"{path}.port", redirect.port)
    if redirect.scheme not in {"", "http", "https"}:
        findings.error(f"{path}.scheme", f"{redirect.scheme!r}", fix="http or https", value=redirect.scheme)
    if not any((redirect.uri, redirect.authority, redirect.prefix_rewrite, redirect.scheme, code)) and (
        redirect.port is None and not redirect.derive_port
    ):
        findings.error(path, "a redirect to the same place", fix="uri, authority, port, scheme or redirectCode")
    for name, text in (
        ("uri", redirect.uri),
        ("authority", redirect.authority),
        ("prefixRewrite", redirect.prefix_rewrite),
    ):
        if not is_header_value(text):
            findings.error(f"{path}.{name}", "a line break", value=text)


def _rewrite(path: str, route: HTTPRoute, findings: Findings) -> None:
    rewrite = route.rewrite
    if rewrite is None:
        return
    if not route.route:
        findings.error(path, "a rewrite without a destination", fix="use redirect.uri, or add route")
    if not (rewrite.uri or rewrite.authority or rewrite.uri_regex_rewrite):
        findings.error(path, "nothing to rewrite", fix="uri, authority or uriRegexRewrite")
    if rewrite.uri and rewrite.uri_regex_rewrite:
        findings.error(path, "uri and uriRegexRewrite exclude each other", fix="one of them")
    by_regex = rewrite.uri_regex_rewrite
    if by_regex is not None:
        reason = regex_error(by_regex.match) if by_regex.match else "a pattern is missing"
        if reason:
            findings.error(f"{path}.uriRegexRewrite.match", reason, value=by_regex.match)
    texts = [("uri", rewrite.uri), ("authority", rewrite.authority)]
    if by_regex is not None:
        texts.append(("uriRegexRewrite.rewrite", by_regex.rewrite))
    for name, text in texts:
        if not is_header_value(text):
            findings.error(f"{path}.{name}", "a line break", value=text)
