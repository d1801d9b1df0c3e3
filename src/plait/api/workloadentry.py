"""networking.istio.io WorkloadEntry and WorkloadGroup: programs that are no pods."""

from __future__ import annotations

from typing import Final

import msgspec

from plait.api.meta import Metadata


class WorkloadSelector(msgspec.Struct, frozen=True):
    """Picks pods and WorkloadEntries of the object's own namespace by their labels; empty picks all."""

    labels: dict[str, str] = {}


class WorkloadEntrySpec(msgspec.Struct, frozen=True, rename="camel"):
    """One program: an IP address, a DNS name or `unix:///path`.

    `ports` maps port names of the service to the program's own port numbers; without one the service's target port
    holds. `locality` is `region/zone/subzone`. `weight` 0 is not set. `network` names the network the address is in.
    """

    address: str = ""
    ports: dict[str, int] = {}
    labels: dict[str, str] = {}
    network: str = ""
    locality: str = ""
    weight: int = 0
    service_account: str = ""


#: Of entries that count only as long as their condition Healthy says so (Istio's name).
HEALTH_ANNOTATION: Final = "proxy.istio.io/health-checks-enabled"
#: Names the WorkloadGroup that an entry was made from (Istio's name).
GROUP_ANNOTATION: Final = "istio.io/autoRegistrationGroup"
HEALTHY: Final = "Healthy"


class Condition(msgspec.Struct, frozen=True):
    """One condition; without when it changed and why."""

    type: str = ""
    status: str = ""


class WorkloadEntryStatus(msgspec.Struct, frozen=True):
    """What the mesh wrote back."""

    conditions: tuple[Condition, ...] = ()


class WorkloadEntry(msgspec.Struct, frozen=True):
    """networking.istio.io WorkloadEntry, any version."""

    metadata: Metadata
    spec: WorkloadEntrySpec = WorkloadEntrySpec()
    status: WorkloadEntryStatus = WorkloadEntryStatus()

    @property
    def healthy(self) -> bool:
        """Whether it takes traffic. Istio: an entry that is asked about does only once it was found healthy."""
        if self.metadata.annotations.get(HEALTH_ANNOTATION, "").lower() != "true":
            return True
        return any(each.type == HEALTHY and each.status == "True" for each in self.status.conditions)


class GroupMetadata(msgspec.Struct, frozen=True):
    """What the entries of a group carry."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class ProbeHeader(msgspec.Struct, frozen=True):
    """A header of a probe's request."""

    name: str = ""
    value: str = ""


class HTTPGet(msgspec.Struct, frozen=True, rename="camel"):
    """A probe by HTTP."""

    path: str = ""
    port: int = 0
    host: str = ""
    scheme: str = ""
    http_headers: tuple[ProbeHeader, ...] = ()


class TCPSocket(msgspec.Struct, frozen=True):
    """A probe by connecting."""

    host: str = ""
    port: int = 0


class ExecProbe(msgspec.Struct, frozen=True):
    """A probe by running a command."""

    command: tuple[str, ...] = ()


class GRPCProbe(msgspec.Struct, frozen=True):
    """A probe by gRPC's health service."""

    port: int = 0
    service: str = ""


class ReadinessProbe(msgspec.Struct, frozen=True, rename="camel"):
    """When a program of a group counts as ready. One of the four methods is set."""

    initial_delay_seconds: int = 0
    timeout_seconds: int = 0
    period_seconds: int = 0
    success_threshold: int = 0
    failure_threshold: int = 0
    http_get: HTTPGet | None = None
    tcp_socket: TCPSocket | None = None
    exec: ExecProbe | None = None
    grpc: GRPCProbe | None = None


class WorkloadGroupSpec(msgspec.Struct, frozen=True):
    """The template of the group's entries."""

    metadata: GroupMetadata = GroupMetadata()
    template: WorkloadEntrySpec | None = None
    probe: ReadinessProbe | None = None


class WorkloadGroup(msgspec.Struct, frozen=True):
    """networking.istio.io WorkloadGroup, any version."""

    metadata: Metadata
    spec: WorkloadGroupSpec = WorkloadGroupSpec()
