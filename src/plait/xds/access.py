"""What decides over requests and connections that reach a workload, in the order in which it does (Istio's)."""

from __future__ import annotations

from dataclasses import dataclass

from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter

from plait.xds.callers import Admission, Identity, callers


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Of requests: `asking` asks others (CUSTOM), `tokens` checks tokens, `rules` are the mesh's own
    (AUDIT, DENY, ALLOW).

    Of connections that carry bytes `connections` decides; `admitted` is whom it may let through by identity.
    """

    asking: tuple[HttpFilter, ...] = ()
    tokens: tuple[HttpFilter, ...] = ()
    rules: tuple[HttpFilter, ...] = ()
    connections: tuple[Filter, ...] = ()
    admitted: tuple[Admission, ...] | None = None

    @property
    def requests(self) -> tuple[HttpFilter, ...]:
        """All that decides over requests, in order."""
        return (*self.asking, *self.tokens, *self.rules)

    def callers(self, port: int | None) -> tuple[Identity, ...] | None:
        """The only ones that may be let through to a port, of bytes; None: that cannot be said by identities alone."""
        return callers(self.admitted, port)


OPEN = Access()
"""Nothing is refused."""
