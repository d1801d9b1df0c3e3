"""Tells the relay where host ports lead: ready endpoints of the Services behind them, as they come and go.

Fixed host ports lead to the mesh's own Services; node ports of any Service are opened on the host's loopback, and each
Service of type LoadBalancer has an address of its own there, with its own ports.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from plait.kube.errors import ApiError
from plait.kube.kinds import ENDPOINTSLICE, SERVICE
from plait.kube.reflect import Ref, reflect
from plait.machine.host_sockets import load_balancer_address

if TYPE_CHECKING:
    import socket

    from plait.kube.client import Client
    from plait.kube.recorder import Recorder

log = logging.getLogger(__name__)

NAMESPACE = "istio-system"
#: Host port name -> (Service, name of its port).
BEHIND = {
    "http": ("istio-ingressgateway", "http2"),
    "https": ("istio-ingressgateway", "https"),
    "console": ("kiali", "http"),
}
#: Seconds between two attempts at a port that somebody else has.
_AGAIN = 2.0
#: The condition of a Service some of whose node ports are not open, while it is so: False, with which and why.
NODE_PORTS_OPEN: Final = "NodePortsOpen"
_SERVICE_NAME = "kubernetes.io/service-name"

Json = Mapping[str, Any]


class Host(Protocol):
    """Opens ports of the host; `host_sockets.HostSockets` is one."""

    async def listen(self, port: int, address: str = "") -> socket.socket:
        """A listening socket. Raises OSError, TimeoutError."""
        ...


class Relay(Protocol):
    """Tells the relay that there is news; `InitClient` is one."""

    async def signal(self, name: str, number: int) -> None:
        """Signal one of plait's processes."""
        ...


def targets(slices: Mapping[Ref, Json], services: Mapping[Ref, Json]) -> dict[str, list[str]]:
    """`{"http": ["10.42.0.7:80"], "30001": […], …}`: addresses of the endpoints that are ready, sorted."""
    found: dict[str, set[str]] = {name: set() for name in BEHIND}
    wanted: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, (service_name, port_name) in BEHIND.items():
        wanted.setdefault((NAMESPACE, service_name), []).append((name, port_name))
    for ref, service in services.items():
        for port in node_ports(service):
            name = str(port["nodePort"])
            found[name] = set()
            wanted.setdefault((ref.namespace, ref.name), []).append((name, port.get("name") or ""))
        for name, port in balanced_ports(service).items():
            found[name] = set()
            wanted.setdefault((ref.namespace, ref.name), []).append((name, port.get("name") or ""))
    for ref, piece in slices.items():
        key = (ref.namespace, (piece["metadata"].get("labels") or {}).get(_SERVICE_NAME, ""))
        numbers = {port.get("name") or "": port.get("port") for port in piece.get("ports") or ()}
        for name, port_name in wanted.get(key, ()):
            if numbers.get(port_name):
                found[name] |= {f"{address}:{numbers[port_name]}" for address in _ready(piece)}
    return {name: sorted(addresses) for name, addresses in found.items()}


def node_ports(service: Json) -> Iterator[Json]:
    """The ports of a Service that are to be open on the host: those of TCP that have a number there."""
    for port in service["spec"].get("ports") or ():
        if port.get("nodePort") and port.get("protocol", "TCP") == "TCP":
            yield port


def balanced_ports(service: Json) -> dict[str, Json]:
    """`ADDRESS:PORT` on the host's loopback for the ports of a LoadBalancer Service: those of TCP, once it has a VIP.

    None for the ingress gateway, which has host ports, and for Services that ask for another balancer.
    """
    meta, spec = service["metadata"], service["spec"]
    if spec.get("type") != "LoadBalancer" or spec.get("loadBalancerClass") or not spec.get("clusterIP"):
        return {}
    if meta["namespace"] == NAMESPACE and any(meta["name"] == name for name, _ in BEHIND.values()):
        return {}
    address = load_balancer_address(IPv4Address(spec["clusterIP"]))
    return {
        f"{address}:{port['port']}": port for port in spec.get("ports") or () if port.get("protocol", "TCP") == "TCP"
    }


def conditions(service: Json, closed: Mapping[str, str], now: str) -> list[Json]:
    """What the conditions of a Service are to be; `closed` has the ports of the host that are not open, and why."""
    known = list((service.get("status") or {}).get("conditions") or ())
    others = [each for each in known if each.get("type") != NODE_PORTS_OPEN]
    before: Json = next((each for each in known if each not in others), {})
    why: dict[str, list[str]] = {}
    for port in node_ports(service):
        if (number := str(port["nodePort"])) in closed:
            why.setdefault(closed[number], []).append(number)
    if not why:
        return others
    told = "; ".join(f"{', '.join(numbers)}: {reason}" for reason, numbers in why.items())
    made = {
        "type": NODE_PORTS_OPEN,
        "status": "False",
        "reason": "NotOpened",
        "message": f"node ports not open on 127.0.0.1: {told}",
        "lastTransitionTime": before.get("lastTransitionTime") or now,
    }
    return [*others, before if before == made else made]


