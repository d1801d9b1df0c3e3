"""From a container's specification to everything its start script needs."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from plait.kube.errors import ApiError
from plait.kube.kinds import NODE
from plait.machine.images.table import argv
from plait.machine.init.protocol import Spawn
from plait.machine.node import persist
from plait.machine.node.bootstrap_check import bootstrap_fault
from plait.machine.node.environment import ConfigError, base_variables, environment, service_variables
from plait.machine.node.fstab import fstab, overlay_mounts, place_mounts
from plait.machine.node.host import NODE_NAME
from plait.machine.node.limiting import out_of_memory
from plait.machine.node.programs import write_programs
from plait.machine.node.proxy import (
    BOOTSTRAP_PATH,
    PROXY_DNS_PORT,
    bootstrap_patchers,
    is_sidecar_proxy,
    proxy_bootstrap,
    proxy_command,
)
from plait.machine.node.record import Terminated, write_private
from plait.machine.node.roots import POD_FILES, Mount, make_root
from plait.machine.node.script import FAILED, start_script
from plait.machine.node.security import Identity, SecurityError, identity, on_one_uid
from plait.machine.node.volumes import VolumeError
from plait.machine.settings import TOOLS
from plait.mesh.locality import NOWHERE, Locality, of_labels

if TYPE_CHECKING:
    from plait.machine.images.table import Image
    from plait.machine.init.protocol import Process
    from plait.machine.node.context import ContainerContext, PodContext
    from plait.machine.node.identity import PodIdentity
    from plait.machine.node.pod_sandbox import PodSandbox

_TERMINATION_LOG = "/dev/termination-log"
_MESSAGE_LIMIT = 4096


class StartError(Exception):
    """A container cannot be started now: `reason` is for its waiting state, `event` and `event_text` for an event."""

    def __init__(self, reason: str, message: str, *, event: str = "Failed", event_text: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.event = event
        self.event_text = event_text or f"Error: {message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A container that can be started by the script in its folder, and as whom it runs."""

    folder: Path
    identity: Identity
    env: Mapping[str, str]
    workdir: str
    stdin: Literal["none", "pipe", "terminal"] = "none"
    stdin_once: bool = False

    def spawn(self, *, name: str, argv: tuple[str, ...], log: str) -> Spawn:
        """The request to init."""
        return Spawn(
            name=name,
            argv=argv,
            env={"PATH": TOOLS},
            log=log,
            forks=True,
            stdin=self.stdin,
            stdin_once=self.stdin_once,
            owner=self.identity.uid,
        )


async def create(
    container: ContainerContext, sandbox: PodSandbox, image: Image, layers: tuple[Path, ...], *, only_plan: bool = False
) -> Created:
    """Lay out a container's file system and write its start script; `only_plan` touches no files.

    Raises StartError, and ApiError where the API has to be asked and does not answer.
    """
    pod, spec = container.pod, container.spec
    host = pod.host
    try:
        who = identity(pod.object, spec, image_user=image.user)
    except SecurityError as error:
        raise StartError("CreateContainerConfigError", str(error)) from error
    if host.settings.one_uid:
        who = on_one_uid(who, marks=image.role == "proxy" and is_sidecar_proxy(tuple(spec.get("args") or ())))
    env = await _environment(container, image, who)
    workdir = spec.get("workingDir") or image.workdir
    folder = container.folder
    terminal = bool(spec.get("tty"))
    if terminal:
        env = {"TERM": "xterm", **env}
    made = Created(
        folder=folder,
        identity=who,
        env=env,
        workdir=workdir,
        stdin="terminal" if terminal else "pipe" if spec.get("stdin") else "none",
        stdin_once=bool(spec.get("stdinOnce")),
    )
    if only_plan:
        return made
    if who.withheld and container.record.attempt < 0:
        text = f"{', '.join(who.withheld)} of the securityContext is not given on this machine"
        host.events.pod(pod.object, "SecurityContext", text, kind="Warning", container=container.name)
    if folder.exists():
        await asyncio.to_thread(shutil.rmtree, folder)
    folder.mkdir(parents=True)
    proxy = image.role == "proxy"
    words = _words(container, image, env)
    mounts = [*_pod_mounts(pod), *await _volumes(container, sandbox, image, layers=layers, who=who, env=env)]
    if proxy:
        mounts.append(await _proxy_mount(container, sandbox.identity, env, who))
        mounts += [sandbox.identity.mount] if sandbox.identity.wanted else []
    root = make_root(folder, host.base, layers, host.folders.links)
    write_programs(root, image.programs, python=host.settings.python)
    placed = place_mounts(root, [*host.base.mounts, *mounts])
    _termination_log(root.sections[0][1][0])
    lines = fstab(root, [*overlay_mounts(root, read_only=who.read_only_root), *placed])
    (folder / "fstab").write_text(lines)
    script = start_script(folder, argv=words, env=env, workdir=workdir, setpriv=who.setpriv(), terminal=terminal)
    write_private(folder / "start.sh", script.encode("utf-8", "surrogateescape"))
    return made


def terminated(container: ContainerContext, process: Process) -> Terminated:
    """What the end of a container's process means."""
    folder, code = container.folder, process.exit_code or 0
    reason, message = "Completed" if code == 0 else "Error", _message(folder)
    if code == FAILED and (problem := _text(folder / "start.err")):
        code, reason, message = 128, "StartError", f'failed to start container "{container.name}": {problem}'
    elif code != 0 and out_of_memory(container.pod.host.settings.ground, container.group):
        reason = "OOMKilled"
    return Terminated(
        exit_code=code,
        reason=reason,
        message=message,
        signal=process.signal,
        started_at=process.started_at,
        finished_at=process.ended_at or time.time(),
        container_id=container.id,
    )


