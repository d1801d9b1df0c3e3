"""Clusters and endpoints as people ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from plait.proxy.origins import made_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME_PARTS = 4


class ClusterName(NamedTuple):
    """`outbound|80|v1|host` taken apart; other names are all `fqdn`."""

    direction: str
    port: int | None
    subset: str
    fqdn: str

    @classmethod
    def parse(cls, name: str) -> ClusterName:
        """Read Istio's form, also with `_.` as separator (used in SNI)."""
        parts = name.split("_.", 3) if "_." in name and "|" not in name else name.split("|", 3)
        if len(parts) != _NAME_PARTS:
            return cls("", None, "", name)
        direction, port, subset, fqdn = parts
        return cls(direction.rstrip("_"), int(port) if port.isdigit() else None, subset, fqdn)


class ClusterRow(NamedTuple):
    """One line of `proxy-config cluster`."""

    fqdn: str
    port: str
    subset: str
    direction: str
    type: str
    rule: str


def cluster_matches(
    cluster: Mapping[str, Any],
    *,
    fqdn: str | None = None,
    port: int | None = None,
    subset: str | None = None,
    direction: str | None = None,
) -> bool:
    """Whether a cluster passes the filters given; `fqdn` may be the beginning of a host."""
    name = ClusterName.parse(str(cluster.get("name") or ""))
    return (
        (fqdn is None or name.fqdn.startswith(fqdn))
        and (port is None or name.port == port)
        and (subset is None or name.subset == subset)
        and (direction is None or name.direction == direction)
    )


def cluster_rows(clusters: Iterable[Mapping[str, Any]]) -> list[ClusterRow]:
    """Sorted by host, port, subset and direction."""
    parsed = [(ClusterName.parse(str(cluster.get("name") or "")), cluster) for cluster in clusters]
    parsed.sort(key=lambda pair: (pair[0].fqdn, pair[0].port or 0, pair[0].subset, pair[0].direction))
    return [
        ClusterRow(
            name.fqdn,
            str(name.port) if name.port is not None else "-",
            name.subset or "-",
            name.direction or "-",
            cluster_type(cluster),
            made_by(cluster, "DestinationRule"),
        )
        for name, cluster in parsed
    ]


def cluster_type(cluster: Mapping[str, Any]) -> str:
    """How the cluster finds its hosts, in the words of `type`; Envoy leaves its default out of a dump."""
    custom = cluster.get("cluster_type")
    if custom:
        name = str(custom.get("name", "CUSTOM"))
        if name == "envoy.cluster.dns":
            single = (custom.get("typed_config") or {}).get("all_addresses_in_single_endpoint")
            return "LOGICAL_DNS" if single else "STRICT_DNS"
        return name.removeprefix("envoy.cluster.").upper() if name.startswith("envoy.cluster.") else name
    return str(cluster.get("type") or "STATIC")


class EndpointRow(NamedTuple):
    """One line of `proxy-config endpoint`."""

    endpoint: str
    status: str
    outlier: str
    cluster: str


def endpoint_rows(
    statuses: Mapping[str, Any],
    *,
    cluster: str | None = None,
    address: str | None = None,
    port: int | None = None,
    status: str | None = None,
) -> list[EndpointRow]:
    """Hosts of an admin `/clusters?format=json`, sorted by cluster and address."""
    rows = []
    for entry in statuses.get("cluster_statuses") or ():
        name = entry.get("name", "")
        if cluster is not None and name != cluster:
            continue
        for host in entry.get("host_statuses") or ():
            where, number = _address(host.get("address") or {})
            row = EndpointRow(
                f"{where}:{number}" if number is not None else where,
                health(host),
                "FAILED" if (host.get("health_status") or {}).get("failed_outlier_check") else "OK",
                name,
            )
            if (
                (address is None or where == address)
                and (port is None or number == port)
                and (status is None or row.status.lower() == status.lower())
            ):
                rows.append(row)
    return sorted(rows, key=lambda row: (row.cluster, row.endpoint))


def health(host: Mapping[str, Any]) -> str:
    """HEALTHY, or what EDS or an active check says."""
    status = host.get("health_status") or {}
    if status.get("failed_active_health_check"):
        return "UNHEALTHY"
    return str(status.get("eds_health_status") or "HEALTHY")


def _address(address: Mapping[str, Any]) -> tuple[str, int | None]:
    if "socket_address" in address:
        socket = address["socket_address"]
        return str(socket.get("address", "")), int(socket.get("port_value", 0))
    if "pipe" in address:
        return f"unix://{address['pipe'].get('path', '')}", None
    inner = (address.get("envoy_internal_address") or {}).get("server_listener_name")
    return (f"envoy://{inner}", None) if inner else ("", None)
