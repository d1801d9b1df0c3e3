"""How far proxies are in step with the control plane: rows of /debug/syncz, and a comparison of two dumps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from plait.proxy import dump as dumps
from plait.xds.names import PROBE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

TYPES = ("cds", "lds", "eds", "rds", "ecds")
_SYNCZ = {"cds": "cluster", "lds": "listener", "eds": "endpoint", "rds": "route", "ecds": "extensionconfig"}


class SyncRow(NamedTuple):
    """One line of `proxy-status`."""

    name: str
    cluster: str
    cds: str
    lds: str
    eds: str
    rds: str
    ecds: str
    istiod: str
    version: str
    settled: str = ""


def sync_rows(proxies: Iterable[Mapping[str, Any]], *, istiod: str) -> list[SyncRow]:
    """Rows of one control plane's syncz, by name."""
    rows = []
    for proxy in proxies:
        cds, lds, eds, rds, ecds = (type_state(proxy, short) for short in TYPES)
        rows.append(
            SyncRow(
                name=str(proxy.get("proxy", "")),
                cluster=str(proxy.get("cluster_id", "")),
                cds=cds,
                lds=lds,
                eds=eds,
                rds=rds,
                ecds=ecds,
                istiod=str((proxy.get("plait") or {}).get("istiod") or istiod),
                version=str(proxy.get("istio_version", "")),
                settled=_settled(proxy),
            )
        )
    return sorted(rows)


def type_state(proxy: Mapping[str, Any], short: str) -> str:
    """SYNCED, STALE, NACK, NOT SENT, or IGNORED for a type the proxy did not ask for."""
    own = proxy.get("plait")
    if own is not None:
        state = (own.get("types") or {}).get(short)
        return str(state["status"]) if state else "IGNORED"
    word = _SYNCZ[short]
    sent, acked = proxy.get(f"{word}_sent") or "", proxy.get(f"{word}_acked") or ""
    if not sent:
        return "NOT SENT"
    return "SYNCED" if sent == acked else "STALE"


def _settled(proxy: Mapping[str, Any]) -> str:
    """YES, WAITING, WARMING or NO ANSWER; empty where the control plane does not say."""
    found = (proxy.get("plait") or {}).get("data_plane") or {}
    state = str(found.get("status", ""))
    return "YES" if state == "SETTLED" else state


def unanswered(proxies: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each proxy that acknowledges but whose data plane does not answer: which, and why."""
    lines = []
    for proxy in sorted(proxies, key=lambda each: str(each.get("proxy", ""))):
        found = (proxy.get("plait") or {}).get("data_plane") or {}
        if found.get("error"):
            lines.append(f"{proxy.get('proxy')}: its data plane could not be asked: {found['error']}")
    return lines


def refusals(proxies: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line per type that a proxy refused: what, and why."""
    lines = []
    for proxy in sorted(proxies, key=lambda each: str(each.get("proxy", ""))):
        types = (proxy.get("plait") or {}).get("types") or {}
        for short in TYPES:
            state = types.get(short) or {}
            if state.get("error"):
                names = ", ".join(name for name in state.get("rejected") or () if name)
                lines.append(f"{proxy.get('proxy')}: {short.upper()} {names} refused: {state['error']}")
    return lines


def compare(wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> dict[str, list[str]]:
    """What differs between the control plane's dump and Envoy's, by kind of resource; equal kinds have no lines.

    Versions are content hashes, so equal versions are equal resources. Static resources have no version, and the
    probe's are no part of the mesh's configuration.
    """
    kinds: dict[str, tuple[Callable[[Mapping[str, Any]], list[dumps.Entry]], str]] = {
        "Clusters": (dumps.clusters, "name"),
        "Listeners": (dumps.listeners, "name"),
        "Routes": (dumps.routes, "name"),
        "Endpoints": (dumps.endpoints, "cluster_name"),
        "Extensions": (dumps.extensions, "name"),
    }
    answer = {}
    for kind, (read, key) in kinds.items():
        ours = {_name(entry, key): entry for entry in read(wanted)}
        its = {_name(entry, key): entry for entry in read(actual) if entry.version and _name(entry, key) != PROBE}
        # A proxy asks for what it refers to, but for clusters and listeners, of which it has all there are.
        asked = ours.keys() if kind in {"Clusters", "Listeners"} else ours.keys() & its.keys()
        lines = [f"{name}: missing in the proxy" for name in sorted(asked - its.keys())]
        lines += [f"{name}: only in the proxy" for name in sorted(its.keys() - ours.keys())]
        lines += [
            f"{name}: proxy has version {its[name].version}, istiod {ours[name].version}"
            for name in sorted(asked & its.keys())
            if its[name].version != ours[name].version
            # Envoy goes on showing the first version of a listener of which only filter chains have changed since.
            and not (kind == "Listeners" and its[name].resource == ours[name].resource)
        ]
        answer[kind] = lines
    return answer


def _name(entry: dumps.Entry, key: str) -> str:
    return str(entry.resource.get(key) or entry.resource.get("name") or "")
