"""A token (RFC 7519) as Envoy reads and verifies it.

Signatures are verified by `cryptography`; which key may verify which token, and what else must hold, are Envoy's rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC

from plait.api.web_keys import WebKey, decoded

Verdict = Literal[
    "valid",
    "missing",
    "malformed",
    "unknown algorithm",
    "wrong issuer",
    "not yet valid",
    "expired",
    "wrong audience",
    "no keys",
    "unknown key",
    "wrong signature",
]
ALGORITHMS: Final = frozenset(
    {
        "ES256", "ES384", "ES512", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512",
        "PS256", "PS384", "PS512", "EdDSA",
    }
)  # fmt: skip
"""Those that Envoy verifies."""
#: Seconds by which clocks may differ (Envoy's default).
SKEW: Final = 60
_HASHES: Final[dict[str, type[HashAlgorithm]]] = {"256": SHA256, "384": SHA384, "512": SHA512}


class TokenError(ValueError):
    """Why a text is no token that could be verified."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token taken apart. `claims` are what it says, `signed` and `signature` what says that it does."""

    algorithm: str
    key_name: str
    claims: Mapping[str, Any]
    encoded_claims: str = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def issuer(self) -> str:
        """Who made it; empty: it does not say."""
        return str(self.claims.get("iss", ""))

    @property
    def audiences(self) -> tuple[str, ...]:
        """For whom it is."""
        found = self.claims.get("aud", ())
        return (found,) if isinstance(found, str) else tuple(found)

    def time(self, claim: str) -> float:
        """One of its times, 0 where it has none."""
        return float(self.claims.get(claim, 0))


def read_token(text: str) -> Token:
    """Take a token apart; raises TokenError."""
    parts = text.split(".")
    if len(parts) != 3 or not all(parts[:2]):
        raise TokenError("malformed")
    try:
        header, claims = (msgspec.json.decode(decoded(part)) for part in parts[:2])
        signature = decoded(parts[2])
    except (ValueError, RecursionError):
        raise TokenError("malformed") from None
    if not isinstance(header, dict) or not isinstance(claims, dict) or not isinstance(header.get("alg"), str):
        raise TokenError("malformed")
    if header["alg"] not in ALGORITHMS:
        raise TokenError("unknown algorithm")
    if not isinstance(header.get("kid", ""), str) or not _well_formed(claims):
        raise TokenError("malformed")
    return Token(
        algorithm=header["alg"], key_name=header.get("kid", ""), claims=claims, encoded_claims=parts[1],
        signed=f"{parts[0]}.{parts[1]}".encode(), signature=signature,
    )  # fmt: skip


def _well_formed(claims: Mapping[str, Any]) -> bool:
    """Envoy: of the registered claims the types are looked at."""
    texts = all(isinstance(claims.get(name, ""), str) for name in ("iss", "sub", "jti"))
    numbers = (claims[name] for name in ("iat", "nbf", "exp") if name in claims)
    times = all(isinstance(each, int | float) and not isinstance(each, bool) and each >= 0 for each in numbers)
    audience = claims.get("aud", "")
    several = isinstance(audience, list) and all(isinstance(each, str) for each in audience)
    return texts and times and (isinstance(audience, str) or several)


def in_time(token: Token, now: float) -> Verdict:
    """Whether a token holds at a time, in seconds since the epoch."""
    seconds = int(now)
    if seconds + SKEW < token.time("nbf"):
        return "not yet valid"
    ends = token.time("exp")
    return "expired" if ends and seconds > ends + SKEW else "valid"


def for_audience(token: Token, wanted: Iterable[str]) -> bool:
    """Whether it is for one of `wanted` (none: anybody); Envoy looks at neither the scheme nor a slash at the end."""
    allowed = {_bare(each) for each in wanted}
    return not allowed or any(_bare(each) in allowed for each in token.audiences)


def _bare(audience: str) -> str:
    for scheme in ("https://", "http://"):
        if audience.startswith(scheme):
            audience = audience.removeprefix(scheme)
            break
    return audience.removesuffix("/")


def by_keys(token: Token, keys: Iterable[WebKey]) -> Verdict:
    """Whether one of the keys verifies a token: of its name and algorithm, where both sides say which."""
    matched = False
    for key in keys:
        if token.key_name and key.name and key.name != token.key_name:
            continue
        if key.algorithm and key.algorithm != token.algorithm:
            continue
        matched = True
        if _verifies(key, token):
            return "valid"
    return "wrong signature" if matched else "unknown key"


def _verifies(key: WebKey, token: Token) -> bool:
    family, size = token.algorithm[:2], token.algorithm[2:]
    found, signature, signed = key.key, token.signature, token.signed
    # Envoy: the key's kind decides how it is tried; of a token of another family the hash is that of 256.
    digest = _HASHES.get(size, SHA256)() if family in {"RS", "PS", "ES", "HS"} else SHA256()
    try:
        match found:
            case RSAPublicKey() if family == "RS":
                found.verify(signature, signed, padding.PKCS1v15(), digest)
            case RSAPublicKey() if family == "PS":
                pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=padding.PSS.AUTO)
                found.verify(signature, signed, pss, digest)
            case EllipticCurvePublicKey() if family == "ES":
                half = len(signature) // 2
                pair = (int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
                found.verify(encode_dss_signature(*pair), signed, ECDSA(digest))
            case Ed25519PublicKey() if token.algorithm == "EdDSA":
                found.verify(signature, signed)
            case bytes() if family == "HS":
                code = HMAC(found, digest)
                code.update(signed)
                code.verify(signature)
            case _:
                return False
    except (InvalidSignature, ValueError):
        return False
    return True
