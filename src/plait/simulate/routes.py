"""Which virtual host and which route take a request: Envoy's rules."""

from __future__ import annotations

import re
from typing import Any

from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, QueryParameterMatcher, Route, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from plait.simulate.call import Call
from plait.simulate.noted import metadata_holds
from plait.simulate.request import Request
from plait.simulate.text import regex_holds, string_holds


def virtual_host(routes: RouteConfiguration, host: str) -> VirtualHost | None:
    """Envoy: an exact domain, else the longest `*suffix`, else the longest `prefix*`, else `*`; case does not count."""
    wanted = host.lower()
    if routes.ignore_port_in_host_matching:
        wanted = _without_port(wanted)
    exact = next((each for each in routes.virtual_hosts if wanted in each.domains), None)
    if exact is not None:
        return exact
    best: tuple[int, int, VirtualHost] | None = None
    for candidate in routes.virtual_hosts:
        for domain in candidate.domains:
            rank = _rank(domain.lower(), wanted)
            if rank is not None and (best is None or rank > best[:2]):
                best = (*rank, candidate)
    return best[2] if best is not None else None


def _without_port(host: str) -> str:
    head, colon, port = host.rpartition(":")
    return head if colon and port.isdigit() and not (head.count(":") and not head.endswith("]")) else host


def _rank(domain: str, host: str) -> tuple[int, int] | None:
    if domain == host:
        return 3, len(domain)
    if domain == "*":
        return 0, 0
    if domain.startswith("*") and len(host) >= len(domain) and host.endswith(domain[1:]):
        return 2, len(domain)
    if domain.endswith("*") and len(host) >= len(domain) and host.startswith(domain[:-1]):
        return 1, len(domain)
    return None


def route_of(host: VirtualHost, request: Request, call: Call) -> tuple[int, Route] | None:
    """The first route whose conditions all hold, and its number."""
    holds = ((number, each) for number, each in enumerate(host.routes) if obstacle(each.match, request, call) is None)
    return next(holds, None)


def obstacle(match: Any, request: Request, call: Call) -> str | None:
    """The first condition of a route's match that does not hold, in words; None if all do."""
    if not _path_holds(match, request):
        return f"the path {request.path} is not {_path_words(match)}"
    if match.HasField("grpc") and not request.is_grpc:
        return "it is no gRPC"
    for header in match.headers:
        if not header_holds(header, request):
            value = request.header(header.name.lower())
            return f"{header.name} is {value!r}" if value is not None else f"there is no {header.name}"
    for parameter in match.query_parameters:
        if not _parameter_holds(parameter, request):
            value = request.parameter(parameter.name)
            words = f"is {value!r}" if value is not None else "is absent"
            return f"the query parameter {parameter.name} {words}"
    if match.HasField("runtime_fraction") and call.dice >= share_of(match.runtime_fraction.default_value):
        return "it takes a share of the requests only"
    if match.HasField("tls_context") and not _tls_holds(match.tls_context, call):
        return "the client's certificate is not as asked for"
    for matcher in match.dynamic_metadata:
        if not metadata_holds(matcher, call.metadata):
            return _noted(matcher, call)
    if match.filter_state:
        return "there is no such filter state"
    return None


def _noted(matcher: Any, call: Call) -> str:
    """Why a condition on what filters noted does not hold: Istio's are on the claims of a checked token."""
    if matcher.filter not in call.metadata:
        return "it has no token that was checked"
    claim = ".".join(step.key for step in matcher.path[1:])
    return f"the token has the claim {claim}" if matcher.invert else f"the token's claim {claim} is not as asked for"


def share_of(fraction: Any) -> float:
    """A FractionalPercent as a number from 0 to 1."""
    return float(fraction.numerator) / (100, 10_000, 1_000_000)[fraction.denominator]


def _path_words(match: Any) -> str:
    match match.WhichOneof("path_specifier"):
        case "prefix":
            return f"below {match.prefix}"
        case "path_separated_prefix":
            return f"{match.path_separated_prefix} or below it"
        case "path":
            return str(match.path)
        case "safe_regex":
            return f"of the form {match.safe_regex.regex}"
    return "one that it takes"


def _path_holds(match: Any, request: Request) -> bool:
    kind = match.WhichOneof("path_specifier")
    if request.method == "CONNECT" or kind == "connect_matcher":
        # Such a request has no path.
        return bool(request.method == "CONNECT" and kind == "connect_matcher")
    if kind == "safe_regex":
        return regex_holds(match.safe_regex.regex, request.path)
    wanted = getattr(match, kind) if kind else None
    if not isinstance(wanted, str):
        return False
    given = request.path
    if match.HasField("case_sensitive") and not match.case_sensitive.value:
        given, wanted = given.lower(), wanted.lower()
    if kind == "prefix":
        return given.startswith(wanted)
    if kind == "path_separated_prefix":
        return given == wanted or given.startswith(wanted + "/")
    return kind == "path" and given == wanted


def header_holds(matcher: HeaderMatcher, request: Request) -> bool:
    """Envoy's HeaderMatcher: of several values, one that fits is enough; inverted, none may fit."""
    values = request.values(matcher.name.lower())
    kind = matcher.WhichOneof("header_match_specifier")
    if not values and matcher.treat_missing_header_as_empty:
        values = ("",)
    if kind == "present_match":
        holds = bool(values) == matcher.present_match
    elif kind is None:
        holds = bool(values)
    elif not values:
        # Envoy: a header that is absent fails every comparison, inverted or not, unless it counts as empty.
        return False
    else:
        holds = any(_value_holds(matcher, kind, value) for value in values)
    return bool(holds != matcher.invert_match)


def _value_holds(matcher: HeaderMatcher, kind: str, text: str) -> bool:
    match kind:
        case "string_match":
            return string_holds(matcher.string_match, text)
        case "range_match":
            number = _number(text)
            return number is not None and bool(matcher.range_match.start <= number < matcher.range_match.end)
        case "exact_match":
            return bool(text == matcher.exact_match)
        case "prefix_match":
            return text.startswith(matcher.prefix_match)
        case "suffix_match":
            return text.endswith(matcher.suffix_match)
        case "contains_match":
            return matcher.contains_match in text
        case "safe_regex_match":
            return regex_holds(matcher.safe_regex_match.regex, text)
    return False


def _number(text: str) -> int | None:
    digits = text.strip()
    return int(digits) if re.fullmatch(r"[-+]?[0-9]+", digits) else None


def _parameter_holds(matcher: QueryParameterMatcher, request: Request) -> bool:
    value = request.parameter(matcher.name)
    kind = matcher.WhichOneof("query_parameter_match_specifier")
    if kind == "present_match":
        return (value is not None) is bool(matcher.present_match)
    if value is None:
        return False
    return kind is None or string_holds(matcher.string_match, value)


def _tls_holds(wanted: Any, call: Call) -> bool:
    shown = call.tls == "mtls" or (call.tls == "tls" and call.certificate)
    if wanted.HasField("presented") and wanted.presented.value != shown:
        return False
    return not wanted.HasField("validated") or bool(wanted.validated.value == shown)
