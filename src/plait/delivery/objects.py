"""API objects beside the core's: to say about which one something went wrong, and to list services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.api.workloadentry import HEALTHY

if TYPE_CHECKING:
    from collections.abc import Mapping

Key = tuple[str, str, str]
"""kind, namespace, name"""


#: Kinds that are kept: what users write, and Services.
KEPT = frozenset(
    {
        "Service",
        "VirtualService",
        "DestinationRule",
        "EnvoyFilter",
        "Gateway",
        "ServiceEntry",
        "WorkloadEntry",
        "Sidecar",
        "PeerAuthentication",
        "AuthorizationPolicy",
        "RequestAuthentication",
        "WorkloadGroup",
        "ProxyConfig",
    }
)
#: What is written by istiod itself, or by the API server with every write, and makes no configuration.
_BOOKKEEPING = frozenset({"resourceVersion", "managedFields"})
_OWN_STATUS = frozenset({"conditions", "observedGeneration", "proxies", "validationMessages"})


class Objects:
    """Objects by kind, namespace and name, held by reference."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Key, Mapping[str, Any]]] = {}
        #: Objects that were noted with another meaning, which nobody but the writer has heard of.
        self._owed: set[Key] = set()

    def put(self, obj: Mapping[str, Any]) -> bool:
        """Keep the newest state of an object, if its kind is kept; False when only what istiod writes is new in it."""
        meta = obj["metadata"]
        kind = str(obj["kind"])
        if kind not in KEPT:
            return True
        known = self._known.setdefault(kind, {})
        key = (kind, meta.get("namespace") or "", meta["name"])
        before, known[key] = known.get(key), obj
        if key in self._owed:
            self._owed.discard(key)
            return True
        return before is None or _meant(before) != _meant(obj)

    def note(self, obj: Mapping[str, Any]) -> None:
        """Keep what the API answered to a write; the watch will tell the same, and then it counts as news."""
        if self.put(obj):
            self._owed.add((str(obj["kind"]), obj["metadata"].get("namespace") or "", obj["metadata"]["name"]))

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Forget an object."""
        self._known.get(kind, {}).pop((kind, namespace, name), None)
        self._owed.discard((kind, namespace, name))

    def find(self, origin: str) -> Mapping[str, Any] | None:
        """By `Kind/namespace/name`."""
        kind, _, rest = origin.partition("/")
        namespace, _, name = rest.partition("/")
        return self._known.get(kind, {}).get((kind, namespace, name))

    def all(self, kind: str) -> tuple[Mapping[str, Any], ...]:
        """All of a kind, as of now."""
        return tuple(self._known.get(kind, {}).values())

    def count(self, kind: str) -> int:
        """How many there are of a kind."""
        return len(self._known.get(kind, {}))

    def registryz(self, domain: str = "cluster.local") -> list[dict[str, Any]]:
        """Services as Istio's /debug/registryz shows them."""
        return [_service(obj, domain) for _, obj in sorted(self._known.get("Service", {}).items())]


def _meant(obj: Mapping[str, Any]) -> tuple[Any, ...]:
    """An object without what istiod notes in it."""
    meta, status = obj["metadata"], obj.get("status") or {}
    return (
        obj.get("apiVersion"),
        obj.get("spec"),
        {name: value for name, value in meta.items() if name not in _BOOKKEEPING},
        {name: value for name, value in status.items() if name not in _OWN_STATUS},
        # It decides about endpoints.
        [
            (each.get("type"), each.get("status"))
            for each in status.get("conditions") or ()
            if each.get("type") == HEALTHY
        ],
    )


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
