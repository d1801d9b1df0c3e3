"""Defaults of Services and EndpointSlices."""

from __future__ import annotations

from typing import Any

from plait.machine.api.schema.defaults.setting import entries, put, section

#: Three hours, in seconds.
_AFFINITY_TIMEOUT = 10_800


def default_service(service: dict[str, Any]) -> None:
    """A Service; the address itself is allocated by the server."""
    spec = section(service, "spec")
    put(spec, type="ClusterIP", sessionAffinity="None")
    _default_affinity(spec)
    for port in entries(spec, "ports"):
        put(port, protocol="TCP")
        if not port.get("targetPort") and "port" in port:
            port["targetPort"] = port["port"]
    kind = spec["type"]
    if kind != "ExternalName":
        put(spec, internalTrafficPolicy="Cluster")
        _default_family(spec)
    if kind in {"NodePort", "LoadBalancer"} or (kind == "ClusterIP" and spec.get("externalIPs")):
        put(spec, externalTrafficPolicy="Cluster")
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
        spec["allocateLoadBalancerNodePorts"] = True
    section(section(service, "status"), "loadBalancer")


def _default_affinity(spec: dict[str, Any]) -> None:
    if spec["sessionAffinity"] == "ClientIP":
        client = section(section(spec, "sessionAffinityConfig"), "clientIP")
        if client.get("timeoutSeconds") is None:
            client["timeoutSeconds"] = _AFFINITY_TIMEOUT
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)


def _default_family(spec: dict[str, Any]) -> None:
    put(spec, ipFamilyPolicy="SingleStack")
    if not spec.get("ipFamilies"):
        address = spec.get("clusterIP")
        spec["ipFamilies"] = ["IPv6" if isinstance(address, str) and ":" in address else "IPv4"]
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def default_endpoint_slice(endpoint_slice: dict[str, Any]) -> None:
    """Ports have a name, if only an empty one, and a protocol."""
    if endpoint_slice.get("endpoints") is None:
        endpoint_slice["endpoints"] = []
    for port in entries(endpoint_slice, "ports"):
        put(port, protocol="TCP")
        if port.get("name") is None:
            port["name"] = ""
