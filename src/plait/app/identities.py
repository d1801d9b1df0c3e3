"""The machine's pods and istiod, as the agent is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from plait.agent.client import AgentClient
from plait.agent.protocol import Istiod, Workload
from plait.machine.services.dns_names import Names

#: istiod's Service, the name in its certificate, and the port on which it signs.
SERVICE: Final = ("istio-system", "istiod")
NAME: Final = "istiod.istio-system.svc"
PORT: Final = 15012


class Identities:
    """See `plait.machine.node.host.Identities`; `find` is to be called when Services have changed."""

    def __init__(self, agent: AgentClient, names: Names) -> None:
        self._agent = agent
        self._names = names
        self._roots = ""
        self._addresses: tuple[str, ...] = ()

    def begin(self, uid: str, *, name: str, token: str, folder: Path, seconds: int) -> None:
        """See the protocol."""
        self._agent.begin(Workload(uid=uid, name=name, token=token, folder=str(folder), seconds=seconds))

    def end(self, uid: str) -> None:
        """See the protocol."""
        self._agent.end(uid)

    def only(self, uids: set[str]) -> None:
        """See the protocol."""
        self._agent.only(uids)

    def trust(self, roots: str) -> None:
        """See the protocol."""
        self._roots = roots
        self._tell()

    def find(self) -> None:
        """Where istiod is now: its pods' own addresses, as its Service is headless."""
        entry = self._names.find(*SERVICE)
        hosts = entry.hosts if entry is not None and any(port.number == PORT for port in entry.ports) else ()
        self._addresses = tuple(f"{host.address}:{PORT}" for host in hosts)
        self._tell()

    def _tell(self) -> None:
        if self._roots:  # else the node has only begun, and the agent may know better
            self._agent.istiod(Istiod(addresses=self._addresses, name=NAME, roots=self._roots))
