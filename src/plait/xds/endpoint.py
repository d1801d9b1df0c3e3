"""Endpoints of a destination -> ClusterLoadAssignment."""

from __future__ import annotations

from itertools import groupby

from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from plait.mesh.endpoints import Endpoint
from plait.xds.origin import NAMESPACE


def load_assignment(name: str, endpoints: tuple[Endpoint, ...]) -> ClusterLoadAssignment:
    """The assignment of cluster `name`. Without endpoints it is sent too: that is what empties a cluster."""
    result = ClusterLoadAssignment(cluster_name=name)
    for zone, members in groupby(endpoints, key=lambda endpoint: endpoint.zone):
        group = LocalityLbEndpoints(lb_endpoints=[_endpoint(member) for member in members])
        if zone:
            group.locality.CopyFrom(Locality(zone=zone))
        group.load_balancing_weight.value = len(group.lb_endpoints)
        result.endpoints.append(group)
    return result


def _endpoint(endpoint: Endpoint) -> LbEndpoint:
    result = LbEndpoint()
    address = result.endpoint.address.socket_address
    address.address, address.port_value = endpoint.address, endpoint.port
    result.load_balancing_weight.value = 1
    pod = endpoint.pod
    if pod is not None:
        labels = endpoint.labels
        app = labels.get("service.istio.io/canonical-name") or labels.get("app") or labels.get("name") or pod.workload
        version = labels.get("service.istio.io/canonical-revision") or labels.get("version") or "latest"
        # workload|namespace|app|version|service account: telemetry reads who answered from here.
        facts = f"{pod.workload}|{endpoint.pod_namespace}|{app}|{version}|{pod.service_account}"
        result.metadata.filter_metadata[NAMESPACE].update({"wl": facts})
    return result
