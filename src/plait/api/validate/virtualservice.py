"""What Istio demands of a VirtualService beyond its shape, plus whatever would make Envoy refuse the routes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from plait.api.names import (
    host_matches,
    is_claim,
    is_dns_label,
    is_header_name,
    is_header_value,
    is_hostname,
    is_ip,
    is_mesh_sni,
    is_wildcard_host,
)
from plait.api.regex import regex_error
from plait.api.validate.fault import validate_cors, validate_fault
from plait.api.validate.findings import Findings
from plait.api.validate.http_actions import (
    validate_direct_response,
    validate_headers,
    validate_redirect,
    validate_retries,
    validate_rewrite,
)
from plait.api.validate.l4 import validate_l4_routes
from plait.api.validate.selection import validate_labels
from plait.api.virtualservice import (
    Destination,
    HTTPMatchRequest,
    HTTPRoute,
    L4Match,
    RouteDestination,
    StringMatch,
    TLSMatch,
    VirtualService,
    VirtualServiceSpec,
)

#: Pseudo-headers a match may name besides ordinary headers.
_PSEUDO_HEADERS: Final = frozenset({":method", ":path", ":authority", ":scheme", ":status"})


def validate_virtualservice(rule: VirtualService, findings: Findings) -> None:
    """Add what is wrong with `rule` to `findings`."""
    spec = rule.spec
    findings.export_to("spec.exportTo", spec.export_to)
    _gateways("spec.gateways", spec.gateways, findings)
    mesh = not spec.gateways or "mesh" in spec.gateways
    if not spec.hosts:
        _delegated(spec, findings)
    for index, host in enumerate(spec.hosts):
        _host(f"spec.hosts[{index}]", host, findings, mesh=mesh, sni=not mesh and _by_sni(spec))
    _overlaps(spec.hosts, findings)
    if not spec.http and not spec.tcp and not spec.tls:
        findings.error("spec", "there is no http, tcp or tls rule", fix="at least one rule")
    for index, route in enumerate(spec.http):
        _http_route(f"spec.http[{index}]", route, findings)
        for place, match in enumerate(route.match):
            if mesh and _by_claims(match):
                findings.error(
                    f"spec.http[{index}].match[{place}]", "only gateways route by the claims of a token",
                    fix="gateways, without mesh",
                )  # fmt: skip
    for kind, routes in (("tls", [item.route for item in spec.tls]), ("tcp", [item.route for item in spec.tcp])):
        for index, destinations in enumerate(routes):
            _destinations(f"spec.{kind}[{index}].route", destinations, findings)
            if not destinations:
                findings.error(f"spec.{kind}[{index}].route", "a destination is missing")
    validate_l4_routes(spec, findings)
    matches = [(f"spec.tcp[{i}].match[{n}]", match.gateways) for i, r in enumerate(spec.tcp) for n, match in
               enumerate(r.match)]  # fmt: skip
    matches += [(f"spec.tls[{i}].match[{n}]", match.gateways) for i, r in enumerate(spec.tls) for n, match in
                enumerate(r.match)]  # fmt: skip
    for path, gateways in matches:
        _gateways(f"{path}.gateways", gateways, findings)
    matches += [(f"spec.http[{i}].match[{n}]", match.gateways) for i, r in enumerate(spec.http) for n, match in
                enumerate(r.match)]  # fmt: skip
    _bound(rule, matches, findings)
    _unasked(spec, findings)


def _bound(rule: VirtualService, matches: list[tuple[str, tuple[str, ...]]], findings: Findings) -> None:
    """A match for gateways that the whole rule is not for never holds. A delegate has those of who delegates."""
    if not rule.spec.hosts:
        return

    def full(name: str) -> str:
        return name if name == "mesh" or "/" in name else f"{rule.metadata.namespace}/{name}"

    bound = {full(name) for name in rule.spec.gateways or ("mesh",)}
    for path, gateways in matches:
        for number, name in enumerate(gateways):
            # The old form with dots is told as such.
            if "." not in name and full(name) not in bound:
                findings.warn(
                    f"{path}.gateways[{number}]", f"has no effect: the whole rule is not for {name!r}",
                    fix=f"one of {', '.join(sorted(bound))}, or {name} in spec.gateways", value=name,
                )  # fmt: skip


#: Of connections, by field: what only sidecars ask.
_OF_SIDECARS: Final = {
    "destinationSubnets": "destination_subnets",
    "sourceSubnet": "source_subnet",
    "sourceLabels": "source_labels",
    "sourceNamespace": "source_namespace",
}


def _unasked(spec: VirtualServiceSpec, findings: Findings) -> None:
    """Istio: of connections a gateway asks for the port and the name, not for addresses and callers."""
    matches: list[tuple[str, L4Match | TLSMatch]] = [
        (f"spec.tcp[{index}].match[{number}]", match)
        for index, route in enumerate(spec.tcp)
        for number, match in enumerate(route.match)
    ]
    matches += [
        (f"spec.tls[{index}].match[{number}]", match)
        for index, rule in enumerate(spec.tls)
        for number, match in enumerate(rule.match)
    ]
    for path, match in matches:
        if "mesh" in (match.gateways or spec.gateways or ("mesh",)):
            continue
        for name, attribute in _OF_SIDECARS.items():
            if getattr(match, attribute, None):
                findings.warn(
                    f"{path}.{name}", "has no effect: at gateways connections go by port and name alone",
                    fix="port or sniHosts",
                )  # fmt: skip


def _delegated(spec: VirtualServiceSpec, findings: Findings) -> None:
    """Istio: a rule without hosts is one that others delegate to; it has http rules and nothing else."""
    if not spec.http:
        findings.error("spec.hosts", "a host is missing", fix="the hosts callers use, for example [reviews]")
    for name, given in (("gateways", spec.gateways), ("tls", spec.tls), ("tcp", spec.tcp)):
        if given:
            findings.error(
                f"spec.{name}", f"a rule without hosts is one to delegate to, which has no {name}", fix="hosts"
            )
    for index, route in enumerate(spec.http):
        if route.delegate is not None:
            findings.error(
                f"spec.http[{index}].delegate", "a rule without hosts is delegated to and cannot delegate on",
                fix="write the rule here",
            )  # fmt: skip


def _overlaps(hosts: tuple[str, ...], findings: Findings) -> None:
    """Istio: no host of a rule may include another, addresses among them."""
    valid = (is_wildcard_host, is_ip, is_mesh_sni)
    named = [(index, host) for index, host in enumerate(hosts) if any(each(host) for each in valid)]
    for place, (index, host) in enumerate(named):
        for _, other in named[:place]:
            if _overlap(host, other):
                findings.error(
                    f"spec.hosts[{index}]", f"{host!r} and {other!r} overlap", fix="hosts that do not", value=host
                )
                break


def _overlap(one: str, other: str) -> bool:
    """Istio: `*shop.example` includes `shop.example` too."""
    return host_matches(one, other) or one.lstrip("*").lower() == other.lstrip("*").lower()


def _gateways(path: str, names: tuple[str, ...], findings: Findings) -> None:
    """Istio looks at none after the first name without a namespace, so what is wrong there is told only."""
    tell = findings.error
    for index, name in enumerate(names):
        _gateway(f"{path}[{index}]", name, findings, tell)
        if "/" not in name:
            tell = findings.warn


def _gateway(path: str, name: str, findings: Findings, tell: Callable[..., None]) -> None:
    namespace, slash, short = name.partition("/")
    if not slash:
        # Istio: a gateway's name without a namespace may be a DNS name, which is the form of old.
        wrong = not is_hostname(name)
        if "." in name and not wrong:
            first, second = name.split(".")[:2]
            findings.warn(path, f"{name!r} is the form of old", fix=f"{second}/{first}", value=name)
    else:
        wrong = not is_dns_label(short) or not is_dns_label(namespace)
    if name != "mesh" and wrong:
        fix = f"{short}, which is one of this namespace" if namespace == "." else "mesh, NAME or NAMESPACE/NAME"
        tell(path, f"{name!r} does not name a gateway", fix=fix, value=name)


def _by_sni(spec: VirtualServiceSpec) -> bool:
    return any(match.sni_hosts for route in spec.tls for match in route.match)


def _host(path: str, host: str, findings: Findings, *, mesh: bool, sni: bool) -> None:
    # Istio: the SNI of its own mutual TLS (outbound_.80_._.host) is a host for gateways that pass connections on.
    if is_ip(host) or (sni and is_mesh_sni(host)):
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
    if actions == ["directResponse", "delegate"]:
        findings.warn(f"{path}.directResponse", "has no effect: the delegate answers", fix="remove it")
    elif len(actions) != 1:
        findings.error(
            path,
            f"a rule does one thing, this one has {' and '.join(actions) or 'nothing'}",
            fix="one of route, redirect, directResponse or delegate",
        )
    for other, given in (("fault", route.fault), ("rewrite", route.rewrite)):
        for answer, present in (("redirect", route.redirect), ("directResponse", route.direct_response)):
            if given is not None and present is not None and route.delegate is None:
                findings.error(path, f"{answer} and {other} exclude each other", fix="one of them")
    for index, match in enumerate(route.match):
        _match(f"{path}.match[{index}]", match, findings)
    _destinations(f"{path}.route", route.route, findings)
    validate_headers(f"{path}.headers", route.headers, findings)
    _authority_once(path, route, findings)
    findings.duration(f"{path}.timeout", route.timeout, minimum=timedelta())
    if route.retries is not None:
        validate_retries(f"{path}.retries", route.retries, findings)
    if route.redirect is not None:
        validate_redirect(f"{path}.redirect", route.redirect, findings)
    if route.direct_response is not None:
        validate_direct_response(f"{path}.directResponse", route.direct_response, findings)
    if route.rewrite is not None:
        validate_rewrite(f"{path}.rewrite", route.rewrite, findings)
    _mirrors(path, route, findings)
    if route.fault is not None:
        validate_fault(f"{path}.fault", route.fault, findings)
    if route.cors_policy is not None:
        validate_cors(f"{path}.corsPolicy", route.cors_policy, findings, origin=_origin)
    _without_effect(path, route, findings)


def _authority_once(path: str, route: HTTPRoute, findings: Findings) -> None:
    """Istio: the authority is rewritten in one place only."""
    places = ["rewrite.authority"] if route.rewrite is not None and route.rewrite.authority else []
    request = route.headers.request if route.headers is not None else None
    if request is not None:
        places += [f"headers.request.{kind}" for kind in ("set", "add") for name in getattr(request, kind)
                   if name.lower() in {"host", ":authority"}]  # fmt: skip
    if len(places) > 1:
        findings.error(path, f"the authority is set by {' and '.join(places)}", fix="one of them")


def _origin(path: str, match: StringMatch, findings: Findings) -> None:
    """An origin of cross-origin calls is a text; there is no `{}` for any."""
    _string_match(path, match, findings)
    if not (match.exact or match.prefix or match.regex):
        findings.error(path, "there is nothing to compare with", fix="exact, prefix or regex with a text")


def _without_effect(path: str, route: HTTPRoute, findings: Findings) -> None:
    """What is understood but does nothing yet must be said."""
    for index, match in enumerate(route.match):
        if match.ignore_uri_case and match.uri is not None and match.uri.regex is not None:
            findings.warn(
                f"{path}.match[{index}].ignoreUriCase", "has no effect on a pattern", fix=f"(?i){match.uri.regex}"
            )


def _by_claims(match: HTTPMatchRequest) -> bool:
    return any(is_claim(name) for name in (*match.headers, *match.without_headers))


def _mirrors(path: str, route: HTTPRoute, findings: Findings) -> None:
    if route.mirror is not None:
        _destination(f"{path}.mirror", route.mirror, findings)
        if route.mirrors and route.delegate is None:
            findings.error(path, "both mirror and mirrors are set", fix="only mirrors")
    for name, old in (("mirrorPercent", route.mirror_percent), ("mirror_percent", route.mirror_percent_snake)):
        findings.percent(f"{path}.{name}", old)
        if old is not None:
            findings.warn(f"{path}.{name}", "is deprecated", fix=f"mirrorPercentage: {{value: {old}}}", value=old)
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
        validate_headers(f"{where}.headers", item.headers, findings)
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
    findings.host(f"{path}.host", destination.host, wildcard=True)
    if destination.host == "*":
        findings.error(f"{path}.host", "'*' is no destination", fix="a service name or a DNS name", value="*")
    if destination.subset and not is_dns_label(destination.subset):
        findings.error(f"{path}.subset", f"{destination.subset!r} is not a name", value=destination.subset)
    if destination.port is not None:
        findings.port(f"{path}.port.number", destination.port.number)


def _string_match(
    path: str, match: StringMatch | None, findings: Findings, *, prefix: bool = False, star: bool = False
) -> None:
    """One comparison. `prefix`: an empty one is fine; `star`: the regex `*` stands for any value."""
    if match is None:
        return
    forms = [name for name in ("exact", "prefix", "regex") if getattr(match, name) is not None]
    if len(forms) > 1:
        findings.error(path, f"{' and '.join(forms)} exclude each other", fix="one of exact, prefix, regex")
    if match.prefix == "" and not prefix:
        findings.error(f"{path}.prefix", "an empty prefix", fix="a text, or {} for any value")
    if match.regex == "":
        findings.error(f"{path}.regex", "an empty pattern", fix="a pattern, or {} for any value")
    elif match.regex is not None and not (star and match.regex == "*") and (reason := regex_error(match.regex)):
        fix = "{} for any value" if match.regex == "*" else "RE2 syntax: github.com/google/re2/wiki/Syntax"
        findings.error(f"{path}.regex", reason, fix=fix, value=match.regex)
    text = getattr(match, forms[0]) if forms else ""
    if "\0" in text:
        findings.error(path, "a NUL character", value=text)


def _match(path: str, match: HTTPMatchRequest, findings: Findings) -> None:
    _string_match(f"{path}.uri", match.uri, findings, prefix=True)
    for name, value in (("scheme", match.scheme), ("method", match.method), ("authority", match.authority)):
        _string_match(f"{path}.{name}", value, findings)
    for field, headers in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for name, value in headers.items():
            where = f"{path}.{field}[{name}]"
            if name not in _PSEUDO_HEADERS and not is_claim(name) and not is_header_name(name):
                findings.error(where, f"{name!r} is not the name of a header", value=name)
            _string_match(where, value, findings, star=field == "withoutHeaders")
    for name, value in match.query_params.items():
        where = f"{path}.queryParams[{name}]"
        if not name or "\0" in name:
            findings.error(where, "a query parameter without a name")
        _string_match(where, value, findings)
    if match.port:
        findings.port(f"{path}.port", match.port)
    validate_labels(f"{path}.sourceLabels", match.source_labels, findings)
    if match.source_namespace and not is_dns_label(match.source_namespace):
        findings.error(f"{path}.sourceNamespace", f"{match.source_namespace!r} is not a namespace", fix="its name")
    if not is_header_value(match.stat_prefix):
        findings.error(f"{path}.statPrefix", "a line break", value=match.stat_prefix)
    _gateways(f"{path}.gateways", match.gateways, findings)
