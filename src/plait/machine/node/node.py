"""The node: from the pods that the API wants to the pods that run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait.kube.errors import ApiError, NotFound
from plait.kube.kinds import DEPLOYMENT, POD
from plait.kube.reflect import reflect
from plait.machine.images.table import Images
from plait.machine.init.protocol import Process
from plait.machine.node.addresses import Addresses
from plait.machine.node.capturing import Capturing
from plait.machine.node.events import Events
from plait.machine.node.host import NODE_NAME, Folders, Host
from plait.machine.node.identity import ROOTS, ROOTS_KEY
from plait.machine.node.objects import KINDS, Objects
from plait.machine.node.persist import discard, owner_of
from plait.machine.node.pod import Pod
from plait.machine.node.pods import Pods
from plait.machine.node.processes import Processes
from plait.machine.node.record import PodRecord
from plait.machine.node.registration import Registration
from plait.machine.node.release import release_pod
from plait.machine.node.roots import make_base, python_folders
from plait.machine.node.sandbox import SandboxError, Sandboxes
from plait.machine.node.scheduler import Scheduler
from plait.machine.node.storage import prepare_folders
from plait.machine.node.streams.server import StreamServer
from plait.machine.settings import RUN

if TYPE_CHECKING:
    from plait.kube.client import Client
    from plait.kube.reflect import Batch
    from plait.machine.images.table import Table
    from plait.machine.init.client import InitClient
    from plait.machine.node.host import Identities, LayerSource
    from plait.machine.settings import MachineSettings

log = logging.getLogger(__name__)

_STARTS_AT_ONCE = 8
_RETRY = 1.0


class Node:
    """The kubelet and the scheduler of a one-machine cluster.

    Pods survive it: their processes belong to init, and a node that starts finds them by its records. `run` in the
    mount namespace of init. `visible` are folders and files, beside Python and Envoy, that every pod shall see
    read-only, at their own places.
    """

    def __init__(
        self,
        settings: MachineSettings,
        client: Client,
        init: InitClient,
        table: Table,
        layers: LayerSource,
        *,
        visible: tuple[Path, ...] = (),
        plain_rules: Callable[[Mapping[str, Any]], str] | None = None,
        identities: Identities | None = None,
    ) -> None:
        self._settings = settings
        self._client = client
        self._visible = visible
        self._identities = identities
        self._found: dict[str, Process] = {}
        self._truthful = asyncio.Event()
        self._processes = Processes(init)
        self._sandboxes = Sandboxes(self._processes, network=settings.pod_network, gateway=settings.bridge_ip)
        self._pods = Pods(self._processes)
        self._images = Images(table)
        self._layers = layers
        self._events = Events(client, node=NODE_NAME)
        self._scheduler = Scheduler(client, self._events)
        self._capturing = Capturing(
            self._images, self._events, by="mark" if settings.one_uid else "uid", plain=plain_rules
        )
        self._objects = Objects(client)

    async def run(self, *, started: Callable[[], None] = lambda: None) -> None:
        """Until cancelled, which leaves the pods running. `started` is called when the pods of the API are known."""
        host = self._host()
        address, cidr = str(self._settings.bridge_ip), str(self._settings.pod_network)
        registration = Registration(
            self._client, self._events, address=address, pod_cidr=cidr, boot=self._settings.boot
        )
        stream = StreamServer(self._pods)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._processes.run(), name="processes")
            tasks.create_task(self._events.run(), name="events")
            tasks.create_task(registration.run(self._truthful), name="registration")
            tasks.create_task(stream.run(RUN / "node.sock", uid=self._settings.api_uid), name="stream")
            self._found = await self._processes.adopt("pod/")
            await self._reconcile(host, tasks, started)

    def uncertified(self, uid: str, problem: str) -> None:
        """Why a pod's proxy has no certificate, or cannot renew it; nothing once it has one."""
        if problem and (pod := self._pods.get(uid)) is not None:
            pod.context.warn("FailedCertificate", f"No certificate for the proxy: {problem}")

    async def load_plain(self, rules: str) -> None:
        """Load a change of what `plain_rules` gives into every pod without a sidecar."""
        loads = [pod.sandbox.load_plain(rules) for pod in self._pods]
        for result in await asyncio.gather(*loads, return_exceptions=True):
            if isinstance(result, SandboxError):
                log.warning("rules of a pod: %s", result)  # it is ending, or will be made anew
            elif isinstance(result, BaseException):
                raise result

    # pods

    async def _reconcile(self, host: Host, tasks: asyncio.TaskGroup, started: Callable[[], None]) -> None:
        async with aclosing(reflect(self._client, (POD, *KINDS))) as batches:
            async for batch in batches:
                if batch.kind != POD:
                    changed = self._objects.apply(batch)
                    for pod in self._pods:
                        pod.sandbox.objects_changed(changed)
                    self._trust(changed)
                    continue
                if batch.synced:
                    self._adopt_records(host, batch)
                for obj in batch.upserts:
                    self._upsert(host, tasks, obj)
                for ref in batch.deletes:
                    for pod in self._pods.named(*ref):
                        pod.vanish()
                if batch.synced:
                    if self._identities is not None:
                        self._identities.only({obj["metadata"]["uid"] for obj in batch.upserts} | self._pods.uids())
                    tasks.create_task(self._end_strangers(host, batch), name="strangers")
                    tasks.create_task(self._first_word(), name="first word on every pod")
                    started()

    def _trust(self, changed: set[tuple[str, str, str]]) -> None:
        """The roots of the mesh may be others. While there are none the last ones hold: the authority writes them."""
        if self._identities is not None and ROOTS in changed:
            _, namespace, name = ROOTS
            data = self._objects.within(namespace).data("ConfigMap", name) or {}
            if roots := data.get(ROOTS_KEY, b"").decode("ascii", "replace"):
                self._identities.trust(roots)

    def _upsert(self, host: Host, tasks: asyncio.TaskGroup, obj: dict[str, Any]) -> None:
        meta = obj["metadata"]
        for other in self._pods.named(meta["namespace"], meta["name"]):
            if other.record.uid != meta["uid"]:
                other.vanish()
        if (known := self._pods.get(meta["uid"])) is not None:
            known.update(obj)
            return
        node_name = obj["spec"].get("nodeName")
        if not node_name:
            if not meta.get("deletionTimestamp"):
                tasks.create_task(self._scheduler.schedule(obj), name=f"schedule {meta['name']}")
            return
        if node_name != NODE_NAME:
            return
        record = PodRecord.load(host.folders.pods / meta["uid"]) or PodRecord(
            uid=meta["uid"], namespace=meta["namespace"], name=meta["name"], created_at=time.time()
        )
        mine = {name: process for name, process in self._found.items() if name.startswith(f"pod/{meta['uid']}/")}
        pod = Pod(host, obj, record, mine)
        self._pods.add(pod)
        pod.update(obj)
        tasks.create_task(self._care(pod), name=f"pod {record.namespace}/{record.name}")

    async def _care(self, pod: Pod) -> None:
        """Run a pod; a fault of ours in one pod must not end the others."""
        while True:
            try:
                await pod.run()
                break
            except Exception:
                log.exception("pod %s/%s: begin again", pod.record.namespace, pod.record.name)
                await asyncio.sleep(_RETRY)
        self._pods.remove(pod)
        await self._forget_data(pod.object)

    async def _first_word(self) -> None:
        """After a new start of the machine the API still says what was true of the last: wait until it does not."""
        for pod in self._pods:
            await pod.announced()
        self._truthful.set()

    # what is left of earlier nodes

    def _adopt_records(self, host: Host, batch: Batch) -> None:
        """Before any new pod gets an address: those of the pods that run already."""
        for folder in host.folders.pods.iterdir():
            if not folder.name.startswith(".") and (record := PodRecord.load(folder)) and record.ip:
                host.addresses.claim(record.ip)
        known = {obj["metadata"]["uid"] for obj in batch.upserts}
        log.info("%d pods, %d processes of pods found", len(known), len(self._found))

    async def _end_strangers(self, host: Host, batch: Batch) -> None:
        """End pods whose object has gone while no node was there."""
        known = {obj["metadata"]["uid"] for obj in batch.upserts}
        strangers = {name.split("/")[1] for name in self._found} - known
        folders = [folder.name for folder in host.folders.pods.iterdir() if not folder.name.startswith(".")]
        for uid in strangers | (set(folders) - known):
            if self._pods.get(uid) is not None:
                continue
            record = PodRecord.load(host.folders.pods / uid) or PodRecord(
                uid=uid, namespace="", name="", created_at=0.0
            )
            await release_pod(host, record)
        self._found = {}

    async def _forget_data(self, obj: Mapping[str, Any]) -> None:
        """`persist:` data goes with its owner: the Deployment, or a pod of its own."""
        owner, namespace = owner_of(obj), obj["metadata"]["namespace"]
        kind, _, name = owner.partition(".")
        if any(owner_of(p.object) == owner and p.record.namespace == namespace for p in self._pods):
            return
        folder = Path(self._settings.state) / "volumes"
        if not (folder / namespace / owner).is_dir():
            return
        try:
            if kind == "deployment":
                await self._client.get(DEPLOYMENT, name, namespace)
                return
            if kind == "statefulset":
                return
        except NotFound:
            pass  # the owner is deleted: so is its data
        except ApiError as error:
            log.warning("data of %s/%s is kept: %s", namespace, owner, error)
            return
        await asyncio.to_thread(discard, folder, namespace, owner)

    # the parts

    def _host(self) -> Host:
        settings = self._settings
        state = Path(settings.state)
        folders = Folders(
            pods=RUN / "pods",
            logs=state / "logs" / "pods",
            volumes=state / "volumes",
            agent=RUN / "agent",
        )
        prepare_folders(folders)
        python = Path(settings.python)
        visible = [*python_folders(python), Path(settings.envoy), *self._visible]
        return Host(
            settings=settings,
            client=self._client,
            processes=self._processes,
            sandboxes=self._sandboxes,
            addresses=Addresses(settings.pod_network, [settings.bridge_ip]),
            images=self._images,
            layers=self._layers,
            base=make_base(folders.pods / ".base", python=python, visible=visible),
            objects=self._objects,
            events=self._events,
            folders=folders,
            holder=self._pods.holder,
            starts=asyncio.Semaphore(_STARTS_AT_ONCE),
            refused=(state, RUN),
            capturing=self._capturing,
            identities=self._identities,
        )

    def behind_sidecar(self, address: str) -> str | None:
        """The namespace of the pod at an address if its traffic is captured, else None."""
        for pod in self._pods:
            if pod.record.ip == address:
                return pod.record.namespace if self._capturing.captured(pod.object) else None
        return None
