"""Endpoints of a destination -> ClusterLoadAssignment."""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from plait.mesh.endpoints import Endpoint
from plait.mesh.entry_endpoints import UNIX
from plait.mesh.peers import Speaks, nobody
from plait.mesh.placing import Group, groups
from plait.xds.mesh_tls import SOCKET_MATCH, SPEAKS
from plait.xds.origin import NAMESPACE


def load_assignment(name: str, endpoints: Iterable[Endpoint], speaking: Speaks = nobody) -> ClusterLoadAssignment:
    """The assignment of cluster `name`. Without endpoints it is sent too: that is what empties a cluster."""
    return placed_assignment(name, groups(endpoints), speaking)


def placed_assignment(name: str, found: Iterable[Group], speaking: Speaks = nobody) -> ClusterLoadAssignment:
    """The assignment of cluster `name` for callers that see endpoints in these groups.

    Endpoints that mutual TLS may be spoken to (`speaking`) say so: clusters choose by it how to call them.
    """
    result = ClusterLoadAssignment(cluster_name=name)
    for each in found:
        group = result.endpoints.add(lb_endpoints=[_endpoint(member, speaking) for member in each.endpoints])
        if any(each.locality):
            region, zone, subzone = each.locality
            group.locality.CopyFrom(Locality(region=region, zone=zone, sub_zone=subzone))
        group.load_balancing_weight.value = each.weight
        group.priority = each.priority
    return result


def _endpoint(endpoint: Endpoint, speaking: Speaks) -> LbEndpoint:
    result = LbEndpoint()
    if endpoint.address.startswith(UNIX):
        result.endpoint.address.pipe.path = endpoint.address.removeprefix(UNIX)
    else:
        address = result.endpoint.address.socket_address
        address.address, address.port_value = endpoint.address, endpoint.port
    result.load_balancing_weight.value = endpoint.weight or 1
    pod = endpoint.pod
    if pod is not None:
        if speaking(pod.labels, endpoint.pod_namespace, endpoint.port):
            result.metadata.filter_metadata[SOCKET_MATCH].update(SPEAKS)
        labels = endpoint.labels
        app = labels.get("service.istio.io/canonical-name") or labels.get("app") or labels.get("name") or pod.workload
        version = labels.get("service.istio.io/canonical-revision") or labels.get("version") or "latest"
        # workload|namespace|app|version|service account: telemetry reads who answered from here.
        facts = f"{pod.workload}|{endpoint.pod_namespace}|{app}|{version}|{pod.service_account}"
        result.metadata.filter_metadata[NAMESPACE].update({"wl": facts})
    return result
