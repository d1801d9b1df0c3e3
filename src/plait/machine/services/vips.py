"""Service VIPs: nft text that turns a VIP into one of its endpoints, in the netns of a pod without a sidecar.

Doing it in the pod keeps replies on the way they came; on the flat bridge the node's rules would see one half. A VIP
is on no interface, so whatever is still bound for the VIP network after translation has nowhere to go and is refused
at once: a Service without endpoints, or a port that it does not have.

What a sidecar does not translate (excluded ports, a Host it has no route for, its own uid) reaches the bridge, where
the node translates it and puts its own address as the source, so that the reply passes it too. One table for all.

Every text states what should be, so that it may be loaded over any earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any, Final

TABLE: Final = "plait_vips"

_SKELETON: Final = """\
add table ip {table}
delete table ip {table}
table ip {table} {{
 map services {{
  type ipv4_addr . inet_proto . inet_service : verdict
 }}
 chain translate {{ type nat hook output priority -100; policy accept;
  ip daddr . meta l4proto . th dport vmap @services
 }}
 chain refuse {{ type filter hook output priority 0; policy accept;
  ip daddr {network} meta l4proto tcp reject with tcp reset
  ip daddr {network} reject
 }}
}}
"""

# Refused before routing: the node has no route to the VIPs, and "unreachable" is not what callers retry.
_NODE_SKELETON: Final = """\
add table ip {table}
delete table ip {table}
table ip {table} {{
 map services {{
  type ipv4_addr . inet_proto . inet_service : verdict
 }}
 chain translate {{ type nat hook prerouting priority -100; policy accept;
  ip daddr . meta l4proto . th dport vmap @services
 }}
 chain reply {{ type nat hook postrouting priority 100; policy accept;
  ct status dnat masquerade
 }}
 chain refuse {{ type filter hook prerouting priority -50; policy accept;
  ip daddr {network} meta l4proto tcp reject with tcp reset
  ip daddr {network} reject
 }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vip:
    """One port of a VIP and where it leads. `sticky` is sessionAffinity ClientIP."""

    address: IPv4Address
    protocol: str
    port: int
    endpoints: tuple[tuple[IPv4Address, int], ...]
    sticky: bool = False

    @property
    def chain(self) -> str:
        """The chain of this port, named after it."""
        return f"{self.protocol}_{self.address}_{self.port}"


class Vips:
    """The translations of all Services, and what to load when one changes.

    `fixed` are VIPs that no Service may take, such as that of the API server.
    """

    def __init__(self, network: IPv4Network, *, fixed: Iterable[Vip] = ()) -> None:
        self._network = network
        self._fixed = tuple(fixed)
        self._reserved = {vip.chain for vip in self._fixed}
        self._services: dict[tuple[str, str], tuple[Vip, ...]] = {}

    def ruleset(self) -> str:
        """Everything, for a new pod's network namespace; takes the place of what is loaded there."""
        return self._everything(_SKELETON)

    def node_ruleset(self) -> str:
        """Everything, for the node's own network namespace; the same changes fit it."""
        return self._everything(_NODE_SKELETON)

    def _everything(self, skeleton: str) -> str:
        every = [*self._fixed, *(vip for vips in self._services.values() for vip in vips)]
        return skeleton.format(table=TABLE, network=self._network) + "".join(map(_put, every))

    def update(self, service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]] = ()) -> str:
        """Put in a Service with all of its EndpointSlices. The text to load wherever a `ruleset` is.

        Empty where nothing changed.
        """
        metadata = service.get("metadata") or {}
        key = (metadata.get("namespace") or "default", metadata["name"])
        new = tuple(vip for vip in vips_of(service, slices) if vip.endpoints and vip.chain not in self._reserved)
        return self._replace(key, new)

    def remove(self, namespace: str, name: str) -> str:
        """Forget a Service; the text to load, empty where it had no VIP."""
        return self._replace((namespace, name), ())

    def _replace(self, key: tuple[str, str], new: tuple[Vip, ...]) -> str:
        old = self._services.pop(key, ())
        if new:
            self._services[key] = new
        kept = {vip.chain for vip in new}
        gone = [vip for vip in old if vip.chain not in kept]
        return "".join([*map(_drop, gone), *(_put(vip) for vip in new if vip not in old)])


def vips_of(service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]]) -> tuple[Vip, ...]:
    """The ports of a Service's VIP, with ready endpoints; with terminating ones that still serve where none is ready.

    A headless or ExternalName Service has none.
    """
    spec = service.get("spec") or {}
    address = _address(spec.get("clusterIP"))
    if address is None or spec.get("type") == "ExternalName":
        return ()
    pieces = [piece for piece in slices if piece.get("addressType", "IPv4") == "IPv4"]
    unready = bool(spec.get("publishNotReadyAddresses"))
    vips = []
    for port in spec.get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        if protocol not in {"TCP", "UDP"}:
            continue
        ready, terminating = _endpoints(pieces, port.get("name") or "", protocol, unready=unready)
        vips.append(
            Vip(
                address=address,
                protocol=protocol.lower(),
                port=port["port"],
                endpoints=tuple(sorted(ready or terminating)),
                sticky=spec.get("sessionAffinity") == "ClientIP",
            )
        )
    return tuple(vips)


_Places = set[tuple[IPv4Address, int]]


def _endpoints(
    pieces: Iterable[Mapping[str, Any]], name: str, protocol: str, *, unready: bool
) -> tuple[_Places, _Places]:
    ready: _Places = set()
    terminating: _Places = set()
    for piece in pieces:
        numbers = [
            port["port"]
            for port in piece.get("ports") or ()
            if (port.get("name") or "") == name and (port.get("protocol") or "TCP") == protocol and port.get("port")
        ]
        for endpoint in piece.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            if unready or conditions.get("ready") is not False:
                group = ready
            elif conditions.get("serving") and conditions.get("terminating"):
                group = terminating
            else:
                continue
            for text in endpoint.get("addresses") or ():
                if (address := _address(text)) is not None:
                    group.update((address, number) for number in numbers)
    return ready, terminating


def _address(text: Any) -> IPv4Address | None:
    try:
        return IPv4Address(str(text))
    except AddressValueError:
        return None


def _put(vip: Vip) -> str:
    places = ", ".join(f"{index} : {address} . {port}" for index, (address, port) in enumerate(vip.endpoints))
    # A pod is one client, so ClientIP affinity is a choice by its address.
    chosen = "jhash ip saddr" if vip.sticky else "numgen random"
    return (
        f"add chain ip {TABLE} {vip.chain}\n"
        f"flush chain ip {TABLE} {vip.chain}\n"
        f"add rule ip {TABLE} {vip.chain} meta l4proto {vip.protocol} "
        f"dnat ip addr . port to {chosen} mod {len(vip.endpoints)} map {{ {places} }}\n"
        f"add element ip {TABLE} services {{ {_element(vip)} }}\n"
    )


def _drop(vip: Vip) -> str:
    """What is not there cannot be deleted, so it is added first: the whole is one transaction."""
    return (
        f"add chain ip {TABLE} {vip.chain}\n"
        f"add element ip {TABLE} services {{ {_element(vip)} }}\n"
        f"delete element ip {TABLE} services {{ {_element(vip)} }}\n"
        f"flush chain ip {TABLE} {vip.chain}\n"
        f"delete chain ip {TABLE} {vip.chain}\n"
    )


def _element(vip: Vip) -> str:
    return f"{vip.address} . {vip.protocol} . {vip.port} : goto {vip.chain}"
