"""The kinds of objects that analyzers read, by API group and name; the version does not matter."""

from __future__ import annotations

from typing import Final, TypeAlias

Kind: TypeAlias = tuple[str, str]
"""(API group, kind)."""

NAMESPACE: Final[Kind] = ("", "Namespace")
NODE: Final[Kind] = ("", "Node")
POD: Final[Kind] = ("", "Pod")
SERVICE: Final[Kind] = ("", "Service")
SECRET: Final[Kind] = ("", "Secret")
CONFIG_MAP: Final[Kind] = ("", "ConfigMap")
DEPLOYMENT: Final[Kind] = ("apps", "Deployment")
ENDPOINT_SLICE: Final[Kind] = ("discovery.k8s.io", "EndpointSlice")
INGRESS: Final[Kind] = ("networking.k8s.io", "Ingress")
INGRESS_CLASS: Final[Kind] = ("networking.k8s.io", "IngressClass")
MUTATING_WEBHOOK: Final[Kind] = ("admissionregistration.k8s.io", "MutatingWebhookConfiguration")
VALIDATING_WEBHOOK: Final[Kind] = ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration")
CRD: Final[Kind] = ("apiextensions.k8s.io", "CustomResourceDefinition")

_NETWORKING: Final = "networking.istio.io"
VIRTUAL_SERVICE: Final[Kind] = (_NETWORKING, "VirtualService")
DESTINATION_RULE: Final[Kind] = (_NETWORKING, "DestinationRule")
GATEWAY: Final[Kind] = (_NETWORKING, "Gateway")
SERVICE_ENTRY: Final[Kind] = (_NETWORKING, "ServiceEntry")
WORKLOAD_ENTRY: Final[Kind] = (_NETWORKING, "WorkloadEntry")
WORKLOAD_GROUP: Final[Kind] = (_NETWORKING, "WorkloadGroup")
SIDECAR: Final[Kind] = (_NETWORKING, "Sidecar")
ENVOY_FILTER: Final[Kind] = (_NETWORKING, "EnvoyFilter")
PROXY_CONFIG: Final[Kind] = (_NETWORKING, "ProxyConfig")

_SECURITY: Final = "security.istio.io"
AUTHORIZATION_POLICY: Final[Kind] = (_SECURITY, "AuthorizationPolicy")
PEER_AUTHENTICATION: Final[Kind] = (_SECURITY, "PeerAuthentication")
REQUEST_AUTHENTICATION: Final[Kind] = (_SECURITY, "RequestAuthentication")
TELEMETRY: Final[Kind] = ("telemetry.istio.io", "Telemetry")
WASM_PLUGIN: Final[Kind] = ("extensions.istio.io", "WasmPlugin")
TRAFFIC_EXTENSION: Final[Kind] = ("extensions.istio.io", "TrafficExtension")

KUBERNETES_GATEWAY: Final[Kind] = ("gateway.networking.k8s.io", "Gateway")
HTTP_ROUTE: Final[Kind] = ("gateway.networking.k8s.io", "HTTPRoute")
GRPC_ROUTE: Final[Kind] = ("gateway.networking.k8s.io", "GRPCRoute")

#: Settings of the whole mesh: not objects of the API, but analysed as if they were.
MESH_NETWORKS: Final[Kind] = ("", "MeshNetworks")

#: Their objects are in no namespace.
CLUSTER_SCOPED: Final = frozenset({NAMESPACE, NODE, MUTATING_WEBHOOK, VALIDATING_WEBHOOK, CRD}) | {
    ("", "PersistentVolume"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.istio.io", "ClusterRbacConfig"),
    ("authentication.istio.io", "MeshPolicy"),
    ("storage.k8s.io", "StorageClass"),
    ("scheduling.k8s.io", "PriorityClass"),
    INGRESS_CLASS,
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("apiregistration.k8s.io", "APIService"),
}

#: The same kind under its former group.
_FORMER: Final[dict[Kind, Kind]] = {
    ("extensions", "Deployment"): DEPLOYMENT,
    ("extensions", "Ingress"): INGRESS,
    ("config.istio.io", "VirtualService"): VIRTUAL_SERVICE,
}


def kind_of(api_version: str, kind: str) -> Kind:
    """The kind of an object, whichever version and former group it is written in."""
    found = (api_version.rpartition("/")[0], kind)
    return _FORMER.get(found, found)


#: Everything that some analyzer looks at.
READ: Final[frozenset[Kind]] = frozenset(
    {
        NAMESPACE,
        NODE,
        POD,
        SERVICE,
        SECRET,
        CONFIG_MAP,
        DEPLOYMENT,
        ENDPOINT_SLICE,
        INGRESS,
        INGRESS_CLASS,
        MUTATING_WEBHOOK,
        VALIDATING_WEBHOOK,
        CRD,
        VIRTUAL_SERVICE,
        DESTINATION_RULE,
        GATEWAY,
        SERVICE_ENTRY,
        WORKLOAD_ENTRY,
        WORKLOAD_GROUP,
        SIDECAR,
        ENVOY_FILTER,
        PROXY_CONFIG,
        AUTHORIZATION_POLICY,
        PEER_AUTHENTICATION,
        REQUEST_AUTHENTICATION,
        TELEMETRY,
        WASM_PLUGIN,
        TRAFFIC_EXTENSION,
        KUBERNETES_GATEWAY,
        HTTP_ROUTE,
        GRPC_ROUTE,
    }
)
