"""What the node remembers of a pod: enough to find it again after a restart of the node, and to write its status.

The record lies as JSON on a tmpfs of the node namespace, so it lives exactly as long as the processes it speaks of.
Times are seconds since the epoch.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path

import msgspec


class Waiting(msgspec.Struct, frozen=True, kw_only=True, tag="waiting"):
    """Not running yet or not again, for a reason in the kubelet's words, such as `CrashLoopBackOff`."""

    reason: str = "ContainerCreating"
    message: str = ""


class Running(msgspec.Struct, frozen=True, kw_only=True, tag="running"):
    """The process runs."""

    started_at: float


class Terminated(msgspec.Struct, frozen=True, kw_only=True, tag="terminated"):
    """The process has ended; `reason` is `Completed`, `Error`, `OOMKilled`, `StartError` or `Unknown`."""

    exit_code: int
    reason: str
    started_at: float | None
    finished_at: float
    message: str = ""
    signal: int | None = None
    container_id: str = ""


class ContainerRecord(msgspec.Struct, kw_only=True):
    """One container: what it does now and what it did last.

    `attempt` numbers the processes of the container from 0 and names their logs; -1 before the first. `failures`
    counts ends in a row for the back-off. `started` is what the startup probe says, `ready` the readiness probe.
    """

    name: str
    image: str = ""
    state: Waiting | Running | Terminated = Waiting(reason="PodInitializing")
    last: Terminated | None = None
    attempt: int = -1
    restarts: int = 0
    failures: int = 0
    started: bool = False
    ready: bool = False


def running_time() -> float:
    """Seconds since the machine started, with those it slept. Unlike a monotonic clock's they outlive no boot, unlike
    the wall clock's nobody sets them.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class PodRecord(msgspec.Struct, kw_only=True):
    """One pod. `network` says that its namespaces are complete, `completed` that it will not run again.

    `created_at` is the wall clock's, to be shown; `began` is for measuring: a clock that jumps does not move it.
    """

    uid: str
    namespace: str
    name: str
    created_at: float
    began: float = msgspec.field(default_factory=running_time)
    ip: str | None = None
    network: bool = False
    initialized: bool = False
    completed: bool = False
    #: Why the pod as a whole has failed, where it is not for what its containers did.
    reason: str = ""
    message: str = ""
    containers: dict[str, ContainerRecord] = {}

    def container(self, name: str) -> ContainerRecord:
        """The record of a container, made when first asked for."""
        return self.containers.setdefault(name, ContainerRecord(name=name))

    def save(self, folder: Path) -> None:
        """Write `pod.json` into the pod's folder, whole or not at all."""
        temporary = folder / "pod.json.new"
        temporary.write_bytes(msgspec.json.encode(self))
        temporary.replace(folder / "pod.json")

    @classmethod
    def load(cls, folder: Path) -> PodRecord | None:
        """The record in a pod's folder; None where there is none that can be read."""
        try:
            return msgspec.json.decode((folder / "pod.json").read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError):
            return None


def container_id(uid: str, name: str, attempt: int) -> str:
    """A container's identity for `status.containerStatuses[].containerID`; another one after each restart."""
    return "plait://" + sha256(f"{uid}/{name}/{attempt}".encode()).hexdigest()


def process_name(uid: str, container: str, attempt: int) -> str:
    """How init calls the process of a container."""
    return f"pod/{uid}/{container}/{attempt}"


def pause_name(uid: str) -> str:
    """How init calls the process that holds a pod's namespaces."""
    return f"pod/{uid}/pause"


def log_folder(logs: Path, namespace: str, pod: str, uid: str) -> Path:
    """The logs of a pod, `CONTAINER/ATTEMPT.log` below it: the kubelet's layout."""
    return logs / f"{namespace}_{pod}_{uid}"


def timestamp(seconds: float) -> str:
    """A time as Kubernetes writes it, in whole seconds of UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def write_private(path: Path, content: bytes, *, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
    """Write a file that others never see, not even for a moment; replaces an older one."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), mode)
    temporary.replace(path)
