"""Whether a Secret can serve as a gateway's credential: its keys, its certificate and the time it holds for."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from plait.analyze.fields import mapping

#: Names of (certificate, key) that Istio accepts, in its order.
_FORMS: Final = (("cert", "key"), ("tls.crt", "tls.key"))


def secret_data(secret: Mapping[str, Any], name: str) -> bytes | None:
    """One value of a Secret; `stringData` wins, as when it is written. None: it is not there or cannot be read."""
    plain = mapping(secret, "stringData").get(name)
    if isinstance(plain, str):
        return plain.encode()
    coded = mapping(secret, "data").get(name)
    if not isinstance(coded, str):
        return None
    try:
        return base64.b64decode(coded, validate=False)
    except (binascii.Error, ValueError):
        return None


def credential_fault(secret: Mapping[str, Any], now: datetime | None) -> str:
    """Why a gateway cannot use it, or nothing. `now` decides about expiry; None leaves that out."""
    pair = _pair(secret)
    if pair is None:
        return "it has neither tls.crt and tls.key nor cert and key"
    certificate, key = pair
    if not certificate:
        return "its certificate is empty"
    if not key:
        return "its key is empty"
    try:
        parsed = x509.load_pem_x509_certificates(certificate)[0]
    except (ValueError, IndexError):
        return "its certificate is no certificate in PEM form"
    if now is not None and now < parsed.not_valid_before_utc:
        return f"its certificate is not valid before {parsed.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if now is not None and now > parsed.not_valid_after_utc:
        return f"its certificate expired at {parsed.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return ""


def key_fault(secret: Mapping[str, Any]) -> bool:
    """Whether certificate and key can be read but do not belong together. Istio does not look at this."""
    pair = _pair(secret)
    if pair is None:
        return False
    try:
        certificate = x509.load_pem_x509_certificates(pair[0])[0]
        key = load_pem_private_key(pair[1], password=None)
    except (ValueError, TypeError, IndexError, UnsupportedAlgorithm):
        return False
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return certificate.public_key().public_bytes(*form) != key.public_key().public_bytes(*form)


def _pair(secret: Mapping[str, Any]) -> tuple[bytes, bytes] | None:
    for certificate, key in _FORMS:
        found = secret_data(secret, certificate), secret_data(secret, key)
        if found[0] is not None and found[1] is not None:
            return found[0], found[1]
    return None
