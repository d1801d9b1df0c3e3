"""The action CUSTOM: whoever a rule matches is let through if a server of the user's own says so.

Istio's way: RBAC, without a consequence, notes which rule holds; external authorization asks where such a note is.
What matches while nobody can be asked is denied: the provider is missing, cannot be reached by any cluster, or the
workload's policies name several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.config.core.v3.config_source_pb2 import ApiVersion
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2 as http_authz
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.filters.network.ext_authz.v3 import ext_authz_pb2 as network_authz
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac
from envoy.type.matcher.v3.string_pb2 import ListStringMatcher, StringMatcher

from plait.api.durations import parse_duration
from plait.api.extension_providers import ExtAuthzHTTP, RequestBody
from plait.api.security import AuthorizationPolicy
from plait.mesh.providers import Authorizer, Unknown
from plait.xds import names
from plait.xds.authorization.filters import NETWORK_RBAC, TCP_PREFIX, rules_of
from plait.xds.authorization.matchers import metadata_matcher, string_value, text_matcher
from plait.xds.encode import duration, packed
from plait.xds.slots import HTTP_AUTHZ, HTTP_RBAC

NETWORK_AUTHZ: Final = "envoy.filters.network.ext_authz"
SHADOW_PREFIX: Final = "istio_ext_authz_"
_NOTE: Final = f"{SHADOW_PREFIX}shadow_effective_policy_id"
_ANY: Final = "istio-ext-authz-"
_BAD: Final = "-deny-due-to-bad-CUSTOM-action"
BACKSTOP: Final = f"{_ANY}nobody{_BAD}"
"""The rule that denies what was noted while nobody can be asked."""
_ASKED: Final = re.compile(r"istio-ext-authz-(.*)-ns\[[^\]]*\]-policy\[[^\]]*\]-rule\[\d+\]")
#: Istio: how long an answer may take if nobody says.
_PATIENCE: Final = 600.0

Finder = Callable[[str], Authorizer | Unknown]


def provider_of_rule(name: str) -> str:
    """Whom a rule with this name in RBAC asks; empty: nobody."""
    found = _ASKED.fullmatch(name)
    return found[1] if found is not None else ""


def noting_filter(policies: Sequence[AuthorizationPolicy], domains: tuple[str, ...], find: Finder) -> HttpFilter | None:
    """What notes which rule holds for a request, or denies what holds where nobody can be asked; None: no rule.

    `find` says who is behind a provider's name.
    """
    refused = RBAC(action=RBAC.DENY)
    for rules, found in _asked(policies, domains, find, tcp=False):
        if found is not None:
            noting = http_rbac.RBAC(shadow_rules=rules, shadow_rules_stat_prefix=SHADOW_PREFIX)
            return HttpFilter(name=HTTP_RBAC, typed_config=packed(noting))
        # Their names differ by the provider's.
        for name, policy in rules.policies.items():
            refused.policies[name].CopyFrom(policy)
    if not refused.policies:
        return None
    return HttpFilter(name=HTTP_RBAC, typed_config=packed(http_rbac.RBAC(rules=refused)))


def asking_filter(policies: Sequence[AuthorizationPolicy], domains: tuple[str, ...], find: Finder) -> HttpFilter | None:
    """What asks where a rule was noted; None: no rule is there.

    It changes a moment before or after `noting_filter`, and in between nothing may pass that neither the state before
    nor the one after lets through. So it asks whatever provider a rule was noted for, and where nobody can be asked it
    denies what is noted (which by then nothing is: `noting_filter` denies it itself).
    """
    refuses = False
    for _, found in _asked(policies, domains, find, tcp=False):
        if found is not None:
            return HttpFilter(name=HTTP_AUTHZ, typed_config=packed(_http_authz(found)))
        refuses = True
    if not refuses:
        return None
    rules = RBAC(action=RBAC.DENY)
    backstop = rules.policies[BACKSTOP]
    backstop.permissions.add().metadata.CopyFrom(_where_noted(HTTP_RBAC))
    backstop.principals.add().any = True
    return HttpFilter(name=HTTP_AUTHZ, typed_config=packed(http_rbac.RBAC(rules=rules)))


def asking_connections(
    policies: Sequence[AuthorizationPolicy], domains: tuple[str, ...], find: Finder
) -> Iterator[Filter]:
    """The filters of connections that carry bytes. Istio: a provider that is asked by requests has no say there."""
    for rules, found in _asked(policies, domains, find, tcp=True):
        if found is None:
            yield Filter(name=NETWORK_RBAC, typed_config=packed(network_rbac.RBAC(rules=rules, stat_prefix=TCP_PREFIX)))
        elif not isinstance(found.server, ExtAuthzHTTP):
            noting = network_rbac.RBAC(
                shadow_rules=rules, shadow_rules_stat_prefix=SHADOW_PREFIX, stat_prefix=TCP_PREFIX
            )
            yield Filter(name=NETWORK_RBAC, typed_config=packed(noting))
            yield Filter(name=NETWORK_AUTHZ, typed_config=packed(_network_authz(found)))


def _asked(
    policies: Sequence[AuthorizationPolicy], domains: tuple[str, ...], find: Finder, *, tcp: bool
) -> Iterator[tuple[RBAC, Authorizer | None]]:
    """For each provider its rules; None: all that they match is denied."""
    groups: dict[str, list[AuthorizationPolicy]] = {}
    for policy in policies:
        if policy.spec.action == "CUSTOM":
            name = policy.spec.provider.name if policy.spec.provider is not None else ""
            groups.setdefault(name, []).append(policy)
    for name, own in sorted(groups.items()):
        prefix = f"{_ANY}{name}-" if name else _ANY
        rules = rules_of(own, "CUSTOM", domains, tcp=tcp, prefix=prefix)
        if rules is None:
            continue
        found = find(name) if len(groups) == 1 else None
        if isinstance(found, Authorizer):
            yield rules, found
        else:
            yield _refusing(rules), None


def _refusing(rules: RBAC) -> RBAC:
    result = RBAC(action=RBAC.DENY)
    for name, policy in rules.policies.items():
        result.policies[f"{name}{_BAD}"].CopyFrom(policy)
    return result


def _where_noted(filter_name: str) -> Any:
    return metadata_matcher(filter_name, (_NOTE,), string_value(StringMatcher(prefix=_ANY)))


def _http_authz(asked: Authorizer) -> http_authz.ExtAuthz:
    server = asked.server
    result = http_authz.ExtAuthz(
        transport_api_version=ApiVersion.V3,
        failure_mode_allow=server.fail_open,
        clear_route_cache=server.clear_route_cache,
        filter_enabled_metadata=_where_noted(HTTP_RBAC),
    )
    if server.status_on_error:
        result.status_on_error.code = int(server.status_on_error)
    if server.include_request_body_in_check is not None:
        result.with_request_body.CopyFrom(_body(server.include_request_body_in_check))
    if isinstance(server, ExtAuthzHTTP):
        _http_service(result, asked, server)
    else:
        result.grpc_service.CopyFrom(_grpc(asked))
    return result


def _network_authz(asked: Authorizer) -> network_authz.ExtAuthz:
    return network_authz.ExtAuthz(
        stat_prefix=TCP_PREFIX,
        transport_api_version=ApiVersion.V3,
        failure_mode_allow=asked.server.fail_open,
        grpc_service=_grpc(asked),
        filter_enabled_metadata=_where_noted(NETWORK_RBAC),
    )


def _cluster(asked: Authorizer) -> str:
    return names.outbound_cluster(asked.cluster.host, asked.cluster.port)


def _grpc(asked: Authorizer) -> GrpcService:
    result = GrpcService(timeout=_timeout(asked.server.timeout))
    result.envoy_grpc.cluster_name = _cluster(asked)
    # The cluster's name, which Envoy would say, has letters that no authority may have.
    result.envoy_grpc.authority = asked.cluster.host
    return result


def _timeout(text: str | None) -> Any:
    value = parse_duration(text) if text else None
    return duration(value.total_seconds() if value is not None else _PATIENCE)


def _body(given: RequestBody) -> http_authz.BufferSettings:
    return http_authz.BufferSettings(
        max_request_bytes=given.max_request_bytes,
        allow_partial_message=given.allow_partial_message,
        pack_as_bytes=given.pack_as_bytes,
    )


def _http_service(result: http_authz.ExtAuthz, asked: Authorizer, server: ExtAuthzHTTP) -> None:
    service = result.http_service
    service.path_prefix = server.path_prefix
    service.server_uri.uri = f"http://{asked.cluster.host}"
    service.server_uri.cluster = _cluster(asked)
    service.server_uri.timeout.CopyFrom(_timeout(server.timeout))
    shown = server.include_request_headers_in_check or server.include_headers_in_check
    if shown:
        result.allowed_headers.CopyFrom(_headers(shown))
    for name, value in sorted(server.include_additional_headers_in_check.items()):
        service.authorization_request.headers_to_add.append(HeaderValue(key=name, value=value))
    answer = service.authorization_response
    for headers, field in (
        (server.headers_to_upstream_on_allow, "allowed_upstream_headers"),
        (server.headers_to_downstream_on_deny, "allowed_client_headers"),
        (server.headers_to_downstream_on_allow, "allowed_client_headers_on_success"),
    ):
        if headers:
            getattr(answer, field).CopyFrom(_headers(headers))


def _headers(given: Iterable[str]) -> ListStringMatcher:
    return ListStringMatcher(patterns=[text_matcher(name, ignore_case=True) for name in given])
