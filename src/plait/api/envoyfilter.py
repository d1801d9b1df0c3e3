"""networking.istio.io EnvoyFilter: changes of the generated configuration."""

from __future__ import annotations

from typing import Any

import msgspec

from plait.api.meta import Metadata
from plait.api.selection import TargetReference
from plait.api.workloadentry import WorkloadSelector


class ProxyMatch(msgspec.Struct, frozen=True, rename="camel"):
    """Proxies by their version (a regular expression) and metadata."""

    proxy_version: str = ""
    metadata: dict[str, str] = {}


class SubFilterMatch(msgspec.Struct, frozen=True):
    """A filter inside a network filter: an HTTP filter."""

    name: str = ""


class FilterMatch(msgspec.Struct, frozen=True, rename="camel"):
    """A network filter by name."""

    name: str = ""
    sub_filter: SubFilterMatch | None = None


class FilterChainMatch(msgspec.Struct, frozen=True, rename="camel"):
    """A filter chain by name, by what it matches and by the name of its transport socket."""

    name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    transport_socket: str = ""
    application_protocols: str = ""
    filter: FilterMatch | None = None
    destination_port: int = 0


class ListenerMatch(msgspec.Struct, frozen=True, rename="camel"):
    """A listener; 0 and empty match every one."""

    port_number: int = 0
    port_name: str = ""
    filter_chain: FilterChainMatch | None = None
    listener_filter: str = ""
    name: str = ""


class RouteMatch(msgspec.Struct, frozen=True):
    """A route by name and by what it does (ANY, ROUTE, REDIRECT, DIRECT_RESPONSE)."""

    name: str = ""
    action: str = "ANY"


class VirtualHostMatch(msgspec.Struct, frozen=True, rename="camel"):
    """A virtual host by name."""

    name: str = ""
    domain_name: str = ""
    route: RouteMatch | None = None


class RouteConfigurationMatch(msgspec.Struct, frozen=True, rename="camel"):
    """A route configuration."""

    port_number: int = 0
    port_name: str = ""
    gateway: str = ""
    vhost: VirtualHostMatch | None = None
    name: str = ""


class ClusterMatch(msgspec.Struct, frozen=True, rename="camel"):
    """A cluster by its parts, or by its whole name."""

    port_number: int = 0
    service: str = ""
    subset: str = ""
    name: str = ""


class WaypointMatch(msgspec.Struct, frozen=True, rename="camel"):
    """A waypoint's filter or route; there are no waypoints here."""

    port_number: int = 0
    filter: FilterMatch | None = None
    route: RouteMatch | None = None


class ConfigMatch(msgspec.Struct, frozen=True, rename="camel"):
    """Where a patch is applied. `context` is ANY, SIDECAR_INBOUND, SIDECAR_OUTBOUND, GATEWAY or WAYPOINT."""

    context: str = "ANY"
    proxy: ProxyMatch | None = None
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None
    waypoint: WaypointMatch | None = None


class Patch(msgspec.Struct, frozen=True, rename="camel"):
    """What is done: `value` is a part of Envoy's configuration as JSON."""

    operation: str = "INVALID"
    value: dict[str, Any] | None = None
    filter_class: str = "UNSPECIFIED"


class ConfigPatch(msgspec.Struct, frozen=True, rename="camel"):
    """One change."""

    apply_to: str = "INVALID"
    match: ConfigMatch | None = None
    patch: Patch | None = None


class EnvoyFilterSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Changes for the selected workloads; lower `priority` first."""

    workload_selector: WorkloadSelector | None = None
    target_refs: tuple[TargetReference, ...] = ()
    config_patches: tuple[ConfigPatch, ...] = ()
    priority: int = 0


class EnvoyFilter(msgspec.Struct, frozen=True):
    """networking.istio.io EnvoyFilter."""

    metadata: Metadata
    spec: EnvoyFilterSpec = EnvoyFilterSpec()
