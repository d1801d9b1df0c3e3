"""TLS towards clients, and credentials as resources of their own (SDS).

A credential is named in the listener and sent beside it: it is renewed without a change of the listener, so no
connection is drained for it. One of files is too: a file that is missing or damaged then costs the servers that need
it, not the whole listener, and a new one is read when it is moved into place.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, NamedTuple

from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig, Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext

from plait.api.destinationrule import ClientTLS
from plait.api.gateway import ServerTLS
from plait.api.mesh_settings import TLSDefaults
from plait.mesh.credentials import (
    Authorities,
    AuthorityFile,
    Certificate,
    CertificateFiles,
    CredentialValue,
    authorities_name,
    credential_name,
    file_authorities_name,
    file_certificate_name,
)
from plait.mesh.origin import Origin
from plait.xds.cluster import ads
from plait.xds.encode import packed, resource
from plait.xds.mesh_tls import identify
from plait.xds.resource import SDS, Resource
from plait.xds.tls_parameters import restrict

TLS: Final = "envoy.transport_sockets.tls"
_HTTP: Final = ("h2", "http/1.1")
_VERSIONS: Final = {
    "TLSV1_0": TlsParameters.TLSv1_0,
    "TLSV1_1": TlsParameters.TLSv1_1,
    "TLSV1_2": TlsParameters.TLSv1_2,
    "TLSV1_3": TlsParameters.TLSv1_3,
}
_OWN: Final = "ISTIO_MUTUAL"
_VERIFIES_CLIENT: Final = frozenset({"MUTUAL", "OPTIONAL_MUTUAL"})


class WantedCredential(NamedTuple):
    """A credential by its name on the wire, and who asks for it."""

    name: str
    origin: Origin


def sds_config(name: str) -> SdsSecretConfig:
    """A credential that comes by the proxy's own stream under `name`.

    Envoy's own limit (15 s) holds for the first answer, so that one missing Secret does not keep the rest of a gateway
    from serving.
    """
    return SdsSecretConfig(name=name, sds_config=ads())


def secret_resource(name: str, value: CredentialValue) -> Resource:
    """A credential as a resource."""
    secret = Secret(name=name)
    match value:
        case Certificate():
            secret.tls_certificate.certificate_chain.inline_bytes = value.chain
            secret.tls_certificate.private_key.inline_bytes = value.key
            if value.staple:
                secret.tls_certificate.ocsp_staple.inline_bytes = value.staple
        case Authorities():
            secret.validation_context.trusted_ca.inline_bytes = value.certificates
            if value.revoked:
                secret.validation_context.crl.inline_bytes = value.revoked
        case CertificateFiles():
            secret.tls_certificate.certificate_chain.filename = value.chain
            secret.tls_certificate.private_key.filename = value.key
        case AuthorityFile():
            secret.validation_context.trusted_ca.filename = value.path
            if value.revoked:
                secret.validation_context.crl.filename = value.revoked
    return resource(SDS, name, secret)


def server_credentials(tls: ServerTLS) -> tuple[str, ...]:
    """The names of the credentials that a server with these settings asks for."""
    if tls.mode == _OWN:
        # From the proxy's own agent.
        return ()
    names = _certificates(tls)
    authorities = _authorities(tls)
    return tuple(dict.fromkeys([*names, *([authorities] if authorities else [])]))


def client_credentials(tls: ClientTLS) -> tuple[str, ...]:
    """The names of the credentials that calls to a destination with these settings need."""
    if not tls.credential_name or tls.mode not in {"SIMPLE", "MUTUAL"}:
        return ()
    authorities = authorities_name(tls.credential_name)
    return (credential_name(tls.credential_name), authorities) if tls.mode == "MUTUAL" else (authorities,)


def _secrets(tls: ServerTLS) -> tuple[str, ...]:
    return tls.credential_names or ((tls.credential_name,) if tls.credential_name else ())


def _certificates(tls: ServerTLS) -> list[str]:
    """The names of the server's certificates."""
    if secrets := _secrets(tls):
        return [credential_name(name) for name in secrets]
    pairs = [(each.server_certificate, each.private_key) for each in tls.tls_certificates]
    return [file_certificate_name(*pair) for pair in pairs or [(tls.server_certificate, tls.private_key)]]


def _authorities(tls: ServerTLS) -> str:
    """The name of the authorities of clients' certificates; empty: nobody asks."""
    if tls.mode not in _VERIFIES_CLIENT:
        return ""
    if tls.ca_certificates:
        return file_authorities_name(tls.ca_certificates, tls.ca_crl)
    source = tls.ca_cert_credential_name or next(iter(_secrets(tls)), "")
    return authorities_name(source) if source else ""


def downstream_tls(tls: ServerTLS, defaults: TLSDefaults, *, http: bool) -> TransportSocket:
    """TLS that ends at a server; `http`: what is inside is HTTP, so its version is agreed on in the handshake."""
    common = CommonTlsContext(tls_params=_parameters(tls, defaults), alpn_protocols=_HTTP if http else ())
    if tls.mode == _OWN:
        own = DownstreamTlsContext()
        own.require_client_certificate.value = True
        identify(common, CertificateValidationContext(match_typed_subject_alt_names=_subjects(tls)))
        own.common_tls_context.CopyFrom(common)
        return TransportSocket(name=TLS, typed_config=packed(own))
    common.tls_certificate_sds_secret_configs.extend(sds_config(name) for name in _certificates(tls))
    context = DownstreamTlsContext()
    context.require_client_certificate.value = tls.mode == "MUTUAL"
    if tls.mode in _VERIFIES_CLIENT:
        _verify(common, tls)
    context.common_tls_context.CopyFrom(common)
    return TransportSocket(name=TLS, typed_config=packed(context))


def _parameters(tls: ServerTLS, defaults: TLSDefaults) -> TlsParameters:
    result = TlsParameters(
        # Istio: 1.2 unless the user wants less.
        tls_minimum_protocol_version=_VERSIONS.get(tls.min_protocol_version, TlsParameters.TLSv1_2)
    )
    restrict(result, tls.cipher_suites or defaults.cipher_suites, tls.ecdh_curves or defaults.ecdh_curves)
    if tls.max_protocol_version in _VERSIONS:
        result.tls_maximum_protocol_version = _VERSIONS[tls.max_protocol_version]
    return result


def _verify(common: CommonTlsContext, tls: ServerTLS) -> None:
    """Whose certificates clients may show."""
    wanted = CertificateValidationContext(
        verify_certificate_spki=tls.verify_certificate_spki,
        verify_certificate_hash=tls.verify_certificate_hash,
        match_typed_subject_alt_names=_subjects(tls),
    )
    if tls.insecure_skip_verify:
        wanted.trust_chain_verification = CertificateValidationContext.ACCEPT_UNTRUSTED
    authorities = _authorities(tls)
    if not authorities:
        common.validation_context.CopyFrom(wanted)
        return
    common.combined_validation_context.default_validation_context.CopyFrom(wanted)
    common.combined_validation_context.validation_context_sds_secret_config.CopyFrom(sds_config(authorities))


def _subjects(tls: ServerTLS) -> list[SubjectAltNameMatcher]:
    return [one for name in tls.subject_alt_names for one in _subject(name)]


def _subject(name: str) -> list[SubjectAltNameMatcher]:
    """A name that a certificate must have; what sort of name it is nobody says, so it may be any that fits."""
    try:
        ip_address(name)
        kinds = [SubjectAltNameMatcher.IP_ADDRESS]
    except ValueError:
        kinds = [SubjectAltNameMatcher.DNS, SubjectAltNameMatcher.URI]
    result = [SubjectAltNameMatcher(san_type=kind) for kind in kinds]
    for each in result:
        each.matcher.exact = name
    return result
