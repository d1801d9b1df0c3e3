"""The Kubernetes kinds the mesh reads, reduced to what it needs of them.

An object that changes only elsewhere (a pod's conditions, say) decodes to an equal value, so nothing is rebuilt.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from plait.api.meta import Metadata


class ServicePort(msgspec.Struct, frozen=True, rename="camel"):
    """One port of a Service; `target_port` is a number or the name of a container port, None: the same as `port`."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    target_port: int | str | None = None


class ServiceSpec(msgspec.Struct, frozen=True, rename="camel"):
    """`cluster_ip` is empty until one is allocated and `None` (the text) for a headless service."""

    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    external_name: str = ""
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    session_affinity: str = ""
    internal_traffic_policy: str = ""
    traffic_distribution: str = ""


class Service(msgspec.Struct, frozen=True):
    """v1 Service."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()


class EndpointConditions(msgspec.Struct, frozen=True):
    """None means unknown, which counts as ready."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(msgspec.Struct, frozen=True):
    """The object an endpoint stands for."""

    kind: str = ""
    namespace: str = ""
    name: str = ""


class SliceEndpoint(msgspec.Struct, frozen=True, rename="camel"):
    """One endpoint; all its addresses reach the same pod, the first is used."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    target_ref: TargetRef | None = None
    zone: str = ""
    node_name: str = ""


class SlicePort(msgspec.Struct, frozen=True, rename="camel"):
    """One port of every endpoint of a slice; `name` is the Service port's name."""

    name: str = ""
    port: int | None = None
    protocol: str = "TCP"
    app_protocol: str | None = None


class EndpointSlice(msgspec.Struct, frozen=True, rename="camel"):
    """discovery.k8s.io/v1 EndpointSlice."""

    metadata: Metadata
    address_type: str = "IPv4"
    endpoints: tuple[SliceEndpoint, ...] = ()
    ports: tuple[SlicePort, ...] = ()

    @property
    def service(self) -> str:
        """Name of the Service it belongs to, in its own namespace; empty when it belongs to none."""
        return self.metadata.labels.get("kubernetes.io/service-name", "")


class ContainerPort(msgspec.Struct, frozen=True, rename="camel"):
    """A declared port of a container, for named target ports."""

    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"


class Container(msgspec.Struct, frozen=True):
    """Only its ports matter here."""

    name: str = ""
    ports: tuple[ContainerPort, ...] = ()


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a pod's spec the mesh reads."""

    service_account_name: str = "default"
    containers: tuple[Container, ...] = ()
    node_name: str = ""


class PodCondition(msgspec.Struct, frozen=True):
    """One condition; without when it changed and why."""

    type: str = ""
    status: str = ""


class PodStatus(msgspec.Struct, frozen=True):
    """`pod_ip` is empty until the pod has one."""

    pod_ip: str = msgspec.field(default="", name="podIP")
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown", ""] = ""
    conditions: tuple[PodCondition, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether it takes traffic: it has an address, runs, and no condition denies readiness."""
        if not self.pod_ip or self.phase in {"Succeeded", "Failed"}:
            return False
        return all(item.status == "True" for item in self.conditions if item.type == "Ready")


class Pod(msgspec.Struct, frozen=True):
    """v1 Pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Namespace(msgspec.Struct, frozen=True):
    """v1 Namespace."""

    metadata: Metadata


class Node(msgspec.Struct, frozen=True):
    """v1 Node, of which the mesh reads the labels: they say where it is."""

    metadata: Metadata


class Secret(msgspec.Struct, frozen=True):
    """v1 Secret. Its values, in base64, are never shown."""

    metadata: Metadata
    type: str = ""
    data: dict[str, str] = {}

    def __repr__(self) -> str:
        """Names only: what is in it must not get into any log."""
        return f"Secret({self.metadata.namespace}/{self.metadata.name}, {sorted(self.data)})"
