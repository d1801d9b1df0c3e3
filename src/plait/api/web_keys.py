"""Keys of JSON Web Key Sets, as far as Envoy takes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from plait.api.jwks import KeysError, keys_in

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | bytes
"""Bytes are a secret that both sides have (`oct`)."""
#: Members of a private key (RFC 7518, 6.2.2 and 6.3.2), which are nobody's business here.
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_CURVES: Final[dict[str, tuple[EllipticCurve, str]]] = {
    "P-256": (SECP256R1(), "ES256"),
    "P-384": (SECP384R1(), "ES384"),
    "P-521": (SECP521R1(), "ES512"),
}
_CURVE_OF: Final = {algorithm: name for name, (_, algorithm) in _CURVES.items()}
#: In bits; Envoy takes none larger.
_LARGEST_EXPONENT: Final = 33


@dataclass(frozen=True, slots=True, kw_only=True)
class WebKey:
    """One key that Envoy takes; `algorithm` and `name` (`kid`) are empty where it has none."""

    key: PublicKey = field(repr=False)
    name: str = ""
    algorithm: str = ""


def usable_keys(text: str) -> tuple[WebKey, ...]:
    """The keys that Envoy takes of a set; it passes over the others. None where the text is no set."""
    try:
        found = [_read(key) for key in keys_in(text)]
    except KeysError:
        return ()
    return tuple(key for key in found if key is not None)


@lru_cache(maxsize=256)
def usable_set(text: str) -> str:
    """The keys that Envoy takes of a set, in the shortest form and without what only an issuer should have; empty where
    there are none: a set without any would be refused, and with it all that it stands in.
    """
    try:
        keys = [key for key in keys_in(text) if _read(key) is not None]
    except KeysError:
        return ""
    plain = [{name: value for name, value in key.items() if name not in _PRIVATE} for key in keys]
    return msgspec.json.encode({"keys": plain}).decode() if plain else ""


def _read(written: Any) -> WebKey | None:
    if not isinstance(written, dict):
        return None
    kind, algorithm, name = (_text(written.get(field)) for field in ("kty", "alg", "kid"))
    try:
        key, fits = _key(kind, algorithm, written)
    except (KeyError, ValueError, UnsupportedAlgorithm):
        return None
    if algorithm and not algorithm.startswith(fits):
        return None
    return WebKey(key=key, name=name, algorithm=algorithm)


def _text(value: object) -> str:
    """What is no text counts as not there."""
    return value if isinstance(value, str) else ""


def _key(kind: str, algorithm: str, written: Mapping[str, Any]) -> tuple[PublicKey, tuple[str, ...]]:
    """The key, and how the names of its algorithms begin. Raises KeyError and ValueError."""
    match kind:
        case "RSA":
            e, n = _number(written["e"]), _number(written["n"])
            if e.bit_length() > _LARGEST_EXPONENT or not n % 2:
                raise ValueError("a key that nobody could have made")
            return RSAPublicNumbers(e, n).public_key(), ("RS", "PS")
        case "EC":
            # The curve may be told by the algorithm.
            curve = _text(written.get("crv")) or _CURVE_OF.get(algorithm, "P-256")
            kept, only = _CURVES[curve]
            return EllipticCurvePublicNumbers(_number(written["x"]), _number(written["y"]), kept).public_key(), (only,)
        case "OKP" if written["crv"] == "Ed25519":
            return Ed25519PublicKey.from_public_bytes(decoded(written["x"])), ("EdDSA",)
        case "oct":
            secret = decoded(written["k"])
            if not secret:
                raise ValueError("an empty secret")
            return secret, ("HS",)
    raise ValueError(kind)


def decoded(text: object) -> bytes:
    """Base64 for URLs, padded or not (RFC 4648, 5). Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("not a text")  # noqa: TRY004  (of what is read)
    raw = text.encode("ascii")
    if b"+" in raw or b"/" in raw:
        raise ValueError("not base64url")
    if not raw.endswith(b"="):
        raw += b"=" * (-len(raw) % 4)
    return base64.b64decode(raw, altchars=b"-_", validate=True)


def _number(text: object) -> int:
    return int.from_bytes(decoded(text), "big")