class HostPorts:
    """Follows Services and their endpoints. `recorder` tells of node ports that cannot be opened."""

    def __init__(self, client: Client, path: Path, *, host: Host, relay: Relay, recorder: Recorder) -> None:
        self._client = client
        self._path = path
        self._host = host
        self._relay = relay
        self._recorder = recorder
        self._slices: dict[Ref, Json] = {}
        self._services: dict[Ref, Json] = {}
        self._written: dict[str, list[str]] | None = None
        #: Ports that could not be opened, and why.
        self._closed: dict[str, str] = {}
        self._turn = asyncio.Lock()

    async def publish(self) -> None:
        """Keep the relay's file true until cancelled; written anew only when it differs, and all at once."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="host ports")
            tasks.create_task(self._try_again(), name="taken host ports")

    async def _try_again(self) -> None:
        """Nothing reports that somebody else has given a port back."""
        while True:
            await asyncio.sleep(_AGAIN)
            async with self._turn:
                if self._closed and self._written is not None:
                    await self._write(self._written)
                    await self._tell()

    async def _follow(self) -> None:
        async with aclosing(reflect(self._client, [SERVICE, ENDPOINTSLICE])) as batches:
            async for batch in batches:
                known = self._services if batch.kind == SERVICE else self._slices
                for obj in batch.upserts:
                    known[Ref(obj["metadata"]["namespace"], obj["metadata"]["name"])] = obj
                for ref in batch.deletes:
                    known.pop(ref, None)
                wanted = targets(self._slices, self._services)
                async with self._turn:
                    if wanted != self._written:
                        await self._write(wanted)
                    if batch.kind == SERVICE:
                        await self._tell()

    async def _write(self, wanted: dict[str, list[str]]) -> None:
        before, closed = self._written or {}, set(self._closed)
        for name in wanted.keys() - before.keys() | (self._closed.keys() & wanted.keys()):
            if name.rpartition(":")[2].isdigit():
                await self._try(name)
        for name in self._closed.keys() - wanted.keys():
            del self._closed[name]
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(wanted))
        draft.replace(self._path)
        self._written = wanted
        if wanted.keys() != before.keys() or closed - self._closed.keys():
            await self._relay.signal("relay", signal.SIGHUP)

    async def _try(self, name: str) -> None:
        """The relay has no voice in the cluster: whether the port is free is found out here."""
        address, _, port = name.rpartition(":")
        try:
            listener = await self._host.listen(int(port), address)
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or "timed out"
        else:
            listener.close()
            self._closed.pop(name, None)
            return
        if self._closed.get(name) == why:
            return
        self._closed[name] = why
        for service in self._services.values():
            if name in balanced_ports(service):
                self._say(service, "LoadBalancerPending", f"{name} cannot be opened on this machine: {why}")
            elif any(str(port["nodePort"]) == name for port in node_ports(service)):
                text = f"127.0.0.1:{name} cannot be opened on this machine: {why}; choose another nodePort"
                self._say(service, "NodePortNotOpened", text)

    async def _tell(self) -> None:
        """Give each LoadBalancer Service its address once all its ports are open; one that is not stays pending. Of
        node ports that are not open a condition tells.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for ref, service in tuple(self._services.items()):
            was = service.get("status") or {}
            status: dict[str, Any] = {}
            if names := balanced_ports(service):
                address = next(iter(names)).rpartition(":")[0]
                open_ = not any(name in self._closed for name in names)
                ingress = [{"ip": address, "ipMode": "VIP"}] if open_ else []
                if (was.get("loadBalancer") or {}).get("ingress", []) != ingress:
                    status["loadBalancer"] = {"ingress": ingress or None}
            told = conditions(service, self._closed, now)
            if told != (was.get("conditions") or []):
                status["conditions"] = told or None
            if not status:
                continue
            body = {"metadata": {"uid": service["metadata"]["uid"]}, "status": status}
            try:
                await self._client.patch(SERVICE, ref.name, ref.namespace, body, subresource="status")
            except ApiError as error:  # the next change of a Service tries again
                log.warning("status of service %s/%s: %s", ref.namespace, ref.name, error)

    def _say(self, service: Json, reason: str, message: str) -> None:
        about = {"apiVersion": "v1", "kind": "Service", **service}
        self._recorder.record(about, reason=reason, message=message, type="Warning")


def _ready(piece: Json) -> list[str]:
    return [
        address
        for endpoint in piece.get("endpoints") or ()
        # Unknown counts as ready (EndpointSlice API: nil means ready).
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint["addresses"]
    ]
