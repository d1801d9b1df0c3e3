"""Filters of authorization in a scratch configuration: they decide as they do, by the addresses of the PROXY header."""

from __future__ import annotations

from typing import Any, TypeVar

from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac

from plait.xds.encode import packed

_Filter = TypeVar("_Filter", Filter, HttpFilter)


def judging(given: _Filter) -> _Filter:
    """An RBAC filter that takes a connection to come from where its PROXY header says, on whichever socket it came."""
    config: Any = network_rbac.RBAC() if isinstance(given, Filter) else http_rbac.RBAC()
    if not given.typed_config.Unpack(config):
        return given
    for rules in (config.rules, config.shadow_rules):
        _told(rules)
    return type(given)(name=given.name, typed_config=packed(config))


def _told(rules: RBAC) -> None:
    for policy in rules.policies.values():
        for each in policy.principals:
            _principal(each)


def _principal(given: Any) -> None:
    kind = given.WhichOneof("identifier")
    if kind in {"and_ids", "or_ids"}:
        for each in getattr(given, kind).ids:
            _principal(each)
    elif kind == "not_id":
        _principal(given.not_id)
    elif kind == "direct_remote_ip":
        # The connection itself comes from a unix socket, which has no address.
        given.source_ip.CopyFrom(given.direct_remote_ip)
