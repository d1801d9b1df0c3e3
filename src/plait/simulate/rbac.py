"""Who is let through: Envoy's RBAC filters judged as Envoy does, on what they were generated to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, Final

from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac
from envoy.extensions.path.match.uri_template.v3.uri_template_match_pb2 import UriTemplateMatchConfig

from plait.simulate.judgement import Judgement
from plait.simulate.noted import metadata_holds
from plait.simulate.request import Request
from plait.simulate.routes import header_holds
from plait.simulate.text import pattern, quoted, string_holds
from plait.xds.authorization.asking import provider_of_rule
from plait.xds.authorization.matchers import SEGMENT

_HTTP: Final = "type.googleapis.com/" + http_rbac.RBAC.DESCRIPTOR.full_name
_NETWORK: Final = "type.googleapis.com/" + network_rbac.RBAC.DESCRIPTOR.full_name
#: Envoy's templates: one segment, and any number of them.
_SEGMENT: Final = f"[{SEGMENT}]+"
_REST: Final = f"[{SEGMENT}/]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """What RBAC sees of a connection, or of a request on it.

    `identities` are those of the caller's certificate, in the order in which Envoy looks at them; None without TLS.
    `direct` is the address that the connection comes from, `remote` the client's by what trusted proxies say.
    `metadata` is what filters before have noted, by their names.
    """

    address: str
    port: int
    direct: str
    remote: str
    identities: tuple[str, ...] | None = None
    sni: str = ""
    request: Request | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def judgements(filters: Iterable[Filter | HttpFilter], approach: Approach) -> Iterator[Judgement]:
    """What the RBAC filters among `filters` say, in order; each says first what it only tries, as in Envoy."""
    for each in filters:
        url = each.typed_config.type_url
        if url not in {_HTTP, _NETWORK}:
            continue
        config = _read(url, each.typed_config.value)
        if config.HasField("shadow_rules"):
            found = judged(config.shadow_rules, approach, tried=True)
            yield replace(found, asks=provider_of_rule(found.rule))
        if config.HasField("rules"):
            yield judged(config.rules, approach)


@lru_cache(maxsize=1024)
def _read(url: str, encoded: bytes) -> Any:
    return (http_rbac.RBAC if url == _HTTP else network_rbac.RBAC).FromString(encoded)


def judged(rules: RBAC, approach: Approach, *, tried: bool = False) -> Judgement:
    """Envoy: rules are looked at in the order of their names, and the first that holds is the one that is told."""
    names = tuple(sorted(rules.policies))
    held = next((name for name in names if _policy_holds(rules.policies[name], approach)), "")
    action = RBAC.Action.Name(rules.action)
    allowed = {"ALLOW": bool(held), "DENY": not held}.get(action, True)
    return Judgement(action=action, allowed=allowed, rule=held, names=names, tried=tried)


def _policy_holds(policy: Any, approach: Approach) -> bool:
    return any(_permission_holds(each, approach) for each in policy.permissions) and any(
        _principal_holds(each, approach) for each in policy.principals
    )


def _permission_holds(rule: Any, approach: Approach) -> bool:
    kind = rule.WhichOneof("rule")
    match kind:
        case "and_rules":
            return all(_permission_holds(each, approach) for each in rule.and_rules.rules)
        case "or_rules":
            return any(_permission_holds(each, approach) for each in rule.or_rules.rules)
        case "not_rule":
            return not _permission_holds(rule.not_rule, approach)
        case "any":
            return bool(rule.any)
        case "destination_ip":
            return _within(rule.destination_ip, approach.address)
        case "destination_port":
            return bool(rule.destination_port == approach.port)
        case "requested_server_name":
            return string_holds(rule.requested_server_name, approach.sni)
        case "metadata":
            return metadata_holds(rule.metadata, approach.metadata)
    request = approach.request
    if request is None:
        return False
    match kind:
        case "header":
            return header_holds(rule.header, request)
        case "url_path":
            return string_holds(rule.url_path.path, request.path.partition("#")[0])
        case "uri_template":
            return _template_holds(rule.uri_template, request.path.partition("#")[0])
    raise ValueError(f"a permission of the kind {kind} is not judged here")


def _principal_holds(identifier: Any, approach: Approach) -> bool:
    kind = identifier.WhichOneof("identifier")
    match kind:
        case "and_ids":
            return all(_principal_holds(each, approach) for each in identifier.and_ids.ids)
        case "or_ids":
            return any(_principal_holds(each, approach) for each in identifier.or_ids.ids)
        case "not_id":
            return not _principal_holds(identifier.not_id, approach)
        case "any":
            return bool(identifier.any)
        case "authenticated":
            return _authenticated(identifier.authenticated, approach)
        case "direct_remote_ip":
            return _within(identifier.direct_remote_ip, approach.direct)
        case "remote_ip":
            return _within(identifier.remote_ip, approach.remote)
        case "metadata":
            return metadata_holds(identifier.metadata, approach.metadata)
        case "header":
            return approach.request is not None and header_holds(identifier.header, approach.request)
    raise ValueError(f"a principal of the kind {kind} is not judged here")


def _authenticated(wanted: Any, approach: Approach) -> bool:
    """Envoy: without a certificate there is TLS, and an empty name."""
    if approach.identities is None:
        return False
    if not wanted.HasField("principal_name"):
        return True
    return any(string_holds(wanted.principal_name, name) for name in approach.identities or ("",))


def _within(given: Any, text: str) -> bool:
    if not text:
        return False
    network = ip_network(f"{given.address_prefix}/{given.prefix_len.value}", strict=False)
    return ip_address(text) in network


def _template_holds(config: Any, path: str) -> bool:
    wanted = UriTemplateMatchConfig()
    config.typed_config.Unpack(wanted)
    return pattern(_template(wanted.path_template)).fullmatch(path) is not None


@lru_cache(maxsize=1024)
def _template(text: str) -> str:
    parts = {"*": _SEGMENT, "**": _REST}
    return "/".join(parts.get(segment) or quoted(segment) for segment in text.split("/"))
