"""API objects beside the core's: to say about which one something went wrong, and to list services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Key = tuple[str, str, str]
"""kind, namespace, name"""


#: Kinds that are kept: what users write, and Services.
KEPT = frozenset({"Service", "VirtualService", "DestinationRule", "Gateway"})


class Objects:
    """Objects by kind, namespace and name, held by reference."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Key, Mapping[str, Any]]] = {}

    def put(self, obj: Mapping[str, Any]) -> None:
        """Keep the newest state of an object, if its kind is kept."""
        meta = obj["metadata"]
        kind = str(obj["kind"])
        if kind in KEPT:
            self._known.setdefault(kind, {})[kind, meta.get("namespace") or "", meta["name"]] = obj

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Forget an object."""
        self._known.get(kind, {}).pop((kind, namespace, name), None)

    def find(self, origin: str) -> Mapping[str, Any] | None:
        """By `Kind/namespace/name`."""
        kind, _, rest = origin.partition("/")
        namespace, _, name = rest.partition("/")
        return self._known.get(kind, {}).get((kind, namespace, name))

    def count(self, kind: str) -> int:
        """How many there are of a kind."""
        return len(self._known.get(kind, {}))

    def registryz(self, domain: str = "cluster.local") -> list[dict[str, Any]]:
        """Services as Istio's /debug/registryz shows them."""
        return [_service(obj, domain) for _, obj in sorted(self._known.get("Service", {}).items())]


def _service(obj: Mapping[str, Any], domain: str) -> dict[str, Any]:
    meta, spec = obj["metadata"], obj.get("spec") or {}
    namespace, name = meta.get("namespace") or "", meta["name"]
    address = spec.get("clusterIP") or ""
    return {
        "Attributes": {
            "ServiceRegistry": "Kubernetes",
            "Name": name,
            "Namespace": namespace,
            "Labels": meta.get("labels") or {},
            "LabelSelectors": spec.get("selector") or {},
        },
        "hostname": f"{name}.{namespace}.svc.{domain}",
        "ports": [
            {"name": port.get("name", ""), "port": port.get("port"), "protocol": port.get("protocol", "TCP")}
            for port in spec.get("ports") or ()
        ],
        "creationTime": meta.get("creationTimestamp"),
        "defaultAddress": "0.0.0.0" if address in {"", "None"} else address,  # noqa: S104  (Istio's word for headless)
        "Resolution": 2 if spec.get("type") == "ExternalName" else (3 if address == "None" else 0),
        "MeshExternal": False,
    }
