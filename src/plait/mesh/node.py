"""Who asks for configuration: a proxy as its node id and metadata describe it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyNode:
    """One Envoy. Its id on the wire is `TYPE~IP~POD.NAMESPACE~DNS_DOMAIN` (Istio's node id).

    `labels` are the pod's labels as sorted pairs, so that equal nodes are equal values. `certificates`: an agent gives
    it a certificate of the mesh, which its bootstrap says in the metadata (`WORKLOAD_CERTIFICATES`).
    """

    kind: Literal["sidecar", "router"]
    ip: str
    pod: str
    namespace: str
    labels: tuple[tuple[str, str], ...] = ()
    service_account: str = "default"
    certificates: bool = False

    @property
    def id(self) -> str:
        """Istio's node id."""
        return f"{self.kind}~{self.ip}~{self.pod}.{self.namespace}~{self.namespace}.svc.cluster.local"
