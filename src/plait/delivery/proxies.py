"""The proxies the builder knows of: who is connected, and how they fare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.delivery.metrics import SHORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from plait.delivery.frames import Alike
    from plait.delivery.standing import TypeStatus
    from plait.delivery.wire import Caller
    from plait.mesh.node import ProxyNode

#: Istio's words for the types in /debug/syncz.
_SYNCZ = {"cds": "cluster", "lds": "listener", "rds": "route", "eds": "endpoint", "ecds": "extensionconfig"}


@dataclass(slots=True, kw_only=True)
class Proxy:
    """One connected proxy."""

    connection: int
    caller: Caller
    views: tuple[str, ...]
    status: tuple[TypeStatus, ...] = ()

    @property
    def id(self) -> str:
        """`pod.namespace`, as people and Istio's tools name a proxy."""
        return f"{self.caller.node.pod}.{self.caller.node.namespace}"


class Proxies:
    """By connection; a proxy that reconnects may be there twice for a moment."""

    def __init__(self) -> None:
        self._known: dict[int, Proxy] = {}

    def __iter__(self) -> Iterator[Proxy]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def add(self, proxy: Proxy) -> None:
        """A proxy connected."""
        self._known[proxy.connection] = proxy

    def remove(self, connection: int) -> Proxy | None:
        """A stream is over."""
        return self._known.pop(connection, None)

    def get(self, connection: int) -> Proxy | None:
        """By connection."""
        return self._known.get(connection)

    def of(self, node: ProxyNode) -> tuple[Proxy, ...]:
        """The streams of one proxy."""
        return tuple(proxy for proxy in self if proxy.caller.node == node)

    def clear(self) -> tuple[Proxy, ...]:
        """All streams are over; who was there."""
        gone = tuple(self._known.values())
        self._known.clear()
        return gone

    def update(self, streams: Iterable[Alike]) -> None:
        """Take over new statuses; those of streams that ended meanwhile are dropped."""
        for alike in streams:
            for connection in alike.connections:
                if (proxy := self._known.get(connection)) is not None:
                    proxy.status = alike.status

    def find(self, identifier: str) -> Proxy | None:
        """By `pod.namespace` or node id; of two the one that connected last."""
        found = [proxy for proxy in self if identifier in {proxy.id, proxy.caller.node.id}]
        return max(found, key=lambda proxy: proxy.connection, default=None)

    def syncz(
        self, *, istiod: str, version: str, data_plane: Callable[[int], Mapping[str, Any]] = lambda _: {}
    ) -> list[dict[str, Any]]:
        """Istio's /debug/syncz, each proxy once; our own fields are under `plait`.

        `data_plane` says of a connection what is known beyond acknowledgements.
        """
        newest = {proxy.id: proxy for proxy in sorted(self, key=lambda proxy: proxy.connection)}
        return [_syncz(proxy, istiod, version, data_plane(proxy.connection)) for _, proxy in sorted(newest.items())]


def _syncz(proxy: Proxy, istiod: str, version: str, data_plane: Mapping[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "cluster_id": proxy.caller.cluster_id or "Kubernetes",
        "proxy": proxy.id,
        "proxy_type": proxy.caller.node.kind,
        "istio_version": proxy.caller.version or version,
    }
    own: dict[str, Any] = {}
    for status in proxy.status:
        short = SHORT.get(status.type_url, status.type_url)
        if word := _SYNCZ.get(short):
            answer |= {f"{word}_sent": status.sent_nonce, f"{word}_acked": status.acked_nonce}
        own[short] = {
            "status": status.state,
            "sent": {"nonce": status.sent_nonce, "version": status.sent_version},
            "acked": {"nonce": status.acked_nonce, "version": status.acked_version},
            "error": status.error,
            "rejected": list(status.rejected),
        }
    plait = {"id": proxy.caller.node.id, "istiod": istiod, "types": own}
    return answer | {"plait": plait | ({"data_plane": dict(data_plane)} if data_plane else {})}
