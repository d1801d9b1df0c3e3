"""networking.istio.io Sidecar: what a proxy sees of the mesh, and how it listens."""

from __future__ import annotations

from typing import Literal

import msgspec

from plait.api.destinationrule import ConnectionPool
from plait.api.gateway import ServerTLS
from plait.api.meta import Metadata
from plait.api.virtualservice import Destination
from plait.api.workloadentry import WorkloadSelector

CaptureMode = Literal["DEFAULT", "IPTABLES", "NONE"]


class SidecarPort(msgspec.Struct, frozen=True, rename="camel"):
    """A port of a listener."""

    number: int = 0
    protocol: str = ""
    name: str = ""
    target_port: int = 0


class IngressListener(msgspec.Struct, frozen=True, rename="camel"):
    """Inbound traffic of one port, for the application at `default_endpoint` (`127.0.0.1:8080`, `unix:///socket`)."""

    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode = "DEFAULT"
    default_endpoint: str = ""
    tls: ServerTLS | None = None
    connection_pool: ConnectionPool | None = None


class EgressListener(msgspec.Struct, frozen=True, rename="camel"):
    """What can be called: hosts as `namespace/dnsName`, on every port or on one."""

    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode = "DEFAULT"
    hosts: tuple[str, ...] = ()


class OutboundTrafficPolicy(msgspec.Struct, frozen=True, rename="camel"):
    """What becomes of calls to destinations that nobody knows."""

    mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"] = "REGISTRY_ONLY"
    egress_proxy: Destination | None = None


class SidecarSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Without a selector it holds for the namespace; in the root namespace for the mesh."""

    workload_selector: WorkloadSelector | None = None
    ingress: tuple[IngressListener, ...] = ()
    egress: tuple[EgressListener, ...] = ()
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
    inbound_connection_pool: ConnectionPool | None = None


class Sidecar(msgspec.Struct, frozen=True):
    """networking.istio.io Sidecar, any version."""

    metadata: Metadata
    spec: SidecarSpec = SidecarSpec()
