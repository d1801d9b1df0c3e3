"""networking.istio.io ServiceEntry: services that no Kubernetes Service describes."""

from __future__ import annotations

from typing import Literal

import msgspec

from plait.api.meta import Metadata
from plait.api.workloadentry import WorkloadEntrySpec, WorkloadSelector

Location = Literal["MESH_EXTERNAL", "MESH_INTERNAL"]
Resolution = Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]


class EntryPort(msgspec.Struct, frozen=True, rename="camel"):
    """A port of the service; `target_port` 0 means the same number."""

    number: int = 0
    name: str = ""
    protocol: str = ""
    target_port: int = 0


class ServiceEntrySpec(msgspec.Struct, frozen=True, rename="camel"):
    """Services by their `hosts`. Endpoints are listed, selected by labels, or the hosts' own addresses."""

    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ports: tuple[EntryPort, ...] = ()
    location: Location = "MESH_EXTERNAL"
    resolution: Resolution = "NONE"
    endpoints: tuple[WorkloadEntrySpec, ...] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()


class AllocatedAddress(msgspec.Struct, frozen=True):
    """An address that plait gave a host that has none."""

    value: str = ""
    host: str = ""


class ServiceEntryStatus(msgspec.Struct, frozen=True):
    """What the mesh wrote back."""

    addresses: tuple[AllocatedAddress, ...] = ()


class ServiceEntry(msgspec.Struct, frozen=True):
    """networking.istio.io ServiceEntry, any version."""

    metadata: Metadata
    spec: ServiceEntrySpec = ServiceEntrySpec()
    status: ServiceEntryStatus = ServiceEntryStatus()
