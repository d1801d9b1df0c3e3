"""What happens to calls of hosts that nobody knows."""

from __future__ import annotations

from dataclasses import dataclass

from plait.api.sidecar import Sidecar
from plait.mesh.config import BY_NAME, MeshConfig
from plait.mesh.routes import ClusterRef, destination_cluster
from plait.mesh.scope import Scope
from plait.snapshot.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownPolicy:
    """They are refused (`registry_only`), given to `proxy`, looked up by the name they ask for (`by_name`: HTTP only),
    or pass through to where the caller meant to go.
    """

    registry_only: bool = False
    by_name: bool = False
    proxy: ClusterRef | None = None


def unknown_policy(reader: Reader, scope: Scope, mesh: MeshConfig) -> UnknownPolicy:
    """The Sidecar's own policy, else the mesh's."""
    sidecar: Sidecar | None = reader.sidecar(scope.sidecar) if scope.sidecar is not None else None
    policy = sidecar.spec.outbound_traffic_policy if sidecar is not None else None
    if sidecar is None or policy is None:
        return UnknownPolicy(registry_only=mesh.registry_only, by_name=mesh.outbound_traffic_policy == BY_NAME)
    if policy.mode == "REGISTRY_ONLY":
        return UnknownPolicy(registry_only=True)
    if policy.egress_proxy is not None and policy.egress_proxy.host:
        namespace = sidecar.metadata.namespace
        return UnknownPolicy(proxy=destination_cluster(reader, policy.egress_proxy, namespace, 0))
    return UnknownPolicy()
