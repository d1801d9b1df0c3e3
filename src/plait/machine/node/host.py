"""What the node offers to its pods: the parts every pod uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from plait.machine.images.table import TableError
from plait.machine.node.backoff import RestartBackoff

if TYPE_CHECKING:
    from plait.kube.client import Client
    from plait.machine.images.table import Image, Table
    from plait.machine.node.addresses import Addresses
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


class Images:
    """The image table in its newest state."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.problem: str | None = None

    def find(self, reference: str) -> Image | None:
        """The entry for a reference. A table that cannot be read leaves the last good one in use, and `problem`."""
        try:
            self._table = self._table.reloaded()
            self.problem = None
        except (TableError, OSError) as error:
            self.problem = str(error)
        return self._table.find(reference)


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

    `refused` are folders that no hostPath may show. `captured` says whether a pod's
    sidecar translates VIPs for it, `sandbox_rules` gives the text for nft of a new pod. Without `identities` no proxy
    gets a certificate.
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
    captured: Callable[[Mapping[str, Any]], bool]
    sandbox_rules: Callable[[Mapping[str, Any]], str]
    identities: Identities | None = None
    backoff: RestartBackoff = field(default_factory=RestartBackoff)
