"""What the node offers to its pods: the parts every pod uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from plait.machine.node.backoff import RestartBackoff

if TYPE_CHECKING:
    from plait.kube.client import Client
    from plait.machine.images.table import Images
    from plait.machine.node.addresses import Addresses
    from plait.machine.node.capturing import Capturing
    from plait.machine.node.events import Events
    from plait.machine.node.objects import Objects
    from plait.machine.node.persist import Holder
    from plait.machine.node.processes import Processes
    from plait.machine.node.roots import Base
    from plait.machine.node.sandbox import Sandboxes
    from plait.machine.settings import MachineSettings

#: Name of the one Node object.
NODE_NAME = "plait"


class LayerSource(Protocol):
    """Debian packages as folders to lay over a root; `layers.Layers` is one."""

    def find(self, packages: Sequence[str]) -> tuple[Path, ...] | None:
        """The folders, topmost first; None where they must be made first."""
        ...

    async def ensure(
        self, packages: Sequence[str], progress: Callable[[str], None] = lambda _: None
    ) -> tuple[Path, ...]:
        """The folders, made if need be. Raises LayerError."""
        ...


class Identities(Protocol):
    """Who gets certificates for the pods' proxies, and gives them out."""

    def begin(self, uid: str, *, name: str, token: str, folder: Path, seconds: int) -> None:
        """A pod is there, or has a newer token; certificates for so many seconds, 0: the usual time."""
        ...

    def end(self, uid: str) -> None:
        """It is gone."""
        ...

    def only(self, uids: set[str]) -> None:
        """No other pods are there."""
        ...

    def trust(self, roots: str) -> None:
        """The roots of the mesh are these (PEM)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where the node keeps things: `pods` on a tmpfs, `logs` and `volumes` in the mesh's state folder.

    `agent` has a folder for the socket of each pod's proxy.
    """

    pods: Path
    logs: Path
    volumes: Path
    agent: Path

    @property
    def links(self) -> Path:
        """Short names of image layers."""
        return self.pods / ".layers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """See the module. `holder` tells whether a pod lives, by uid; `starts` bounds how many processes start at once.

    `refused` are folders that no hostPath may show. Without `identities` no proxy gets a certificate.
    """

    settings: MachineSettings
    client: Client
    processes: Processes
    sandboxes: Sandboxes
    addresses: Addresses
    images: Images
    layers: LayerSource
    base: Base
    objects: Objects
    events: Events
    folders: Folders
    holder: Callable[[str], Holder]
    starts: asyncio.Semaphore
    refused: tuple[Path, ...]
    capturing: Capturing
    identities: Identities | None = None
    backoff: RestartBackoff = field(default_factory=RestartBackoff)
