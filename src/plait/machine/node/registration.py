"""The Node object and its Lease: that there is a machine, what it has, and that it is alive."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plait
from plait.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from plait.kube.kinds import LEASE, NODE
from plait.machine.node.host import NODE_NAME
from plait.machine.settings import KUBERNETES

if TYPE_CHECKING:
    from plait.kube.client import Client
    from plait.machine.node.events import Events

log = logging.getLogger(__name__)

_RENEW = 10.0
_LEASE_SECONDS = 40
_LEASE_NAMESPACE = "kube-node-lease"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PODS = 110


def node_labels() -> dict[str, str]:
    """Labels of the Node, which a pod's nodeSelector may ask for."""
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    return {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": NODE_NAME,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "plait",
    }


def node_object(*, address: str, pod_cidr: str) -> dict[str, Any]:
    """The Node without its status."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE_NAME, "labels": node_labels()},
        "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr], "providerID": f"plait://{address}"},
    }


def node_status(before: Mapping[str, Any], *, address: str, now: str, boot: str) -> dict[str, Any]:
    """The Node's status; conditions that were as they are keep the time since when."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resources = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory // 1024}Ki", "pods": str(_PODS)}
    conditions = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    )
    earlier = {c["type"]: c for c in before.get("conditions") or ()}
    return {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": NODE_NAME}],
        "capacity": resources,
        "allocatable": resources,
        "conditions": [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": _since(earlier.get(kind), status) or now,
            }
            for kind, status, reason, message in conditions
        ],
        "nodeInfo": {**_node_info(), "bootID": boot},
    }


class Registration:
    """Keeps both objects. `boot` names this start of the machine."""

    def __init__(self, client: Client, events: Events, *, address: str, pod_cidr: str, boot: str) -> None:
        self._client = client
        self._events = events
        self._address = address
        self._pod_cidr = pod_cidr
        self._boot = boot

    async def run(self, truthful: asyncio.Event) -> None:
        """Register when what the API says of this node's pods is true, then renew the Lease until cancelled."""
        await truthful.wait()
        registered = False
        while True:
            try:
                if not registered or not await self._known():
                    await self._register()
                    registered = True
                await self._renew()
            except ApiError as error:
                log.warning("cannot register the node: %s", error)
                await asyncio.sleep(1.0)
            else:
                await asyncio.sleep(_RENEW)

    async def _known(self) -> bool:
        """Whether nobody has deleted the Node: its pods go on, so it must be there."""
        try:
            await self._client.get(NODE, NODE_NAME)
        except NotFound:
            return False
        return True

    async def _register(self) -> None:
        wanted = node_object(address=self._address, pod_cidr=self._pod_cidr)
        try:
            node = await self._client.create(NODE, wanted)
        except AlreadyExists:
            labels = {"metadata": {"labels": node_labels()}}
            node = await self._client.patch(NODE, NODE_NAME, None, labels)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = node_status(node.get("status") or {}, address=self._address, now=now, boot=self._boot)
        await self._client.patch(NODE, NODE_NAME, None, {"status": status}, subresource="status")
        self._events.node(node, "NodeReady", f"Node {NODE_NAME} status is now: NodeReady")

    async def _renew(self) -> None:
        spec = {
            "holderIdentity": NODE_NAME,
            "leaseDurationSeconds": _LEASE_SECONDS,
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        try:
            await self._client.patch(LEASE, NODE_NAME, _LEASE_NAMESPACE, {"spec": spec})
        except NotFound:
            metadata = {"name": NODE_NAME, "namespace": _LEASE_NAMESPACE}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            await self._client.create(LEASE, lease)
        except Conflict:
            log.debug("somebody else renewed the lease; next time")


def _since(before: Mapping[str, Any] | None, status: str) -> str | None:
    return before.get("lastTransitionTime") if before and before.get("status") == status else None


def _node_info() -> dict[str, Any]:
    return {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "bootID": _line("/proc/sys/kernel/random/boot_id"),
        "containerRuntimeVersion": f"plait://{plait.__version__}",
        "kernelVersion": platform.release(),
        "kubeProxyVersion": "",
        "kubeletVersion": f"{KUBERNETES}+plait-{plait.__version__}",
        "machineID": "",
        "operatingSystem": "linux",
        "osImage": _os_name(),
        "systemUUID": "",
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
