"""Addresses for hosts of ServiceEntries that have none, so that connections to them can be told apart.

Istio's rules: 240.240.0.0/16, which leads nowhere outside the mesh; written into `status.addresses` (Istio 1.25 and
later), so that an address stays the host's as long as its entry lives. IPv6 is closed in pods, so only IPv4 is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Final, TypeAlias

from plait.api.meta import ObjectKey
from plait.api.serviceentry import ServiceEntry
from plait.kit.digest import content_hash
from plait.snapshot.entries import needs_address

NETWORK: Final = IPv4Network("240.240.0.0/16")
_USABLE: Final = NETWORK.num_addresses - 2

Addresses: TypeAlias = tuple[tuple[str, str], ...]
"""(host, address) of one entry, in the order of its hosts."""


class Allocator:
    """Who has which address. It follows what entries say of themselves, and names those whose status is to change."""

    def __init__(self) -> None:
        self._owner: dict[str, tuple[ObjectKey, str]] = {}
        self._held: dict[ObjectKey, dict[str, str]] = {}

    def put(self, key: ObjectKey, entry: ServiceEntry) -> Addresses | None:
        """Take over an entry as it is now. What its status should say instead, None when it is right.

        To begin with, put all entries with addresses before the others: what one says it has counts.
        """
        wanted = list(dict.fromkeys(host.lower() for host in entry.spec.hosts if needs_address(entry, host)))
        said = [(item.host.lower(), item.value) for item in entry.status.addresses]
        before = self._held.get(key, {})
        self.remove(key)
        held: dict[str, str] = {}
        for host in wanted:
            written = next((value for name, value in said if name == host and _is_ours(value)), before.get(host, ""))
            if not written or written in self._owner:
                written = self._free(f"{key.namespace}/{key.name}/{host}")
            if written:
                self._owner[written] = (key, host)
                held[host] = written
        self._held[key] = held
        right = [item for item in said if held.get(item[0]) == item[1] or (item[0] in held and ":" in item[1])]
        if right == said and {host for host, value in said if ":" not in value} == held.keys():
            return None
        return tuple(held.items())

    def remove(self, key: ObjectKey) -> None:
        """Give back what an entry had."""
        for address in self._held.pop(key, {}).values():
            del self._owner[address]

    def _free(self, name: str) -> str:
        """The same address for the same name as long as nobody else has it; empty when all are given away."""
        start = int(content_hash(name.encode()), 16) % _USABLE
        if len(self._owner) >= _USABLE:
            return ""
        first = int(NETWORK.network_address) + 1
        places = ((start + step) % _USABLE for step in range(_USABLE))
        return next(text for place in places if (text := str(IPv4Address(first + place))) not in self._owner)


def _is_ours(text: str) -> bool:
    try:
        return IPv4Address(text) in NETWORK
    except ValueError:
        return False


def in_order(entries: Iterable[tuple[ObjectKey, ServiceEntry]]) -> list[tuple[ObjectKey, ServiceEntry]]:
    """Entries as a beginning Allocator should see them: those with addresses first, the oldest before others."""
    return sorted(
        entries, key=lambda item: (not item[1].status.addresses, item[1].metadata.creation_timestamp, item[0])
    )
