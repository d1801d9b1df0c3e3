"""A /config_dump, taken apart: which resources it holds, with the versions they came in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from plait.xds.names import PROBE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = dict[str, Any]
_PROBED = ("dynamic_listeners", "dynamic_route_configs")


class Entry(NamedTuple):
    """One resource and its version; static ones have none."""

    version: str
    resource: Json


def sections(dump: Mapping[str, Any], name: str) -> Iterator[Json]:
    """The parts of a kind, for example `ClustersConfigDump`."""
    for part in dump.get("configs") or ():
        if str(part.get("@type") or "").endswith(f".{name}"):
            yield part


def without_probe(dump: Json) -> Json:
    """Without what istiod asks a proxy through: no part of the mesh, and the path of its route is a secret."""

    def ours(entry: Json) -> bool:
        return PROBE in {entry.get("name"), (entry.get("route_config") or {}).get("name")}

    if "configs" not in dump:
        return dump
    return dump | {
        "configs": [
            part | {group: [each for each in part[group] if not ours(each)] for group in _PROBED if group in part}
            for part in dump["configs"]
        ]
    }


def clusters(dump: Mapping[str, Any]) -> list[Entry]:
    """Active clusters, static ones included."""
    return [
        Entry(entry.get("version_info", ""), entry["cluster"])
        for part in sections(dump, "ClustersConfigDump")
        for group in ("static_clusters", "dynamic_active_clusters")
        for entry in part.get(group) or ()
    ]


def listeners(dump: Mapping[str, Any]) -> list[Entry]:
    """Active listeners, static ones included."""
    found = []
    for part in sections(dump, "ListenersConfigDump"):
        found += [Entry("", entry["listener"]) for entry in part.get("static_listeners") or ()]
        for entry in part.get("dynamic_listeners") or ():
            state = entry.get("active_state")
            if state is not None:
                found.append(Entry(state.get("version_info", ""), state["listener"]))
    return found


def routes(dump: Mapping[str, Any]) -> list[Entry]:
    """Route configurations, those written inside listeners included."""
    return [
        Entry(entry.get("version_info", ""), entry["route_config"])
        for part in sections(dump, "RoutesConfigDump")
        for group in ("static_route_configs", "dynamic_route_configs")
        for entry in part.get(group) or ()
    ]


def endpoints(dump: Mapping[str, Any]) -> list[Entry]:
    """Endpoint sets that came by EDS."""
    return [
        Entry(entry.get("version_info", ""), entry["endpoint_config"])
        for part in sections(dump, "EndpointsConfigDump")
        for entry in part.get("dynamic_endpoint_configs") or ()
    ]


def extensions(dump: Mapping[str, Any]) -> list[Entry]:
    """Configurations of filters that came by ECDS."""
    return [
        Entry(entry.get("version_info", ""), entry["ecds_filter"])
        for part in sections(dump, "EcdsConfigDump")
        for entry in part.get("ecds_filters") or ()
    ]


def bootstrap(dump: Mapping[str, Any]) -> Json:
    """The bootstrap; empty when the dump has none."""
    return next((part.get("bootstrap") or {} for part in sections(dump, "BootstrapConfigDump")), {})


def waiting(dump: Mapping[str, Any]) -> list[str]:
    """Names of clusters and listeners that are still warming: acknowledged, but not in effect."""
    names = [
        entry["cluster"].get("name", "")
        for part in sections(dump, "ClustersConfigDump")
        for entry in part.get("dynamic_warming_clusters") or ()
    ]
    for part in sections(dump, "ListenersConfigDump"):
        names += [entry["name"] for entry in part.get("dynamic_listeners") or () if "warming_state" in entry]
    return names
