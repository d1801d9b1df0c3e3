"""The kinds plait talks about: where the API serves them and what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Kind:
    """One served version of a resource; `plural` is its name in paths."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As in the API's messages: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of a collection, an object or its subresource.

        Without `namespace` a namespaced kind's path is the collection over all namespaces.
        """
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        elif self.namespaced and name is not None:
            raise ValueError(f"{self.kind} {name!r} needs a namespace")
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource is not None:
            parts.append(subresource)
        return "/" + "/".join(quote(part, safe="") for part in parts)


NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
NODE = Kind("", "v1", "Node", "nodes", namespaced=False)
POD = Kind("", "v1", "Pod", "pods")
SERVICE = Kind("", "v1", "Service", "services")
CONFIGMAP = Kind("", "v1", "ConfigMap", "configmaps")
SECRET = Kind("", "v1", "Secret", "secrets")
SERVICEACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts")
RESOURCEQUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")
EVENT = Kind("", "v1", "Event", "events")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
REPLICASET = Kind("apps", "v1", "ReplicaSet", "replicasets")
JOB = Kind("batch", "v1", "Job", "jobs")
CRONJOB = Kind("batch", "v1", "CronJob", "cronjobs")
ENDPOINTSLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
INGRESS = Kind("networking.k8s.io", "v1", "Ingress", "ingresses")
INGRESSCLASS = Kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses", namespaced=False)
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
CRD = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
TOKENREVIEW = Kind("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", namespaced=False)

VIRTUALSERVICE = Kind("networking.istio.io", "v1", "VirtualService", "virtualservices")
DESTINATIONRULE = Kind("networking.istio.io", "v1", "DestinationRule", "destinationrules")
GATEWAY = Kind("networking.istio.io", "v1", "Gateway", "gateways")
SERVICEENTRY = Kind("networking.istio.io", "v1", "ServiceEntry", "serviceentries")
WORKLOADENTRY = Kind("networking.istio.io", "v1", "WorkloadEntry", "workloadentries")
WORKLOADGROUP = Kind("networking.istio.io", "v1", "WorkloadGroup", "workloadgroups")
PROXYCONFIG = Kind("networking.istio.io", "v1beta1", "ProxyConfig", "proxyconfigs")
SIDECAR = Kind("networking.istio.io", "v1", "Sidecar", "sidecars")
ENVOYFILTER = Kind("networking.istio.io", "v1alpha3", "EnvoyFilter", "envoyfilters")
AUTHORIZATIONPOLICY = Kind("security.istio.io", "v1", "AuthorizationPolicy", "authorizationpolicies")
PEERAUTHENTICATION = Kind("security.istio.io", "v1", "PeerAuthentication", "peerauthentications")
REQUESTAUTHENTICATION = Kind("security.istio.io", "v1", "RequestAuthentication", "requestauthentications")
MESHPOLICY = Kind("authentication.istio.io", "v1alpha1", "MeshPolicy", "meshpolicies", namespaced=False)
POLICY = Kind("authentication.istio.io", "v1alpha1", "Policy", "policies")
TELEMETRY = Kind("telemetry.istio.io", "v1", "Telemetry", "telemetries")
