"""Puts manifests into a cluster: plait's own are brought up to date, a demo's are only added where missing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from plait.kube import kinds
from plait.kube.client import Client
from plait.kube.errors import AlreadyExists, NotFound
from plait.kube.kinds import Kind

_KINDS: dict[tuple[str, str], Kind] = {
    (kind.api_version, kind.kind): kind for kind in vars(kinds).values() if isinstance(kind, Kind)
}


_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class ManifestError(Exception):
    """A manifest that comes with plait or a demo cannot be used."""


def read_manifests(folder: Path) -> list[dict[str, Any]]:
    """All documents of the YAML files of a folder, in the order of file names."""
    documents: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.yaml")):
        documents += [document for document in yaml.safe_load_all(path.read_text()) if document]
    if not documents:
        raise ManifestError(f"{folder}: no manifests")
    return documents


def kind_of(obj: dict[str, Any]) -> Kind:
    """The Kind of a manifest; raises ManifestError for one that plait has no client for."""
    key = (str(obj.get("apiVersion")), str(obj.get("kind")))
    if key not in _KINDS:
        raise ManifestError(f"{key[1]} of {key[0]}: not a kind that plait installs")
    return _KINDS[key]


async def bring_up_to_date(client: Client, objects: Iterable[dict[str, Any]]) -> None:
    """Create or merge each object; one that is as wanted already is not changed."""
    for obj in objects:
        kind, metadata = kind_of(obj), obj["metadata"]
        try:
            await client.patch(kind, metadata["name"], metadata.get("namespace"), obj, type="merge")
        except NotFound:
            try:
                await client.create(kind, obj)
            except AlreadyExists:
                # Another `plait up` that brings the same mesh up has been faster, with what it knows.
                await client.patch(kind, metadata["name"], metadata.get("namespace"), obj, type="merge")


async def add_missing(client: Client, objects: Iterable[dict[str, Any]]) -> list[str]:
    """Create what is not there; what is there belongs to the user by now and stays. Returns what was created."""
    created = []
    for obj in objects:
        kind, metadata = kind_of(obj), obj["metadata"]
        try:
            await client.create(kind, _remembered(obj))
        except AlreadyExists:
            continue
        created.append(f"{kind.kind} {metadata.get('namespace', '')}/{metadata['name']}")
    return created


def _remembered(obj: dict[str, Any]) -> dict[str, Any]:
    """With what `kubectl apply` wants to find when the user applies a change over it."""
    metadata = dict(obj["metadata"])
    annotations = dict(metadata.get("annotations") or {})
    annotations[_LAST_APPLIED] = json.dumps(obj, separators=(",", ":")) + "\n"
    return {**obj, "metadata": {**metadata, "annotations": annotations}}
