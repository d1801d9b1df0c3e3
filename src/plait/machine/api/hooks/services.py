"""Addresses and node ports of Services: chosen once, kept in the object, never changed while it lives."""

from __future__ import annotations

import hashlib
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Any

from plait.machine.api.hooks.contract import Hook
from plait.machine.api.schema.fields import FieldError, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plait.machine.api.hooks.contract import World

Json = dict[str, Any]

#: Upstream's default range of node ports.
NODE_PORTS = range(30000, 32768)
_SERVICES = ("", "services")
#: Fields that only services of certain types may have.
_OF_TYPES = {
    "allocateLoadBalancerNodePorts": ("LoadBalancer",),
    "loadBalancerClass": ("LoadBalancer",),
    "loadBalancerIP": ("LoadBalancer",),
    "loadBalancerSourceRanges": ("LoadBalancer",),
    "healthCheckNodePort": ("LoadBalancer",),
    "externalTrafficPolicy": ("LoadBalancer", "NodePort"),
    "externalName": ("ExternalName",),
}


class ServiceHook(Hook):
    """Allocates clusterIP and nodePorts; the same namespace and name get the same ones while those are free."""

    generation = False
    returns_deleted = True

    def prepare(self, world: World, obj: Json, old: Json | None) -> tuple[FieldError, ...]:
        """Keep what the old object has, allocate what is missing, release what the new type has no use for."""
        spec = obj.setdefault("spec", {})
        if old is not None:
            _drop_stale(spec, old.get("spec", {}))
        if spec.get("type") == "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
                spec.pop(field, None)
            return ()
        errors = _address(world, obj, old)
        if not errors:
            spec["clusterIPs"] = [spec["clusterIP"]]
            errors = _node_ports(world, obj, old)
        return errors


def _drop_stale(spec: Json, before: Json) -> None:
    """What only the type before had a use for goes with it, unless the client changed it in the same write."""
    kind = spec.get("type", "ClusterIP")
    if kind == before.get("type", "ClusterIP"):
        return
    for field, kinds in _OF_TYPES.items():
        if kind not in kinds and spec.get(field) == before.get(field):
            spec.pop(field, None)


def _address(world: World, obj: Json, old: Json | None) -> tuple[FieldError, ...]:
    spec = obj["spec"]
    before = (old or {}).get("spec", {}).get("clusterIP", "")
    wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "") or before
    spec["clusterIP"] = wanted
    if wanted in {"None", before} and wanted:
        return ()
    if before and before != "None":
        return ()  # validation refuses the change in upstream's words
    taken = {service["spec"].get("clusterIP") for service in _others(world, obj)}
    taken.add(str(world.api_vip))
    if not wanted:
        spec["clusterIP"] = _pick_address(world, obj, taken)
        return ()
    try:
        address = IPv4Address(wanted)
    except AddressValueError:
        return (invalid("spec.clusterIPs[0]", wanted, 'must be an IPv4 address, "None", or left out'),)
    if address not in world.service_network:
        return (
            invalid(
                "spec.clusterIPs",
                [wanted],
                f"failed to allocate IP {wanted}: the provided IP is not in the valid range {world.service_network}",
            ),
        )
    owner_is_itself = obj["metadata"].get("namespace") == "default" and obj["metadata"]["name"] == "kubernetes"
    if wanted in taken and not (owner_is_itself and address == world.api_vip):
        return (
            invalid("spec.clusterIPs", [wanted], f"failed to allocate IP {wanted}: provided IP is already allocated"),
        )
    return ()


def _pick_address(world: World, obj: Json, taken: set[Any]) -> str:
    network = world.service_network
    usable = network.num_addresses - 2
    for step in range(usable):
        offset = (_hash(obj, "address") + step) % usable + 1
        address = str(network.network_address + offset)
        if address not in taken:
            return address
    return ""  # as many services as addresses: validation refuses the empty one


def _node_ports(world: World, obj: Json, old: Json | None) -> tuple[FieldError, ...]:
    spec = obj["spec"]
    ports = [port for port in spec.get("ports") or [] if isinstance(port, dict)]
    if spec.get("type") not in {"NodePort", "LoadBalancer"} or (
        spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False
    ):
        before = {port.get("nodePort") for port in (old or {}).get("spec", {}).get("ports") or []}
        for port in ports:
            if port.get("nodePort") in before:
                port.pop("nodePort", None)
        return ()
    kept = {
        (port.get("port"), port.get("protocol", "TCP")): port.get("nodePort")
        for port in (old or {}).get("spec", {}).get("ports") or []
    }
    taken = {
        (port.get("nodePort"), port.get("protocol", "TCP"))
        for service in _others(world, obj)
        for port in service["spec"].get("ports") or []
        if port.get("nodePort")
    }
    for index, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        wanted = port.get("nodePort") or kept.get((port.get("port"), protocol))
        if wanted and (wanted, protocol) in taken:
            return (invalid(f"spec.ports[{index}].nodePort", wanted, "provided port is already allocated"),)
        if wanted and wanted not in NODE_PORTS:
            return (
                invalid(
                    f"spec.ports[{index}].nodePort",
                    wanted,
                    "provided port is not in the valid range. The range of valid ports is "
                    f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}",
                ),
            )
        port["nodePort"] = wanted or _pick_port(obj, port, taken)
        taken.add((port["nodePort"], protocol))
    return ()


def _pick_port(obj: Json, port: Json, taken: set[tuple[Any, Any]]) -> int:
    protocol = port.get("protocol", "TCP")
    for step in range(len(NODE_PORTS)):
        candidate = NODE_PORTS[(_hash(obj, f"{protocol}/{port.get('port')}") + step) % len(NODE_PORTS)]
        if (candidate, protocol) not in taken:
            return candidate
    return 0


def _others(world: World, obj: Json) -> Iterator[Json]:
    me = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
    return (entry.obj for entry in world.store.entries(_SERVICES) if entry.key != me)


def _hash(obj: Json, what: str) -> int:
    text = f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}/{what}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
