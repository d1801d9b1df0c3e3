"""What Istio demands of PeerAuthentication and RequestAuthentication beyond their shape."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from plait.api.jwks import KeysError, check_set
from plait.api.names import is_header_name, is_port
from plait.api.security import JWTRule, PeerAuthentication, RequestAuthentication
from plait.api.validate.findings import Findings
from plait.api.validate.selection import validate_selector, validate_targets

#: Istio: fewer marks than HTTP has.
_HEADER: Final = re.compile(r"[-_A-Za-z0-9]+")
_USABLE: Final = "RSA, EC (P-256, P-384, P-521), OKP (Ed25519) or oct keys with all their members"


def validate_peerauthentication(policy: PeerAuthentication, findings: Findings) -> None:
    """Add what is wrong with `policy` to `findings`."""
    spec = policy.spec
    labels = spec.selector.match_labels if spec.selector is not None else None
    validate_selector("spec.selector.matchLabels", labels, findings)
    if spec.port_level_mtls is None:
        return
    if not labels:
        findings.error(
            "spec.portLevelMtls", "ports are those of selected workloads", fix="a selector with labels, or mtls"
        )
    if not spec.port_level_mtls:
        findings.error("spec.portLevelMtls", "is empty", fix="for example 8080: {mode: DISABLE}")
    for port in spec.port_level_mtls:
        if not (port.isascii() and port.isdigit() and is_port(int(port))):
            findings.error(f"spec.portLevelMtls[{port}]", f"{port!r} is not a port", fix="1 to 65535", value=port)


def validate_requestauthentication(policy: RequestAuthentication, findings: Findings) -> None:
    """Add what is wrong with `policy` to `findings`."""
    spec = policy.spec
    validate_targets(spec.selector, spec.target_ref, spec.target_refs, findings)
    for index, rule in enumerate(spec.jwt_rules):
        _rule(f"spec.jwtRules[{index}]", rule, findings)


def _rule(path: str, rule: JWTRule, findings: Findings) -> None:
    for name, values in (
        ("audiences", rule.audiences),
        ("fromParams", rule.from_params),
        ("fromCookies", rule.from_cookies),
        ("spaceDelimitedClaims", rule.space_delimited_claims),
    ):
        for index, value in enumerate(values):
            if not value:
                findings.error(f"{path}.{name}[{index}]", "an empty value", fix="a value")
    uri = rule.uri
    if not rule.issuer and not uri:
        findings.error(f"{path}.issuer", "neither issuer nor jwksUri", fix="the iss claim of the tokens")
    if uri and rule.jwks:
        findings.error(path, "jwksUri and jwks exclude each other", fix="one of them")
    if uri:
        _uri(f"{path}.jwksUri", uri, findings)
    if not uri and not rule.jwks and _is_nowhere(rule):
        findings.warn(
            f"{path}.issuer",
            "its keys cannot be found, so every token is refused: there is neither jwks nor jwksUri, and it is no URL "
            "below which an OpenID document could say where they are",
            fix="jwksUri or jwks",
            value=rule.issuer,
        )
    if rule.jwks:
        _keys(f"{path}.jwks", rule.jwks, findings)
    for index, header in enumerate(rule.from_headers):
        if not header.name:
            findings.error(f"{path}.fromHeaders[{index}].name", "a name is missing", fix="for example x-token")
        for field, text in (("name", header.name), ("prefix", header.prefix)):
            # Envoy would refuse the listener.
            if any(letter in text for letter in "\0\r\n"):
                findings.error(f"{path}.fromHeaders[{index}].{field}", "ends a line", fix="one line of text")
    payload = rule.output_payload_to_header
    if payload and not is_header_name(payload):
        findings.error(f"{path}.outputPayloadToHeader", f"{payload!r} is not the name of a header", value=payload)
    seen: set[str] = set()
    for index, out in enumerate(rule.output_claim_to_headers):
        where = f"{path}.outputClaimToHeaders[{index}]"
        if not _HEADER.fullmatch(out.header):
            text = f"{out.header!r} is not the name of a header"
            findings.error(f"{where}.header", text, fix="letters, digits, - and _", value=out.header)
        if not out.claim:
            findings.error(f"{where}.claim", "a claim is missing", fix="for example sub")
        if out.header and out.header.lower() in seen:
            findings.warn(f"{where}.header", f"{out.header!r} is set twice", fix="another header", value=out.header)
        seen.add(out.header.lower())
    findings.duration(f"{path}.timeout", rule.timeout)


def _is_nowhere(rule: JWTRule) -> bool:
    """Whether nobody can know where the keys of an issuer are."""
    return bool(rule.issuer) and not rule.issuer.startswith(("https://", "http://"))


def _uri(path: str, text: str, findings: Findings) -> None:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not host or (port is not None and not is_port(port)):
        findings.error(path, f"{text!r} is not the URL of keys", fix="https://HOST/PATH", value=text)


def _keys(path: str, text: str, findings: Findings) -> None:
    try:
        check_set(text)
    except KeysError as error:
        findings.error(path, f"is not a JSON Web Key Set: it {error}", fix='{"keys": [{"kty": "RSA", …}]}')
        return
    # Cryptography takes time to load, and few objects have keys.
    from plait.api.web_keys import usable_keys  # noqa: PLC0415

    if not usable_keys(text):
        findings.warn(path, "has no key that a proxy can use, so every token is refused", fix=_USABLE)
