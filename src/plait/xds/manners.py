"""What the mesh's settings say of every listener alike."""

from __future__ import annotations

from typing import Final, NamedTuple

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.listener.v3.listener_components_pb2 import ListenerFilter
from envoy.extensions.common.dynamic_forward_proxy.v3.dns_cache_pb2 import DnsCacheConfig
from envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol_pb2 import ProxyProtocol
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from plait.api.mesh_settings import GatewayTopology, Normalization, TLSDefaults
from plait.mesh.config import BY_NAME, MeshConfig
from plait.xds.access_log import access_logs
from plait.xds.dns_cache import dns_cache
from plait.xds.encode import packed
from plait.xds.mesh_tls import Terms, terms

_PROXY_PROTOCOL: Final = "envoy.filters.listener.proxy_protocol"


class Manners(NamedTuple):
    """Where requests and connections are logged, how the paths of requests are made plain before any rule, and
    what servers that say nothing of their ciphers have. `mutual`: on which terms proxies of the mesh speak TLS. `dns`:
    HTTP calls of unknown hosts go where this finds them.
    """

    logs: tuple[AccessLog, ...] = ()
    paths: Normalization = "DEFAULT"
    topology: GatewayTopology = GatewayTopology()
    tls: TLSDefaults = TLSDefaults()
    dns: DnsCacheConfig | None = None
    mutual: Terms = Terms()

    def tidy_paths(self, manager: HttpConnectionManager) -> None:
        """Istio: BASE is the default, each further one does more than the one before."""
        manager.normalize_path.value = self.paths != "NONE"
        if self.paths in {"MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"}:
            manager.merge_slashes = True
        if self.paths == "DECODE_AND_MERGE_SLASHES":
            manager.path_with_escaped_slashes_action = HttpConnectionManager.UNESCAPE_AND_FORWARD

    def at_the_edge(self, manager: HttpConnectionManager) -> None:
        """What a gateway believes of those who call it, and passes on of them."""
        manager.xff_num_trusted_hops = self.topology.num_trusted_proxies
        details = self.topology.forward_client_cert_details
        if details == "UNDEFINED":
            details = "SANITIZE_SET"
        manager.forward_client_cert_details = HttpConnectionManager.ForwardClientCertDetails.Value(details)
        if details in {"SANITIZE_SET", "APPEND_FORWARD"}:
            tell_certificate(manager, whole=True)

    def before_tls(self) -> list[ListenerFilter]:
        """What a gateway reads in front of everything else."""
        if self.topology.proxy_protocol is None:
            return []
        return [ListenerFilter(name=_PROXY_PROTOCOL, typed_config=packed(ProxyProtocol()))]


PLAIN: Final = Manners()


def tell_certificate(manager: HttpConnectionManager, *, whole: bool = False) -> None:
    """What `x-forwarded-client-cert` says of a certificate beside its hash; `whole`: the certificate too."""
    details = manager.set_current_client_cert_details
    details.subject.value = True
    details.uri = details.dns = True
    details.cert = whole


def manners(mesh: MeshConfig) -> Manners:
    """Those of the mesh as it is set now."""
    topology = mesh.gateway_topology or GatewayTopology()
    dns = dns_cache(mesh) if mesh.outbound_traffic_policy == BY_NAME else None
    tls = mesh.tls_defaults or TLSDefaults()
    return Manners(access_logs(mesh), mesh.path_normalization, topology, tls, dns, terms(mesh))
