"""Finds the kind behind a request path: one stored kind may be served under several group versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.machine.api.schema.versions import to_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plait.machine.api.schema.kinds import GroupVersion, ServedKind

#: Identity of a stored collection: group and plural.
Collection = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind as a client addresses it: `version` and `group` are those of the request."""

    kind: ServedKind
    group: str
    version: str

    @property
    def api_version(self) -> str:
        """`apiVersion` as the client wrote it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def collection(self) -> Collection:
        """Where the objects are stored."""
        return (self.kind.group, self.kind.plural)

    @property
    def converted(self) -> bool:
        """Whether the client speaks another version than the stored one."""
        return self.api_version != self.kind.api_version

    def present(self, obj: dict[str, Any]) -> dict[str, Any]:
        """A stored object in the client's version."""
        return to_version(self.kind, obj, self.api_version)


class Registry:
    """All served kinds, by path and by collection."""

    def __init__(self, kinds: Iterable[ServedKind]) -> None:
        self._own = tuple(kinds)
        self._serve(self._own)

    def define(self, kinds: Iterable[ServedKind]) -> None:
        """Serve these kinds of users, and no other beside the API's own."""
        self._serve((*self._own, *kinds))

    def is_own(self, group: str, plural: str) -> bool:
        """Whether a collection is one of the API's own, which nobody can define."""
        return any((kind.group, kind.plural) == (group, plural) for kind in self._own)

    def _serve(self, kinds: tuple[ServedKind, ...]) -> None:
        self.kinds = kinds
        self._paths: dict[tuple[str, str, str], Resource] = {}
        self._stored: dict[Collection, ServedKind] = {}
        for kind in self.kinds:
            if not kind.plural:
                continue
            for at in kind.endpoints:
                resource = Resource(kind=kind, group=at.group, version=at.version)
                self._paths[at.group, at.version, kind.plural] = resource
            if kind.stored:
                self._stored[kind.group, kind.plural] = kind

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The kind served at that path."""
        return self._paths.get((group, version, plural))

    def stored(self, group: str, plural: str) -> ServedKind:
        """The stored kind of a collection; raises KeyError if it is not served."""
        return self._stored[group, plural]

    def collections(self) -> Iterator[ServedKind]:
        """Every kind that is stored."""
        return iter(self._stored.values())

    def group_versions(self) -> list[GroupVersion]:
        """Every group version served; the core group first, old groups last, versions of a group as preferred."""
        own: dict[GroupVersion, None] = {}
        old: dict[GroupVersion, None] = {}
        for kind in self.kinds:
            if not kind.plural:
                continue
            for at in kind.endpoints:
                (old if at in kind.aliases else own)[at] = None
        return [at for at in (*own, *old) if at in own or at not in own]

    def resources(self, at: GroupVersion) -> list[Resource]:
        """What is served in one group version."""
        return [r for r in self._paths.values() if (r.group, r.version) == (at.group, at.version)]
