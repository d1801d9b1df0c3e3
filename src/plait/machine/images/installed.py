"""What dpkg says is installed on this machine: enough of deb822 and of dependency fields to ask "is it there?"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATUS: Final = Path("/var/lib/dpkg/status")

#: A dependency is a list of groups, each of which is satisfied by any one of its packages.
Groups = tuple[tuple[str, ...], ...]

_NAME = re.compile(r"\s*([a-z0-9][a-z0-9+.-]+)")


@dataclass(frozen=True, slots=True)
class Installed:
    """Names of fully installed packages, and names that those provide."""

    names: frozenset[str]
    provided: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path = STATUS) -> Installed:
        """Read dpkg's status file; raises OSError where there is none."""
        names: set[str] = set()
        provided: set[str] = set()
        for stanza in path.read_text(encoding="utf-8", errors="replace").split("\n\n"):
            fields = _fields(stanza)
            if fields.get("Status", "").split()[-1:] == ["installed"] and "Package" in fields:
                names.add(fields["Package"])
                provided.update(name for group in parse_groups(fields.get("Provides", "")) for name in group)
        return cls(frozenset(names), frozenset(provided))

    def has(self, package: str) -> bool:
        """Whether a package of this very name is installed."""
        return package in self.names

    def satisfies(self, group: tuple[str, ...]) -> bool:
        """Whether some package of the group is installed or provided; versions are apt's business, not ours."""
        return any(name in self.names or name in self.provided for name in group)


def parse_groups(field: str) -> Groups:
    """The names in a Depends field: `a (>= 1) | b:any, c` is ((a, b), (c,))."""
    groups = []
    for part in field.split(","):
        names = tuple(found[1] for choice in part.split("|") if (found := _NAME.match(choice)))
        if names:
            groups.append(names)
    return tuple(groups)


def _fields(stanza: str) -> dict[str, str]:
    fields = {}
    for line in stanza.splitlines():
        if line[:1] not in {" ", "\t", ""}:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields
