"""What a program that is in no pod needs to be part of the mesh, from its WorkloadGroup: the WorkloadEntry that stands
for it, and the files of Istio's `workload entry configure`. Istio's names and rules.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from plait.api.workloadentry import GROUP_ANNOTATION, HEALTH_ANNOTATION
from plait.inject.bootstrap import ISTIOD, XDS_PORT, BootstrapConfig, bootstrap
from plait.inject.owner import Workload, canonical
from plait.mesh.locality import Locality, of_labels
from plait.mesh.node import ProxyNode

API_VERSION: Final = "networking.istio.io/v1"
#: ssh, and what a proxy itself serves.
_EXCLUDED: Final = "22,15090,15021,15020"
_LONGEST_NAME: Final = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """What a program says of itself beside its group: where it is, and labels that go over those of the group."""

    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    locality: str = ""


def entry_name(group: str, joining: Joining) -> str:
    """GROUP-ADDRESS, with -NETWORK if there is one; too long a name loses its beginning, as in Istio."""
    parts = [group, joining.address.replace(":", "-"), *([joining.network] if joining.network else ())]
    return "-".join(parts)[-_LONGEST_NAME:].lstrip("-.")


def workload_entry(group: Mapping[str, Any], joining: Joining) -> dict[str, Any]:
    """The WorkloadEntry of one program of a group, which owns it if it is known to the API.

    Labels: those of the template, over them the group's for its entries, over them the program's own.
    """
    metadata, spec = group["metadata"], group.get("spec") or {}
    template, own = spec.get("template") or {}, spec.get("metadata") or {}
    labels = {**(template.get("labels") or {}), **(own.get("labels") or {}), **joining.labels}
    said = {
        **template,
        "address": joining.address,
        "labels": labels,
        "network": joining.network or template.get("network"),
        "locality": joining.locality or template.get("locality"),
    }
    annotations = {GROUP_ANNOTATION: metadata["name"], **(own.get("annotations") or {})}
    if probe_of(group) is not None:
        annotations[HEALTH_ANNOTATION] = "true"
    meta: dict[str, Any] = {
        "name": entry_name(metadata["name"], joining),
        "namespace": metadata["namespace"],
        "labels": labels,
        "annotations": annotations,
    }
    if metadata.get("uid"):
        owner = {"kind": "WorkloadGroup", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        meta["ownerReferences"] = [{"apiVersion": API_VERSION, **owner}]
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkloadEntry",
        "metadata": meta,
        "spec": {name: value for name, value in said.items() if value},
    }


def probe_of(group: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The probe of a group, if it is one that istiod can make itself: nothing of plait runs beside the program."""
    probe = (group.get("spec") or {}).get("probe") or {}
    return probe if probe.get("httpGet") or probe.get("tcpSocket") else None


def service_account(group: Mapping[str, Any]) -> str:
    """As which the programs of a group show themselves."""
    return ((group.get("spec") or {}).get("template") or {}).get("serviceAccount") or "default"


def files(
    group: Mapping[str, Any],
    joining: Joining,
    *,
    token: str,
    istiod: str,
    register: bool,
    proxy_config: Mapping[str, Any],
    roots: str = "",
) -> dict[str, str]:
    """Files by name. `istiod` is the HOST:PORT under which the machine reaches it, `register` makes the proxy's coming
    create the WorkloadEntry. `roots` (PEM) are those of the mesh: by them the program's proxy knows istiod.
    """
    entry = workload_entry(group, joining)
    made = {
        "cluster.env": _environment(group, joining),
        "mesh.yaml": _mesh(group, entry, proxy_config, register=register),
        "istio-token": token,
        "hosts": _hosts(istiod),
        "envoy.json": _envoy(group, entry, token=token, istiod=istiod, register=register, roots=roots),
    }
    if roots:
        made["root-cert.pem"] = roots
    if not register:
        made["workloadentry.json"] = json.dumps(entry, indent=2) + "\n"
    return made


def _environment(group: Mapping[str, Any], joining: Joining) -> str:
    """Istio's cluster.env."""
    metadata, template = group["metadata"], (group.get("spec") or {}).get("template") or {}
    ports = ",".join(str(port) for port in (template.get("ports") or {}).values())
    values = {
        "ISTIO_INBOUND_PORTS": ports or "*",
        "ISTIO_LOCAL_EXCLUDE_PORTS": _EXCLUDED,
        "ISTIO_NAMESPACE": metadata["namespace"],
        "ISTIO_SERVICE": f"{metadata['name']}.{metadata['namespace']}",
        "ISTIO_SERVICE_CIDR": "*",
        "ISTIO_SVC_IP": joining.address,
        "SERVICE_ACCOUNT": service_account(group),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))


def _names(group: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[str, str]:
    workload = Workload(api_version=API_VERSION, kind="WorkloadGroup", name=group["metadata"]["name"])
    return canonical(labels, workload)


def _mesh(group: Mapping[str, Any], entry: Mapping[str, Any], given: Mapping[str, Any], *, register: bool) -> str:
    """Istio's mesh.yaml, as JSON, which is YAML: the proxy's settings with who it is."""
    metadata, spec = group["metadata"], entry["spec"]
    name, revision = _names(group, spec.get("labels") or {})
    ports = [{"name": key, "containerPort": port} for key, port in sorted((spec.get("ports") or {}).items())]
    who: dict[str, str] = {
        **(given.get("proxyMetadata") or {}),
        "CANONICAL_SERVICE": name,
        "CANONICAL_REVISION": revision,
        "POD_NAMESPACE": metadata["namespace"],
        "SERVICE_ACCOUNT": service_account(group),
        "TRUST_DOMAIN": "cluster.local",
        "ISTIO_META_CLUSTER_ID": "Kubernetes",
        "ISTIO_META_WORKLOAD_NAME": metadata["name"],
        "ISTIO_META_NETWORK": str(spec.get("network") or ""),
        "ISTIO_METAJSON_LABELS": json.dumps(_with_names(group, spec.get("labels") or {}), sort_keys=True),
    }
    if ports:
        who["ISTIO_META_POD_PORTS"] = json.dumps(ports)
    if register:
        who["ISTIO_META_AUTO_REGISTER_GROUP"] = metadata["name"]
    settings = {**given, "proxyMetadata": who}
    if probe := (group.get("spec") or {}).get("probe"):
        settings["readinessProbe"] = probe
    return json.dumps({"defaultConfig": settings}, indent=2) + "\n"


def _with_names(group: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, str]:
    name, revision = _names(group, labels)
    names = {"service.istio.io/canonical-name": name, "service.istio.io/canonical-revision": revision}
    return {**labels, **names}


def _hosts(istiod: str) -> str:
    """A line for /etc/hosts, if istiod is reached by an address."""
    host = istiod.rpartition(":")[0]
    return f"{host} {ISTIOD}\n" if host.replace(".", "").isdigit() else ""


def _envoy(
    group: Mapping[str, Any], entry: Mapping[str, Any], *, token: str, istiod: str, register: bool, roots: str
) -> str:
    """The bootstrap of a stock Envoy beside the program."""
    metadata, spec = group["metadata"], entry["spec"]
    labels = _with_names(group, spec.get("labels") or {})
    node = ProxyNode(
        kind="sidecar",
        ip=spec["address"],
        pod=entry["metadata"]["name"],
        namespace=metadata["namespace"],
        labels=tuple(sorted(labels.items())),
        service_account=service_account(group),
    )
    config = BootstrapConfig(
        token=token,
        discovery_address=istiod,
        workload_name=metadata["name"],
        locality=Locality.parse(spec["locality"]) if spec.get("locality") else of_labels(labels),
        registers_with=metadata["name"] if register else None,
        network=str(spec.get("network") or ""),
        roots=roots,
    )
    return json.dumps(bootstrap(node, config=config), indent=2) + "\n"


def default_istiod() -> str:
    """Where `kubectl -n istio-system port-forward svc/istiod 15012` makes istiod answer."""
    return f"127.0.0.1:{XDS_PORT}"
