"""Certificates as people ask for them. Private keys are not in what Envoy shows."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography import x509

from plait.kit.certificates import read_certificates
from plait.proxy.dump import sections

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_GROUPS = {
    "static_secrets": "ACTIVE",
    "dynamic_active_secrets": "ACTIVE",
    "dynamic_warming_secrets": "WARMING",
}


class SecretRow(NamedTuple):
    """One line of `proxy-config secret`: a certificate of a secret, or a secret that has none."""

    name: str
    type: str
    status: str
    valid: str
    serial: str
    not_after: str
    not_before: str
    identity: str


def secrets(dump: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The secrets of a dump as Envoy shows them."""
    return [
        entry for part in sections(dump, "SecretsConfigDump") for group in _GROUPS for entry in part.get(group) or ()
    ]


def secret_rows(dump: Mapping[str, Any], now: dt.datetime) -> list[SecretRow]:
    """A row for each leaf, and for each root of those that others are checked against; by name."""
    rows: list[SecretRow] = []
    for part in sections(dump, "SecretsConfigDump"):
        for group, status in _GROUPS.items():
            for entry in part.get(group) or ():
                rows += _rows(str(entry.get("name") or ""), status, entry.get("secret") or {}, now)
    return sorted(rows)


def _rows(name: str, status: str, secret: Mapping[str, Any], now: dt.datetime) -> Iterator[SecretRow]:
    if chain := (secret.get("tls_certificate") or {}).get("certificate_chain"):
        kind, found = "Cert Chain", _certificates(chain)[:1]
    elif trusted := (secret.get("validation_context") or {}).get("trusted_ca"):
        kind, found = "CA", _certificates(trusted)
    else:
        kind, found = "", ()
    for certificate in found:
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        valid = "true" if begins <= now <= ends else "false"
        serial = f"{certificate.serial_number:x}"
        yield SecretRow(name, kind, status, valid, serial, _time(ends), _time(begins), _identity(certificate))
    if not found:
        yield SecretRow(name, kind, status, "false", "", "", "", "")


def _certificates(source: Mapping[str, Any]) -> tuple[x509.Certificate, ...]:
    try:
        data = base64.b64decode(source.get("inline_bytes") or "") or str(source.get("inline_string") or "").encode()
        return read_certificates(data)
    except (binascii.Error, ValueError):
        return ()


def _identity(certificate: x509.Certificate) -> str:
    """Its SPIFFE identity, else its first DNS name."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    found = (
        *names.get_values_for_type(x509.UniformResourceIdentifier),
        *names.get_values_for_type(x509.DNSName),
    )
    return found[0] if found else ""


def _time(when: dt.datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
