"""What PeerAuthentications contribute to the snapshot: whom each is for and what it demands, all of it in one entry."""

from __future__ import annotations

from typing import NamedTuple

from plait.api.meta import ObjectKey
from plait.api.security import MTLSMode, MutualTLS, PeerAuthentication
from plait.kit.memo import Key
from plait.snapshot.contribution import Contribution, sorted_labels
from plait.snapshot.keys import Labels


class PeerEntry(NamedTuple):
    """Member of `peer_authentications`, the oldest first. No labels: it is for the whole namespace, or the mesh.

    `ports` are those of the workload with a mode of their own.
    """

    created: str
    name: str
    namespace: str
    selector: Labels
    mode: MTLSMode
    ports: tuple[tuple[int, MTLSMode], ...] = ()

    @property
    def key(self) -> ObjectKey:
        """The PeerAuthentication."""
        return ObjectKey("PeerAuthentication", self.namespace, self.name)


def peer_authentications(namespace: str) -> Key:
    """Set of PeerEntry of a namespace."""
    return ("peer-authentications", namespace)


def peer_authentication(found: PeerAuthentication, result: Contribution) -> None:
    """Its place among those of its namespace."""
    entry = entry_of(found)
    result.members.add((peer_authentications(entry.namespace), entry))


def entry_of(found: PeerAuthentication) -> PeerEntry:
    """Whom it is for, and what it demands."""
    meta, spec = found.metadata, found.spec
    selector = sorted_labels(spec.selector.match_labels) if spec.selector is not None else ()
    ports = tuple(sorted((int(port), _mode(tls)) for port, tls in (spec.port_level_mtls or {}).items()))
    return PeerEntry(meta.creation_timestamp, meta.name, meta.namespace, selector, _mode(spec.mtls), ports)


def _mode(tls: MutualTLS | None) -> MTLSMode:
    return tls.mode if tls is not None else "UNSET"
