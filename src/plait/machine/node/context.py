"""What the parts of a pod know of it: its object, its record, and where its things are on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.machine.node.limiting import group_name
from plait.machine.node.objects import references
from plait.machine.node.record import ContainerRecord, PodRecord, container_id, log_folder, process_name

if TYPE_CHECKING:
    from pathlib import Path

    from plait.machine.node.host import Host


class PodContext:
    """One pod. `object` is the newest state of the API's object; `announce` is called when there may be news of it."""

    def __init__(self, host: Host, obj: dict[str, Any], record: PodRecord, *, announce: Callable[[], None]) -> None:
        self.host = host
        self.object = obj
        self.record = record
        #: Held while a process is started, and while it matters that none is.
        self.spawning = asyncio.Lock()
        self._announce = announce

    @property
    def folder(self) -> Path:
        """The pod's own files, on a tmpfs."""
        return self.host.folders.pods / self.record.uid

    @property
    def hostname(self) -> str:
        """The pod's host name."""
        return str(self.object["spec"].get("hostname") or self.record.name)[:63]

    @property
    def grace(self) -> float:
        """Seconds between SIGTERM and SIGKILL where nothing else is said."""
        seconds = self.object["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if seconds is None else float(seconds)

    @property
    def node_fields(self) -> dict[str, str]:
        """Fields of the downward API that the node knows first."""
        ip, host = self.record.ip or "", str(self.host.settings.bridge_ip)
        return {"status.podIP": ip, "status.podIPs": ip, "status.hostIP": host, "status.hostIPs": host}

    async def prefetch(self) -> None:
        """Have the ConfigMaps and Secrets that the pod refers to at hand. Raises ApiError."""
        await self.host.objects.prefetch(self.record.namespace, references(self.object["spec"]))

    def log(self, container: str, attempt: int) -> Path:
        """The log of one process of a container."""
        folder = log_folder(self.host.folders.logs, self.record.namespace, self.record.name, self.record.uid)
        return folder / container / f"{attempt}.log"

    def changed(self) -> None:
        """The record has changed: keep it, and tell the API."""
        if self.folder.is_dir():
            self.record.save(self.folder)
        self._announce()

    def warn(self, reason: str, message: str, *, normal: bool = False) -> None:
        """An event of this pod."""
        self.host.events.pod(self.object, reason, message, kind="Normal" if normal else "Warning")


@dataclass(frozen=True, slots=True)
class ContainerContext:
    """One container of a pod. What has a number is its newest process's."""

    pod: PodContext
    spec: Mapping[str, Any]
    record: ContainerRecord

    @property
    def name(self) -> str:
        """Its name in the pod."""
        return self.record.name

    @property
    def folder(self) -> Path:
        """Its file system."""
        return self.pod.folder / "containers" / self.name

    @property
    def process(self) -> str:
        """Init's name of the newest process."""
        return process_name(self.pod.record.uid, self.name, self.record.attempt)

    @property
    def group(self) -> str:
        """The name of the newest process's control groups."""
        return group_name(self.pod.record.uid, self.name, self.record.attempt)

    @property
    def id(self) -> str:
        """The identity of the newest process."""
        return container_id(self.pod.record.uid, self.name, max(self.record.attempt, 0))

    @property
    def log(self) -> Path:
        """The log of the newest process."""
        return self.pod.log(self.name, self.record.attempt)
