"""What the containers of one pod share: namespaces, network, identity and volumes, made and kept up to date."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from plait.kit.aio.wall_clock import wait_until
from plait.kube.errors import ApiError
from plait.machine.node.addresses import AddressError
from plait.machine.node.files import write_pod_files
from plait.machine.node.identity import PodIdentity
from plait.machine.node.record import pause_name
from plait.machine.node.sandbox import SandboxError
from plait.machine.node.tries import LONGEST, Tries
from plait.machine.node.volumes import VolumeError, Volumes

if TYPE_CHECKING:
    from plait.machine.node.context import PodContext

log = logging.getLogger(__name__)


class PodSandbox:
    """See the module. `pause` is the process that holds the namespaces, where it is known."""

    def __init__(self, pod: PodContext) -> None:
        self._pod = pod
        self._host = pod.host
        self._record = pod.record
        self._refresh = asyncio.Event()
        self.pause: int | None = None
        self.identity = PodIdentity(pod)
        self.volumes = Volumes(
            pod.object,
            pod.folder / "volumes",
            client=pod.host.client,
            objects=pod.host.objects.within(pod.record.namespace),
            refused=pod.host.refused,
            groups=not pod.host.settings.one_uid,
        )

    # what others tell

    def update(self, obj: Mapping[str, Any]) -> None:
        """The API's object has changed."""
        if self.volumes.update(obj):
            self._refresh.set()

    def objects_changed(self, changed: Iterable[tuple[str, str, str]]) -> None:
        """ConfigMaps or Secrets have changed; volumes that show them follow."""
        mine = self._record.namespace
        if any(namespace == mine and self.volumes.uses(kind, name) for kind, namespace, name in changed):
            self._refresh.set()

    async def load_plain(self, rules: str) -> None:
        """Load a change of the VIPs' rules, if this pod has no sidecar; all of them where the change does not fit."""
        if self.pause is None or not self._record.network or self._host.capturing.captured(self._pod.object):
            return
        try:
            await self._host.sandboxes.load(self.pause, rules)
        except SandboxError as error:
            log.warning("pod %s/%s gets all rules anew: %s", self._record.namespace, self._record.name, error)
            await self._host.sandboxes.load(self.pause, self._host.capturing.rules(self._pod.object))

    # making and keeping it

    async def make(self) -> None:
        """All of it; tried again until it is there."""
        tries = Tries()
        while True:
            # Its certificate is made meanwhile.
            claiming = asyncio.create_task(self.identity.claim(), name=f"identity of {self._record.name}")
            try:
                await self._make_namespaces()
                await self._pod.prefetch()
                await self.volumes.write(self._pod.node_fields)
                await claiming
            except (SandboxError, AddressError, OSError) as error:
                self._pod.warn("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            except VolumeError as error:
                self._pod.warn("FailedMount", str(error))
            except ApiError as error:
                log.warning("pod %s/%s: %s", self._record.namespace, self._record.name, error)
            else:
                return
            finally:
                claiming.cancel()
                await asyncio.gather(claiming, return_exceptions=True)
            await tries.wait()

    async def _make_namespaces(self) -> None:
        pod, host, record = self._pod, self._host, self._record
        if not host.processes.running(pause_name(record.uid)):
            record.network = False
        self.pause = await host.sandboxes.hold(record.uid)
        if record.network:
            await self.load_plain(host.capturing.rules(pod.object))  # they may have changed while no node was there
            return
        if record.ip is None:
            record.ip = host.addresses.take()
        nameserver = str(host.settings.bridge_ip)
        write_pod_files(pod.folder, pod.object, ip=record.ip, hostname=pod.hostname, nameserver=nameserver)
        rules = host.capturing.rules(pod.object)
        await host.sandboxes.connect(record, self.pause, folder=pod.folder, hostname=pod.hostname, rules=rules)
        while (newest := host.capturing.rules(pod.object)) != rules:  # a Service has changed meanwhile
            rules = newest
            await host.sandboxes.load(self.pause, rules)
        record.network = True
        pod.changed()

    async def lost(self) -> None:
        """Return when the pause has died, and with it all processes of the pod."""
        await self._host.processes.end(pause_name(self._record.uid))

    def forget(self) -> None:
        """It is lost: what is made next is new."""
        self.pause = None
        self._record.network = False

    async def find_pause(self) -> int | None:
        """The pause, also where an earlier node has made it; None where none runs."""
        if self.pause is None and self._host.processes.running(pause_name(self._record.uid)):
            self.pause = await self._host.processes.inner_pid(pause_name(self._record.uid))
        return self.pause

    async def keep_volumes(self) -> None:
        """Follow ConfigMaps and Secrets, and renew tokens in time."""
        while True:
            await wait_until(self.volumes.renew_at, or_set=self._refresh)
            self._refresh.clear()
            try:
                await self.volumes.write(self._pod.node_fields)
            except (VolumeError, ApiError) as error:
                self._pod.warn("FailedMount", str(error))
                await asyncio.sleep(LONGEST)
                self._refresh.set()
