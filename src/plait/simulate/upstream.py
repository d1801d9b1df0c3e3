"""How a proxy speaks to an endpoint: Envoy's choice of a transport socket, and what is said in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint
from envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2 import (
    ProxyProtocolUpstreamTransport,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext

from plait.xds import names
from plait.xds.mesh_tls import SOCKET_MATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """`by_endpoint`: another endpoint of the same cluster may be spoken to otherwise."""

    tls: Literal["plaintext", "tls", "mtls"] = "plaintext"
    alpn: tuple[str, ...] = ()
    sni: str = ""
    by_endpoint: bool = False


def spoken(cluster: Cluster, endpoint: LbEndpoint | None, *, offer: tuple[str, ...] = ()) -> Spoken:
    """What is spoken to one endpoint of `cluster` (None: of which nothing is known but the address).

    `offer`: what the connection's own filters say is to be offered in ALPN, in place of what the cluster offers.
    """
    socket, by_endpoint = _socket(cluster, endpoint)
    wrapped = ProxyProtocolUpstreamTransport()
    if socket.typed_config.Unpack(wrapped):
        socket = wrapped.transport_socket
    context = UpstreamTlsContext()
    if not socket.typed_config.Unpack(context):
        return Spoken(by_endpoint=by_endpoint)
    common = context.common_tls_context
    own = any(
        each.name == names.WORKLOAD_CERTIFICATE and each.sds_config.HasField("api_config_source")
        for each in common.tls_certificate_sds_secret_configs
    )
    return Spoken(
        tls="mtls" if own else "tls",
        alpn=offer or tuple(common.alpn_protocols),
        sni=context.sni,
        by_endpoint=by_endpoint,
    )


def _socket(cluster: Cluster, endpoint: LbEndpoint | None) -> tuple[TransportSocket, bool]:
    said: dict[str, Any] = {}
    if endpoint is not None and SOCKET_MATCH in endpoint.metadata.filter_metadata:
        said = dict(endpoint.metadata.filter_metadata[SOCKET_MATCH])
    for each in cluster.transport_socket_matches:
        if all(said.get(name) == value for name, value in dict(each.match).items()):
            return each.transport_socket, True
    return cluster.transport_socket, False
