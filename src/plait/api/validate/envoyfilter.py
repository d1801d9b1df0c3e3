"""What Istio demands of an EnvoyFilter beyond its shape."""

from __future__ import annotations

from typing import Final

from plait.api.envoyfilter import ConfigMatch, ConfigPatch, EnvoyFilter, FilterMatch
from plait.api.regex import regex_error
from plait.api.validate.findings import Findings
from plait.api.validate.selection import validate_selector, validate_targets

_LISTENER: Final = frozenset({"LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER"})
_ROUTE: Final = frozenset({"ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"})
_MANAGER: Final = "envoy.filters.network.http_connection_manager"
#: Names that Envoy does not know any more, and today's.
_OLD_NAMES: Final = {
    "envoy.http_connection_manager": _MANAGER,
    "envoy.router": "envoy.filters.http.router",
    "envoy.cors": "envoy.filters.http.cors",
    "envoy.fault": "envoy.filters.http.fault",
    "envoy.lua": "envoy.filters.http.lua",
    "envoy.ext_authz": "envoy.filters.http.ext_authz",
    "envoy.buffer": "envoy.filters.http.buffer",
    "envoy.gzip": "envoy.filters.http.compressor",
    "envoy.rate_limit": "envoy.filters.http.ratelimit",
    "envoy.health_check": "envoy.filters.http.health_check",
    "envoy.grpc_web": "envoy.filters.http.grpc_web",
    "envoy.tcp_proxy": "envoy.filters.network.tcp_proxy",
    "envoy.mongo_proxy": "envoy.filters.network.mongo_proxy",
    "envoy.redis_proxy": "envoy.filters.network.redis_proxy",
    "envoy.client_ssl_auth": "envoy.filters.network.client_ssl_auth",
    "envoy.ratelimit": "envoy.filters.network.ratelimit",
    "mixer": "envoy.filters.http.mixer",
}


def validate_envoyfilter(obj: EnvoyFilter, findings: Findings) -> None:
    """Add what is wrong with `obj` to `findings`."""
    spec = obj.spec
    if spec.workload_selector is not None:
        validate_selector("spec.workloadSelector.labels", spec.workload_selector.labels, findings)
        if spec.target_refs:
            findings.error("spec", "workloadSelector and targetRefs exclude each other", fix="one of them")
    validate_targets(None, None, spec.target_refs, findings, named=True)
    for index, target in enumerate(spec.target_refs):
        if target.kind != "Gateway":
            findings.warn(
                f"spec.targetRefs[{index}].kind", f"has no effect: a {target.kind} is served by waypoints, of which "
                "there are none", fix="Gateway, or workloadSelector", value=target.kind,
            )  # fmt: skip
    for index, patch in enumerate(spec.config_patches):
        _patch(f"spec.configPatches[{index}]", patch, findings)


def _patch(path: str, given: ConfigPatch, findings: Findings) -> None:
    if given.apply_to == "INVALID":
        findings.error(f"{path}.applyTo", "it is not said what is changed", fix="for example HTTP_FILTER")
        return
    if given.patch is None:
        findings.error(f"{path}.patch", "a patch is missing", fix="patch: {operation: MERGE, value: {…}}")
        return
    operation = given.patch.operation
    if operation == "INVALID":
        findings.error(f"{path}.patch.operation", "an operation is missing", fix="for example MERGE")
    elif operation != "REMOVE" and given.patch.value is None:
        findings.error(f"{path}.patch.value", f"{operation} needs a value", fix="a part of Envoy's configuration")
    if given.match is not None:
        _match(f"{path}.match", given, given.match, findings)
    value = given.patch.value or {}
    name = value.get("name")
    if isinstance(name, str) and name in _OLD_NAMES:
        _old(f"{path}.patch.value.name", name, findings)
    typed = value.get("typed_config", value.get("typedConfig"))
    filters = {"HTTP_FILTER", "NETWORK_FILTER", "LISTENER_FILTER", "EXTENSION_CONFIG"}
    unread = value and not isinstance(typed, dict) and not {"config_discovery", "configDiscovery"} & value.keys()
    if given.apply_to in filters and operation not in {"MERGE", "REMOVE"} and unread:
        findings.warn(f"{path}.patch.value", "has no typed_config, so Envoy cannot read it", fix="typed_config")


def _match(path: str, given: ConfigPatch, match: ConfigMatch, findings: Findings) -> None:
    if match.proxy is not None and match.proxy.proxy_version and (reason := regex_error(match.proxy.proxy_version)):
        findings.error(f"{path}.proxy.proxyVersion", reason, fix="RE2 syntax", value=match.proxy.proxy_version)
    forms = {
        "listener": match.listener,
        "routeConfiguration": match.route_configuration,
        "cluster": match.cluster,
        "waypoint": match.waypoint,
    }
    wanted = (
        "listener"
        if given.apply_to in _LISTENER
        else "routeConfiguration"
        if given.apply_to in _ROUTE
        else "cluster"
        if given.apply_to == "CLUSTER"
        else None
    )
    for name, value in forms.items():
        if value is not None and wanted is not None and name not in {wanted, "waypoint"}:
            # Istio does not look at what filters of listeners are matched by.
            tell = findings.warn if given.apply_to == "LISTENER_FILTER" else findings.error
            tell(f"{path}.{name}", f"{given.apply_to} is not matched by it", fix=f"match.{wanted}")
    listener = match.listener
    if listener is None or listener.filter_chain is None or listener.filter_chain.filter is None:
        return
    chosen, where = listener.filter_chain.filter, f"{path}.listener.filterChain.filter"
    if given.apply_to in {"LISTENER", "FILTER_CHAIN"}:
        findings.warn(where, f"a filter says nothing about a {given.apply_to}", fix="remove it, or NETWORK_FILTER")
    _filter(where, given, chosen, findings)


def _filter(path: str, given: ConfigPatch, chosen: FilterMatch, findings: Findings) -> None:
    if not chosen.name and chosen.sub_filter is None:
        findings.error(f"{path}.name", "a name is missing", fix=_MANAGER)
    if chosen.name in _OLD_NAMES:
        _old(f"{path}.name", chosen.name, findings)
    if chosen.sub_filter is None:
        return
    if given.apply_to not in {"HTTP_FILTER", "NETWORK_FILTER"} or given.apply_to == "NETWORK_FILTER":
        findings.error(f"{path}.subFilter", "only HTTP filters are inside another filter", fix="applyTo: HTTP_FILTER")
    if chosen.name not in {_MANAGER, "envoy.http_connection_manager"}:
        findings.error(f"{path}.subFilter", "HTTP filters are inside one network filter", fix=f"name: {_MANAGER}")
    if not chosen.sub_filter.name:
        findings.error(f"{path}.subFilter.name", "a name is missing", fix="envoy.filters.http.router")
    if chosen.sub_filter.name in _OLD_NAMES:
        _old(f"{path}.subFilter.name", chosen.sub_filter.name, findings)


def _old(path: str, name: str, findings: Findings) -> None:
    findings.warn(path, f"{name!r} is the name of older Envoys", fix=_OLD_NAMES[name], value=name)
