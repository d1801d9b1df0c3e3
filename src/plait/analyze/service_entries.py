"""ServiceEntries: addresses that TCP needs, protocols that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import labels, mappings, number, sequence, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import SERVICE_ENTRY
from plait.analyze.messages import ADDRESSES_REQUIRED, CONFLICTING_ENTRIES
from plait.analyze.world import Index, Item, World
from plait.snapshot.visibility import EVERYBODY, scopes

_LABEL: Final = "networking.istio.io/enable-autoallocate-ip"
_CAPTURE: Final = "ISTIO_META_DNS_CAPTURE"
_ALLOCATE: Final = "ISTIO_META_DNS_AUTO_ALLOCATE"
_ALLOCATE_IN_PILOT: Final = "PILOT_ENABLE_IP_AUTOALLOCATE"


def _check_addresses(world: World, item: Item) -> Iterator[Finding]:
    """Istio: unless addresses are allocated, connections of TCP are told apart by the entry's addresses alone."""
    if sequence(item.spec, "addresses") or sequence(item.obj, "status", "addresses") or _allocated(world, item):
        return
    for index, port in mappings(item.spec, "ports"):
        if text(port, "protocol").upper() in {"", "TCP"}:
            path = f"spec.ports[{index}]"
            fix = "spec.addresses: [240.240.0.1], or a protocol such as TLS that names its host"
            yield found(ADDRESSES_REQUIRED, item, path, fix=fix, port=number(port, "number"))


def _allocated(world: World, item: Item) -> bool:
    """Whether the entry will get an address."""
    if world.surroundings.allocates:
        wildcard = any(host.startswith("*") for host in texts(item.spec, "hosts"))
        return not wildcard and item.labels.get(_LABEL) != "false" and text(item.spec, "resolution") not in {"", "NONE"}
    said = labels(world.mesh_config, "defaultConfig", "proxyMetadata")
    if said.get(_CAPTURE) != "true":
        return False
    return "true" in {said.get(_ALLOCATE), said.get(_ALLOCATE_IN_PILOT)}


_BY_HOST: Final = Index((SERVICE_ENTRY,), lambda item, _: texts(item.spec, "hosts"))


def _check_protocols(world: World, item: Item) -> Iterator[Finding]:
    mine = scopes(texts(item.spec, "exportTo"), item.namespace)
    for host in texts(item.spec, "hosts"):
        beside = [other for other in world.find(_BY_HOST, host) if other is not item]
        for index, port in mappings(item.spec, "ports"):
            where = number(port, "number")
            entries = {item.full_name: {text(port, "protocol").upper()} | _protocols(item, where)}
            for other in beside:
                theirs = scopes(texts(other.spec, "exportTo"), other.namespace)
                if (mine & theirs or EVERYBODY in mine | theirs) and (spoken := _protocols(other, where)):
                    entries[other.full_name] = spoken
            protocols = set().union(*entries.values())
            if len(protocols) > 1:
                path = f"spec.ports[{index}].protocol"
                names = ", ".join(sorted(entries))
                yield found(
                    CONFLICTING_ENTRIES,
                    item,
                    path,
                    value=text(port, "protocol"),
                    entries=names,
                    port=where,
                    host=host,
                    protocols=", ".join(sorted(protocols)),
                )
                # Istio: once for each entry.
                return


def _protocols(item: Item, where: int) -> set[str]:
    return {
        text(port, "protocol").upper() for _, port in mappings(item.spec, "ports") if number(port, "number") == where
    }


ANALYZERS: Final = (
    Analyzer(
        name="serviceentry.Analyzer", messages=(ADDRESSES_REQUIRED,), subjects=(SERVICE_ENTRY,), check=_check_addresses
    ),
    Analyzer(
        name="serviceentry.ConflictingServiceEntryProtocolAnalyzer",
        messages=(CONFLICTING_ENTRIES,),
        subjects=(SERVICE_ENTRY,),
        check=_check_protocols,
    ),
)
