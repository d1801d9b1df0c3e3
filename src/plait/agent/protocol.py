"""The words that the agent and who tells it of workloads exchange: JSON lines over a unix stream socket."""

from __future__ import annotations

import msgspec


class Workload(msgspec.Struct, frozen=True, kw_only=True, tag="workload", tag_field="op"):
    """A workload that needs an identity; said again, it brings a newer token.

    `uid` tells workloads apart, `name` is shown to people. `token` proves to istiod who it is. `seconds` is how long
    its certificates shall last, 0 the usual time. `folder` gets the unix socket, by which its proxy is known.
    """

    uid: str
    name: str
    token: str
    folder: str
    seconds: int = 0

    def __repr__(self) -> str:
        """Without the token."""
        return f"Workload({self.uid!r}, {self.name!r}, {self.folder!r}, seconds={self.seconds})"


class Gone(msgspec.Struct, frozen=True, kw_only=True, tag="gone", tag_field="op"):
    """A workload has ended; an unknown one is no error."""

    uid: str


class Only(msgspec.Struct, frozen=True, kw_only=True, tag="only", tag_field="op"):
    """All others have ended."""

    uids: tuple[str, ...]


class Istiod(msgspec.Struct, frozen=True, kw_only=True, tag="istiod", tag_field="op"):
    """Where certificates are signed: HOST:PORT each, by servers that have a certificate for `name` below `roots` (PEM).

    Without addresses, or without roots, nobody signs now.
    """

    addresses: tuple[str, ...] = ()
    name: str = ""
    roots: str = ""


class Trouble(msgspec.Struct, frozen=True, kw_only=True, tag="trouble", tag_field="op"):
    """Said by the agent: why a workload is without a certificate, or cannot renew it."""

    uid: str
    problem: str


Told = Workload | Gone | Only | Istiod
#: Of the agent's socket.
SOCKET = "control.sock"
#: Of a workload's socket in its folder; in the proxy's container that is `/var/run/secrets/workload-spiffe-uds`.
WORKLOAD_SOCKET = "socket"
