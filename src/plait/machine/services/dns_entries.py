"""Names of ServiceEntries: hosts outside the cluster's zone that have addresses of the mesh's own.

They are answered to programs whose sidecar knows what the addresses mean; to everybody else, sidecars included, a host
is what DNS says of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Final

from plait.machine.services.dns_message import Answer, Question, Record, Type

_TTL: Final = 30
_EVERYBODY: Final = "*"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One host of one ServiceEntry; the oldest entry comes first."""

    created: str
    namespace: str
    name: str
    addresses: tuple[IPv4Address, ...]
    scopes: tuple[str, ...]

    def seen_from(self, namespace: str) -> bool:
        """Whether the entry is exported to callers in `namespace`."""
        return _EVERYBODY in self.scopes or namespace in self.scopes


class EntryNames:
    """The hosts of ServiceEntries. An update costs what changed."""

    def __init__(self) -> None:
        self._hosts: dict[tuple[str, str], tuple[str, ...]] = {}
        self._entries: dict[str, dict[tuple[str, str], Entry]] = {}

    def update(self, obj: Mapping[str, Any]) -> None:
        """Put in a ServiceEntry in place of what was known of it."""
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        namespace, name = metadata.get("namespace") or "default", metadata["name"]
        self.remove(namespace, name)
        scopes = tuple(namespace if scope == "." else scope for scope in spec.get("exportTo") or (_EVERYBODY,))
        hosts: list[str] = []
        for host in dict.fromkeys(str(item).lower().rstrip(".") for item in spec.get("hosts") or ()):
            addresses = _addresses(obj, host)
            if addresses:
                entry = Entry(metadata.get("creationTimestamp") or "", namespace, name, addresses, scopes)
                self._entries.setdefault(host, {})[namespace, name] = entry
                hosts.append(host)
        if hosts:
            self._hosts[namespace, name] = tuple(hosts)

    def remove(self, namespace: str, name: str) -> None:
        """Forget a ServiceEntry; one that is not known is no error."""
        for host in self._hosts.pop((namespace, name), ()):
            known = self._entries[host]
            del known[namespace, name]
            if not known:
                del self._entries[host]

    def knows(self, name: tuple[str, ...]) -> bool:
        """Whether any ServiceEntry speaks of `name`: a cheap question before it is asked who wants to know."""
        return any(pattern in self._entries for pattern in _patterns(name))

    def resolve(self, question: Question, namespace: str) -> Answer | None:
        """The answer for callers in `namespace`; None where no entry that they see has the name."""
        for pattern in _patterns(question.name):
            seen = [entry for entry in self._entries.get(pattern, {}).values() if entry.seen_from(namespace)]
            if seen:
                return _answer(question.type, min(seen).addresses)
        return None


def _answer(type_: int, addresses: tuple[IPv4Address, ...]) -> Answer:
    """A known name asked for another type is no data, never an unknown name."""
    if type_ not in {Type.A, Type.ANY}:
        return Answer()
    return Answer(records=tuple(Record(None, Type.A, _TTL, address) for address in addresses))


def _patterns(name: tuple[str, ...]) -> list[str]:
    """The hosts that may stand for `name`, the most specific first."""
    return [".".join(name), *(".".join(("*", *name[place:])) for place in range(1, len(name)))]


def _addresses(obj: Mapping[str, Any], host: str) -> tuple[IPv4Address, ...]:
    """Those written, else those allocated; of ranges no single one is meant."""
    written = (obj.get("spec") or {}).get("addresses") or ()
    if not written:
        given = (obj.get("status") or {}).get("addresses") or ()
        written = [item.get("value") for item in given if str(item.get("host", "")).lower() == host]
    found = (_address(str(text).removesuffix("/32")) for text in written)
    return tuple(dict.fromkeys(address for address in found if address is not None and not address.is_unspecified))


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        return None