async def _environment(container: ContainerContext, image: Image, who: Identity) -> dict[str, str]:
    pod = container.pod
    host, namespace = pod.host, pod.record.namespace
    await pod.prefetch()
    linked = pod.object["spec"].get("enableServiceLinks") is not False
    base = base_variables(
        hostname=pod.hostname,
        uid=who.uid,
        image=image.env,
        services=service_variables(host.objects.services(namespace)) if linked else {},
        api=(str(host.settings.api_vip), 443),
    )
    try:
        return environment(
            pod.object,
            container.spec,
            base=base,
            sources=host.objects.within(namespace),
            node=pod.node_fields,
        )
    except ConfigError as error:
        raise StartError("CreateContainerConfigError", str(error)) from error
    except ValueError as error:
        raise StartError("CreateContainerConfigError", f"resourceFieldRef: {error}") from error


def _words(container: ContainerContext, image: Image, env: Mapping[str, str]) -> tuple[str, ...]:
    settings = container.pod.host.settings
    command, args = container.spec.get("command") or (), container.spec.get("args") or ()
    if image.role == "proxy" and not command:
        return proxy_command(settings.envoy, args)
    if image.role == "pause" and not command:
        return ("sleep", "infinity")
    words = argv(image, command, args, env, python=settings.python)
    if not words:
        raise StartError(
            "CreateContainerError",
            "no command specified: neither the pod nor the image table says what to run",
        )
    return words


def _pod_mounts(pod: PodContext) -> list[Mount]:
    files = [Mount(source=str(pod.folder / name), target=f"/etc/{name}") for name in POD_FILES]
    return [*files, Mount(source=str(pod.folder / "shm"), target="/dev/shm")]  # noqa: S108  (the pod's own)


async def _volumes(
    container: ContainerContext,
    sandbox: PodSandbox,
    image: Image,
    *,
    layers: tuple[Path, ...],
    who: Identity,
    env: Mapping[str, str],
) -> list[Mount]:
    pod = container.pod
    try:
        mounts = sandbox.volumes.mounts(container.spec, env)
    except VolumeError as error:
        raise StartError("ContainerCreating", str(error), event="FailedMount", event_text=str(error)) from error
    own = {mount.target.rstrip("/") for mount in mounts}
    kept = [path for path in image.persist if path.rstrip("/") not in own]
    if not kept:
        return mounts
    volumes = pod.host.folders.volumes
    place = await asyncio.to_thread(persist.claim, volumes, pod.object, pod.host.holder)
    if place is None:
        text = f"the pod before this one still has the data of {persist.owner_of(pod.object)}; waiting for its end"
        raise StartError("ContainerCreating", text, event="FailedAttachVolume", event_text=text)
    for path in kept:
        user = (who.uid, who.fs_group or who.gid)
        source = await asyncio.to_thread(
            persist.persistent_folder, place, container.name, path, layers=layers, user=user
        )
        mounts.append(Mount(source=str(source), target=path))
    return mounts


async def _proxy_mount(container: ContainerContext, known: PodIdentity, env: Mapping[str, str], who: Identity) -> Mount:
    """Envoy's bootstrap, which only Envoy may read."""
    pod, folder = container.pod, container.folder
    ip = pod.record.ip or ""
    token = await known.token()
    args, marks = tuple(container.spec.get("args") or ()), pod.host.settings.one_uid
    resolver = f"{pod.host.settings.bridge_ip}:{PROXY_DNS_PORT}"
    machine = await _place_of_machine(pod)
    made = partial(
        proxy_bootstrap,
        pod.object,
        args,
        env,
        ip=ip,
        marks=marks,
        resolver=resolver,
        machine=machine,
        certificates=known.wanted,
    )
    patchers = bootstrap_patchers(env)
    nobody = ""
    fault = await bootstrap_fault(pod.host.settings.envoy, made(token=nobody), who) if patchers else ""
    if fault:
        told = f"EnvoyFilter {', '.join(patchers)}: Envoy refused the bootstrap, the proxy starts without them: {fault}"
        pod.host.events.pod(pod.object, "ProxyRejected", told, kind="Warning", container=container.name)
    text = made(token=token, patches=not fault)
    write_private(folder / "bootstrap.json", text.encode(), mode=0o400, uid=who.uid, gid=who.gid)
    return Mount(source=str(folder / "bootstrap.json"), target=BOOTSTRAP_PATH, options="bind,ro")


async def _place_of_machine(pod: PodContext) -> Locality:
    """Where the Node is, by its labels of this moment, if the pod does not say it itself."""
    if of_labels(pod.object["metadata"].get("labels") or {}).region:
        return NOWHERE
    try:
        node = await pod.host.client.get(NODE, NODE_NAME)
    except ApiError:
        return NOWHERE
    return of_labels(node["metadata"].get("labels") or {})


def _termination_log(upper: Path) -> None:
    place = upper / _TERMINATION_LOG.lstrip("/")
    if place.parent.is_dir():
        place.touch()
        place.chmod(0o666)


def _message(folder: Path) -> str:
    return _text(folder / "upper0" / _TERMINATION_LOG.lstrip("/"))


def _text(path: Path) -> str:
    """The end of a small file that a container may have written; it is not followed if it is a link."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read(_MESSAGE_LIMIT).decode("utf-8", "replace").strip()
    except OSError:
        return ""
