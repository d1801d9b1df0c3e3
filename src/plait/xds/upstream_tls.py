"""How bytes reach a destination: TLS that the proxy begins, and the PROXY protocol in front of it.

Between proxies of the mesh that is mutual TLS: where a DestinationRule says ISTIO_MUTUAL, and by itself towards each
endpoint that takes part, where no rule says anything (Istio's auto mTLS).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import DataSource, TransportSocket
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.config.core.v3.proxy_protocol_pb2 import ProxyProtocolConfig
from envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2 import (
    ProxyProtocolUpstreamTransport,
)
from envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from plait.api.destinationrule import ClientTLS, TrafficPolicy
from plait.api.mesh_settings import TLSDefaults
from plait.api.names import is_ip
from plait.mesh.credentials import authorities_name, credential_name
from plait.xds.encode import packed
from plait.xds.mesh_tls import SPEAKS, TLS_SOCKET, Terms, client_socket
from plait.xds.tls_parameters import restrict

_RAW_SOCKET: Final = "envoy.transport_sockets.raw_buffer"
_PROXY_SOCKET: Final = "envoy.transport_sockets.upstream_proxy_protocol"
#: Where Debian keeps the authorities that a machine trusts.
SYSTEM_ROOTS: Final = "/etc/ssl/certs/ca-certificates.crt"
_H2: Final = "h2"
#: Istio's names of the two ways.
_MUTUAL: Final = "tlsMode-istio"
_PLAIN: Final = "tlsMode-disabled"


def begins_tls(policy: TrafficPolicy) -> ClientTLS | None:
    """The TLS that the proxy begins, if it does."""
    return policy.tls if policy.tls is not None and policy.tls.mode in {"SIMPLE", "MUTUAL"} else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutual:
    """How the proxy speaks mutual TLS to a destination: under which name it asks for it, what it offers, and the
    identities one of which must be shown.

    `auto`: towards endpoints that take part, unless a rule says something. `whole`: they all do.
    """

    agreed: Terms
    sni: str
    offer: tuple[str, ...]
    servers: tuple[str, ...]
    auto: bool
    whole: bool

    def socket(self, tls: ClientTLS | None = None) -> TransportSocket:
        """Its socket; a rule may ask for another name, and for other identities."""
        sni = (tls.sni if tls is not None else "") or self.sni
        servers = (tls.subject_alt_names if tls is not None else ()) or self.servers
        return client_socket(self.agreed, sni=sni, offer=self.offer, servers=servers)


def set_sockets(
    cluster: Cluster,
    policy: TrafficPolicy,
    *,
    http2: bool,
    credentials: bool,
    mutual: Mutual | None,
    defaults: TLSDefaults,
) -> None:
    """How the cluster's endpoints are spoken to. `credentials`: Secrets may be used. `mutual` None: the proxy has no
    certificate of the mesh, or the destination is none of its business. `defaults` are the mesh's for other TLS.
    """
    if mutual is not None and policy.tls is None and mutual.auto and cluster.type != Cluster.ORIGINAL_DST:
        for name, match, socket in (
            (_MUTUAL, SPEAKS, mutual.socket()),
            (_PLAIN, {}, TransportSocket(name=_RAW_SOCKET, typed_config=packed(RawBuffer()))),
        ):
            found = cluster.transport_socket_matches.add(name=name)
            found.match.update(match)
            found.transport_socket.CopyFrom(_behind_proxy_protocol(policy, socket) or socket)
        return
    socket = _socket(policy, http2=http2, credentials=credentials, mutual=mutual, defaults=defaults)
    if socket is not None:
        cluster.transport_socket.CopyFrom(socket)


def _socket(
    policy: TrafficPolicy, *, http2: bool, credentials: bool, mutual: Mutual | None, defaults: TLSDefaults
) -> TransportSocket | None:
    """One socket for all endpoints; None: plain bytes."""
    tls = begins_tls(policy)
    inner: TransportSocket | None = None
    if tls is not None:
        if tls.credential_name and not credentials:
            # Istio: a sidecar gets Secrets by rules that select it, and only gateways by any other.
            tls = msgspec.structs.replace(tls, credential_name="", mode="SIMPLE")
        inner = _tls_socket(tls, defaults, http2=http2)
    elif mutual is not None and policy.tls is not None and policy.tls.mode == "ISTIO_MUTUAL":
        inner = mutual.socket(policy.tls)
    elif mutual is not None and policy.tls is None and mutual.auto and mutual.whole:
        # The caller has chosen an address, of which nothing is known here: TLS if nobody behind the name wants other.
        inner = mutual.socket()
    return _behind_proxy_protocol(policy, inner) or inner


def _behind_proxy_protocol(policy: TrafficPolicy, inner: TransportSocket | None) -> TransportSocket | None:
    if policy.proxy_protocol is None:
        return None
    version = ProxyProtocolConfig.V2 if policy.proxy_protocol.version == "V2" else ProxyProtocolConfig.V1
    wrapped = ProxyProtocolUpstreamTransport(
        config=ProxyProtocolConfig(version=version),
        transport_socket=inner or TransportSocket(name=_RAW_SOCKET, typed_config=packed(RawBuffer())),
    )
    return TransportSocket(name=_PROXY_SOCKET, typed_config=packed(wrapped))


def _tls_socket(tls: ClientTLS, defaults: TLSDefaults, *, http2: bool) -> TransportSocket:
    context = UpstreamTlsContext(sni=tls.sni)
    common = context.common_tls_context
    # Without it Envoy, as a client, ends at TLS 1.2: a server that wants 1.3 would turn it away.
    common.tls_params.tls_maximum_protocol_version = TlsParameters.TLSv1_3
    restrict(common.tls_params, defaults.cipher_suites, defaults.ecdh_curves)
    if http2:
        common.alpn_protocols.append(_H2)
    if tls.mode == "MUTUAL":
        _own_certificate(common, tls)
    if not tls.insecure_skip_verify:
        _trust(common, tls)
    return TransportSocket(name=TLS_SOCKET, typed_config=packed(context))


def _own_certificate(common: CommonTlsContext, tls: ClientTLS) -> None:
    if tls.credential_name:
        common.tls_certificate_sds_secret_configs.append(_by_ads(credential_name(tls.credential_name)))
        return
    common.tls_certificates.add(
        certificate_chain=DataSource(filename=tls.client_certificate), private_key=DataSource(filename=tls.private_key)
    )


def _trust(common: CommonTlsContext, tls: ClientTLS) -> None:
    """Istio: the authority given, else that of the credential, else those that the machine trusts."""
    rules = CertificateValidationContext(
        match_typed_subject_alt_names=[
            SubjectAltNameMatcher(san_type=_kind_of(name), matcher=StringMatcher(exact=name))
            for name in tls.subject_alt_names
        ]
    )
    if tls.credential_name:
        combined = common.combined_validation_context
        combined.default_validation_context.CopyFrom(rules)
        combined.validation_context_sds_secret_config.CopyFrom(_by_ads(authorities_name(tls.credential_name)))
        return
    rules.trusted_ca.filename = tls.ca_certificates or SYSTEM_ROOTS
    if tls.ca_crl:
        rules.crl.filename = tls.ca_crl
    common.validation_context.CopyFrom(rules)


def _kind_of(name: str) -> SubjectAltNameMatcher.SanType.ValueType:
    if "://" in name:
        return SubjectAltNameMatcher.URI
    return SubjectAltNameMatcher.IP_ADDRESS if is_ip(name) else SubjectAltNameMatcher.DNS


def _by_ads(name: str) -> SdsSecretConfig:
    source = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
    return SdsSecretConfig(name=name, sds_config=source)
