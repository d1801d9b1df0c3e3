"""Which kind a document or a word on the command line means, by what the API serves."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plait.kube.discovery import Resource
from plait.kube.kinds import Kind

#: Served only so that old manifests are understood: never what a kind without apiVersion means.
OLD_GROUPS = frozenset({"extensions", "events.k8s.io"})


class UnknownKindError(Exception):
    """The API serves no such kind; the message says what is near."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of one API."""

    resources: tuple[Resource, ...]

    def of_object(self, obj: Mapping[str, Any]) -> tuple[Kind, str | None]:
        """The kind of an object in the version it is written in; and, if apiVersion is missing, the one to write.

        Raises UnknownKindError.
        """
        name, version = str(obj["kind"]), obj.get("apiVersion")
        if not version:
            kind = self._inferred(name)
            return kind, kind.api_version
        group, _, number = str(version).rpartition("/")
        for resource in self.resources:
            if (resource.kind.group, resource.kind.kind) == (group, name):
                return replace(resource.kind, version=number), None
        elsewhere = sorted(r.kind.api_version for r in self.resources if r.kind.kind == name)
        if elsewhere:
            raise UnknownKindError(f"{name} is not served as {version}; write apiVersion: {' or '.join(elsewhere)}")
        raise UnknownKindError(f"no kind {name} in {version} is served here{self._near(name)}")

    def of_word(self, word: str) -> Kind:
        """The kind that `vs`, `virtualservices`, `VirtualService` or `deployments.apps` names; UnknownKindError."""
        wanted = word.lower()
        short, dot, group = wanted.partition(".")
        for resource in self.resources:
            kind = resource.kind
            names = {kind.plural, kind.kind.lower(), *resource.names}
            if wanted in names or (dot and short in names and f"{kind.group}.".startswith(f"{group}.")):
                return kind
        raise UnknownKindError(f'the server doesn\'t have a resource type "{word}"{self._near(word)}')

    def _inferred(self, name: str) -> Kind:
        found = [r.kind for r in self.resources if r.kind.kind == name and r.kind.group not in OLD_GROUPS]
        if not found:
            raise UnknownKindError(f"no kind {name} is served here{self._near(name)}")
        if len(found) > 1:
            versions = " or ".join(sorted(kind.api_version for kind in found))
            raise UnknownKindError(f"apiVersion is missing and several groups have a {name}; write {versions}")
        return found[0]

    def _near(self, name: str) -> str:
        known: dict[str, str] = {}
        for resource in self.resources:
            known[resource.kind.kind.lower()] = resource.kind.kind
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
        return f"; did you mean {known[close[0]]}?" if close else "; see: kubectl api-resources"


def defined_kinds(objects: Sequence[Mapping[str, Any]]) -> tuple[Resource, ...]:
    """The kinds that CustomResourceDefinitions among the objects will bring."""
    found = []
    for obj in objects:
        if obj.get("kind") != "CustomResourceDefinition" or not isinstance(obj.get("spec"), dict):
            continue
        spec = obj["spec"]
        names = spec.get("names") if isinstance(spec.get("names"), dict) else {}
        versions = [v for v in spec.get("versions") or () if isinstance(v, dict) and v.get("name")]
        if versions and names.get("kind") and names.get("plural"):
            kind = Kind(
                str(spec.get("group")),
                str(versions[0]["name"]),
                str(names["kind"]),
                str(names["plural"]),
                spec.get("scope") == "Namespaced",
            )
            found.append(Resource(kind, frozenset()))
    return tuple(found)
