"""What decides over requests and connections that reach a workload."""

from __future__ import annotations

from dataclasses import dataclass

from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter

from plait.xds.callers import Admission, Identity, callers
from plait.xds.slots import REFERENCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Over requests decide `requests`, in order: slots, or the filters themselves.

    Of connections that carry bytes `connections` decides; `admitted` is whom it may let through by identity.
    """

    requests: tuple[HttpFilter, ...] = ()
    connections: tuple[Filter, ...] = ()
    admitted: tuple[Admission, ...] | None = None

    def callers(self, port: int | None) -> tuple[Identity, ...] | None:
        """The only ones that may be let through to a port, of bytes; None: that cannot be said by identities alone."""
        return callers(self.admitted, port)


OPEN = Access()
"""Nothing is refused, and nothing can be without another listener."""
SLOTTED = Access(requests=REFERENCES)
"""Over requests decides what is in the slots."""
