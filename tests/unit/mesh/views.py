"""A mesh as its objects, for tables: what a reader of it sees."""

from __future__ import annotations

from typing import Any

from plait.api.decode import decode
from plait.snapshot.reader import Reader
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance

DOMAIN = "cluster.local"
ROOT = "istio-system"


def reader_of(*objects: dict[str, Any]) -> Reader:
    """A reader of a mesh that has these objects."""
    changes = []
    for obj in objects:
        read = decode(obj)
        assert read.key is not None
        assert read.value is not None, read.problems
        changes.append(ObjectChange(read.key, read.value))
    snapshot, _ = advance(Snapshot(DOMAIN), changes)
    return Reader(snapshot.get, DOMAIN)


def istio(kind: str, name: str, namespace: str, *, created: str = "", **spec: Any) -> dict[str, Any]:
    """An object of networking.istio.io; `created` is its time, the names of tables sort as times do."""
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def service(name: str, namespace: str, *, exported: str = "", port: int = 80) -> dict[str, Any]:
    """A Service with one HTTP port."""
    annotations = {"networking.istio.io/exportTo": exported} if exported else {}
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    spec = {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def full(name: str, namespace: str) -> str:
    """The whole name of a Service."""
    return f"{name}.{namespace}.svc.{DOMAIN}"
