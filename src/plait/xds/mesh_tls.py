"""Mutual TLS between proxies of the mesh: both ends of it.

Certificate and authorities come from the proxy's own agent (SDS on a unix socket, `names.SDS_CLUSTER`), so the
configuration is the same for all and nothing changes here when a certificate is renewed.

ALPN tells mutual TLS from an application's own TLS, and HTTP from bytes: filter chains of servers are chosen by what
clients *offer*. What is *negotiated* decides which HTTP is read, so servers know `h2` and `http/1.1` only, and a client
that may send either offers neither: then the first bytes tell.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.core.v3.config_source_pb2 import ApiConfigSource, ApiVersion, ConfigSource
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.extensions.filters.network.set_filter_state.v3.set_filter_state_pb2 import Config as SetFilterState
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)

from plait.api.mesh_settings import MutualTLSSettings
from plait.api.spiffe import DEFAULT_TRUST_DOMAIN, SCHEME
from plait.mesh.config import MeshConfig
from plait.xds import names
from plait.xds.callers import Identity
from plait.xds.encode import duration, packed
from plait.xds.tls_parameters import restrict

TLS_SOCKET: Final = "envoy.transport_sockets.tls"
HTTP_PROTOCOLS: Final = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
TCP_PROTOCOLS: Final = ("istio-peer-exchange", "istio")
ALL_PROTOCOLS: Final = ("istio", "istio-peer-exchange", *HTTP_PROTOCOLS)
"""What clients of mutual TLS offer, for requests and for bytes."""
OFFER_HTTP1: Final = ("istio-http/1.1", "http/1.1")
OFFER_HTTP2: Final = ("istio-h2", "h2")
OFFER_BYTES: Final = ("istio",)
OFFER_EITHER: Final = ("istio-http/1.1",)
"""Of a client that speaks HTTP/1.1 or HTTP/2, whichever its own client does."""
SOCKET_MATCH: Final = "envoy.transport_socket_match"
"""Metadata of endpoints by which clusters choose a socket for them."""
SPEAKS: Final = {"tlsMode": "istio"}
_SERVER: Final = ("h2", "http/1.1")
_SERVER_BYTES: Final = ("istio",)
_VERSIONS: Final = {"TLSV1_2": TlsParameters.TLSv1_2, "TLSV1_3": TlsParameters.TLSv1_3}
_SET_STATE: Final = "envoy.filters.network.set_filter_state"
_PROTOCOLS_KEY: Final = "envoy.network.application_protocols"


class Terms(NamedTuple):
    """What the mesh's settings say of it: the trust domains of those who may call, the oldest TLS, and the ciphers and
    curves that both ends keep to (none: Envoy's own).
    """

    domains: tuple[str, ...] = (DEFAULT_TRUST_DOMAIN,)
    minimum: str = "TLSV1_2"
    ciphers: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()


def terms(mesh: MeshConfig) -> Terms:
    """Those that hold now."""
    domains = tuple(dict.fromkeys((mesh.trust_domain, *mesh.trust_domain_aliases)))
    told = mesh.mutual_tls or MutualTLSSettings()
    # Istio: what is neither 1.2 nor 1.3 is 1.2.
    minimum = "TLSV1_3" if told.min_protocol_version == "TLSV1_3" else "TLSV1_2"
    return Terms(domains, minimum, told.cipher_suites, told.ecdh_curves)


# What these make is to be read only: all chains and clusters that say the same hold the same one.


@lru_cache(maxsize=4)
def own_secret(name: str) -> SdsSecretConfig:
    """What the proxy's agent gives under `name`. No limit of time: what needs it does not work without it."""
    source = ConfigSource(resource_api_version=ApiVersion.V3)
    source.initial_fetch_timeout.CopyFrom(duration(0))
    api = source.api_config_source
    api.api_type, api.transport_api_version = ApiConfigSource.GRPC, ApiVersion.V3
    api.set_node_on_first_message_only = True
    api.grpc_services.add().envoy_grpc.cluster_name = names.SDS_CLUSTER
    return SdsSecretConfig(name=name, sds_config=source)


def identify(common: CommonTlsContext, wanted: CertificateValidationContext) -> None:
    """Show the proxy's own certificate, and take those of the mesh that `wanted` lets pass."""
    common.tls_certificate_sds_secret_configs.append(own_secret(names.WORKLOAD_CERTIFICATE))
    combined = common.combined_validation_context
    combined.default_validation_context.CopyFrom(wanted)
    combined.validation_context_sds_secret_config.CopyFrom(own_secret(names.ROOT_CERTIFICATES))


@lru_cache(maxsize=256)
def server_socket(agreed: Terms, *, http: bool, callers: tuple[Identity, ...] | None = None) -> TransportSocket:
    """TLS that ends at a workload's proxy, for callers with a certificate of the mesh; of these only `callers`."""
    context = DownstreamTlsContext()
    context.require_client_certificate.value = True
    common = context.common_tls_context
    _keep_to(agreed, common)
    common.alpn_protocols.extend(_SERVER if http else _SERVER_BYTES)
    wanted = CertificateValidationContext()
    for each in callers or tuple(Identity(f"{SCHEME}{domain}/", True) for domain in agreed.domains):
        matcher = _san(wanted).matcher
        if each.prefix:
            matcher.prefix = each.text
        else:
            matcher.exact = each.text
    identify(common, wanted)
    return TransportSocket(name=TLS_SOCKET, typed_config=packed(context))


@lru_cache(maxsize=4096)
def client_socket(agreed: Terms, *, sni: str, offer: tuple[str, ...], servers: tuple[str, ...]) -> TransportSocket:
    """TLS that a proxy begins towards another. `servers` are the identities, one of which it must show; none: any."""
    context = UpstreamTlsContext(sni=sni)
    common = context.common_tls_context
    _keep_to(agreed, common)
    common.tls_params.tls_maximum_protocol_version = TlsParameters.TLSv1_3
    common.alpn_protocols.extend(offer)
    wanted = CertificateValidationContext()
    for identity in servers:
        _san(wanted, identity).matcher.exact = identity
    identify(common, wanted)
    return TransportSocket(name=TLS_SOCKET, typed_config=packed(context))


def _keep_to(agreed: Terms, common: CommonTlsContext) -> None:
    common.tls_params.tls_minimum_protocol_version = _VERSIONS[agreed.minimum]
    restrict(common.tls_params, agreed.ciphers, agreed.curves)


def _san(wanted: CertificateValidationContext, name: str = SCHEME) -> SubjectAltNameMatcher:
    kind = SubjectAltNameMatcher.URI if "://" in name else SubjectAltNameMatcher.DNS
    return wanted.match_typed_subject_alt_names.add(san_type=kind)


@lru_cache(maxsize=1)
def offering_bytes() -> Filter:
    """Before a proxy of bytes: says that it is bytes, where the cluster's own offer is for HTTP."""
    config = SetFilterState()
    value = config.on_new_connection.add(object_key=_PROTOCOLS_KEY)
    value.format_string.text_format_source.inline_string = ",".join(OFFER_BYTES)
    return Filter(name=_SET_STATE, typed_config=packed(config))
