"""Whether Envoy would load resources: asked of Envoy itself, before anything is sent to a proxy.

`envoy --mode validate` reads a bootstrap with the resources in it, says what is wrong, and ends; nothing is bound and
nobody is called. Resources that were accepted once are known by the hash of their content and not asked about again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
)
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse
from google.protobuf.json_format import MessageToDict

from plait.trial.complaints import complaint
from plait.xds.encode import packed
from plait.xds.http_connection import HTTP_CONNECTION_MANAGER, ROUTER, http_filter
from plait.xds.resource import CDS, ECDS, LDS, RDS, Resource

#: Clusters of a proxy's own bootstrap that resources refer to.
_OF_BOOTSTRAP: Final = ("xds-grpc", "sds-grpc")
#: Where faults are mostly.
_LIKELY: Final = (LDS, ECDS, RDS, CDS)
#: How Envoy's words begin of a file that is not there.
_NO_FILE: Final = "Invalid path: "
#: So many proven resources are remembered, the newest: some hundred kilobytes.
_REMEMBERED: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A resource that Envoy would not load, and why, in its own words."""

    type_url: str
    name: str
    words: str


class Proofs:
    """Asks, and remembers what was accepted, in a file if one is named."""

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        #: Versions in the order in which they were proven.
        self._proven: dict[str, None] = {}
        if memory is not None:
            with suppress(OSError):  # a memory that is not there costs a trial
                self._proven = dict.fromkeys(memory.read_text(encoding="ascii").split()[-_REMEMBERED:])

    async def refused(self, resources: Iterable[Resource], *, seconds: float) -> tuple[Refused, ...]:
        """The first that Envoy would not load. Raises TimeoutError, and FileNotFoundError where there is no Envoy.

        Resources that name a file which is not here are passed over.
        Endpoints and credentials are not asked about: the one cannot be wrong, the other are checked where they come
        from.
        """
        asked = {each.version: each for each in resources if each.type_url in {LDS, CDS, RDS, ECDS}}
        new = [each for version, each in asked.items() if version not in self._proven]
        # What is in use is the newest again, so that it is the last to be forgotten.
        self._proven.update({version: self._proven.pop(version, None) for version in asked if version in self._proven})
        if not new:
            return ()
        async with asyncio.timeout(seconds):
            while new and (found := await self._among(new)) is not None:
                guilty, words = found
                if not words.startswith(_NO_FILE):
                    return (Refused(type_url=guilty.type_url, name=guilty.name, words=words),)
                # Which files there are in a pod is not known here; the proxy itself says what is missing.
                file = words.removeprefix(_NO_FILE).encode()
                new = [each for each in new if each is not guilty and file not in each.encoded]
        self._remember(each.version for each in new)
        return ()

    async def _among(self, resources: Sequence[Resource]) -> tuple[Resource, str] | None:
        words = await complaint(bootstrap(resources))
        if not words:
            return None
        # Envoy stops at the first fault and seldom names the resource: it is in one half or in the other.
        suspects = sorted(resources, key=lambda each: _LIKELY.index(each.type_url))
        while len(suspects) > 1:
            half = suspects[: len(suspects) // 2]
            said = await complaint(bootstrap(half))
            words, suspects = (said, half) if said else (words, suspects[len(half) :])
        return suspects[0], words

    def _remember(self, versions: Iterable[str]) -> None:
        self._proven.update(dict.fromkeys(versions))
        for version in list(self._proven)[: max(0, len(self._proven) - _REMEMBERED)]:
            del self._proven[version]
        if self._memory is not None:
            with suppress(OSError):  # as above
                self._memory.write_text("\n".join(self._proven), encoding="ascii")


def bootstrap(resources: Sequence[Resource]) -> dict[str, Any]:
    """A bootstrap with the resources in it; what they refer to by xDS is not asked for in this mode."""
    listeners: list[Listener] = []
    clusters: list[Cluster] = []
    taken: set[bytes] = set()
    for number, each in enumerate(resources):
        value = DeltaDiscoveryResponse.FromString(each.encoded).resources[0].resource.value
        match each.type_url:
            case _ if each.type_url == LDS:
                listener = Listener.FromString(value)
                # Proxies may have different listeners of one name, and here they are all of one.
                listener.name = f"{listener.name} {number}"
                _make_room(listener, number, taken)
                listeners.append(listener)
            case _ if each.type_url == CDS:
                clusters.append(Cluster.FromString(value))
            case _ if each.type_url == RDS:
                manager = HttpConnectionManager(route_config=RouteConfiguration.FromString(value))
                listeners.append(_listener(number, manager))
            case _:
                extension = TypedExtensionConfig.FromString(value)
                manager = HttpConnectionManager(route_config=RouteConfiguration(name="none"))
                manager.http_filters.append(HttpFilter(name=extension.name, typed_config=extension.typed_config))
                listeners.append(_listener(number, manager))
    known = {cluster.name: cluster for cluster in clusters}
    own = [Cluster(name=name, type=Cluster.STATIC) for name in _OF_BOOTSTRAP if name not in known]
    for cluster in own:
        cluster.connect_timeout.FromSeconds(1)
        cluster.load_assignment.cluster_name = cluster.name
    service = {"envoy_grpc": {"cluster_name": _OF_BOOTSTRAP[0]}}
    return {
        "node": {"id": "sidecar~127.0.0.1~proof.proof~proof.svc.cluster.local", "cluster": "proof"},
        "static_resources": {
            "listeners": [MessageToDict(each) for each in listeners],
            "clusters": [MessageToDict(each) for each in (*own, *known.values())],
        },
        "dynamic_resources": {
            "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [service]}
        },
        "layered_runtime": {
            "layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": 32768}}]
        },
    }


def _make_room(listener: Listener, number: int, taken: set[bytes]) -> None:
    """An address of its own for a listener whose address another one has.

    Two proxies, a sidecar and a gateway say, may each have a listener at 0.0.0.0:80; one Envoy may not. Addresses that
    are nobody else's stay, since Envoy judges them too.
    """
    for address in (listener.address, *(each.address for each in listener.additional_addresses)):
        said = address.SerializeToString(deterministic=True)
        if said in taken and address.HasField("socket_address"):
            high, low = divmod(number, 256)
            address.socket_address.address = f"127.{high // 256 % 256}.{high % 256}.{low}"
        taken.add(said)


def _listener(number: int, manager: HttpConnectionManager) -> Listener:
    manager.stat_prefix = "proof"
    manager.http_filters.append(http_filter(ROUTER, Router()))
    listener = Listener(name=f"proof {number}")
    listener.address.pipe.path = f"@proof-{number}"
    listener.filter_chains.add().filters.append(Filter(name=HTTP_CONNECTION_MANAGER, typed_config=packed(manager)))
    return listener
