"""What injection is told about the mesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import plait

#: Namespaces that are never injected, whatever their labels say.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})

PROXY_CONTAINER = "istio-proxy"
INIT_CONTAINER = "istio-init"
PROXY_UID = 1337
#: Of the sidecar's connections where there is only one uid to tell it by.
PROXY_MARK = 1337


def _requests() -> Mapping[str, str]:
    return MappingProxyType({"cpu": "10m", "memory": "40Mi"})


def _limits() -> Mapping[str, str]:
    return MappingProxyType({"cpu": "2", "memory": "1Gi"})


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectConfig:
    """The mesh as a new pod sees it; the defaults are those of Istio.

    `image` runs both `istio-init` and `istio-proxy`. `root_namespace` holds the control plane: there only pods that
    ask for it by themselves are injected. `revision` is compared with the label `istio.io/rev`. `certificates`:
    sidecars are given some, and answer callers that speak mutual TLS.
    """

    image: str = f"plait/proxyv2:{plait.__version__}"
    revision: str = "default"
    root_namespace: str = "istio-system"
    cluster_id: str = "Kubernetes"
    mesh_id: str = "cluster.local"
    trust_domain: str = "cluster.local"
    domain: str = "cluster.local"
    certificates: bool = True
    requests: Mapping[str, str] = field(default_factory=_requests)
    limits: Mapping[str, str] = field(default_factory=_limits)
