"""Issuers of tokens: keys made for a test, sets of their public halves, and tokens signed with them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.hmac import HMAC

_HASHES = {"256": SHA256, "384": SHA384, "512": SHA512}
_CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int, size: int = 0) -> str:
    return encoded(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@dataclass
class SigningKey:
    """A key of one algorithm (RFC 7518); `kid` is its name."""

    algorithm: str
    kid: str = ""
    names_algorithm: bool = True
    key: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        family = self.algorithm[:2]
        if family in {"RS", "PS"}:
            self.key = rsa.generate_private_key(65537, 2048)
        elif family == "ES":
            self.key = ec.generate_private_key(_CURVES[self.algorithm][1])
        elif family == "HS":
            self.key = b"a secret that both sides have, and long enough for any hash of the family: 64"
        else:
            self.key = ed25519.Ed25519PrivateKey.generate()

    @property
    def public(self) -> dict[str, str]:
        """The public half as a JSON Web Key; of a shared secret, the secret."""
        made: dict[str, str] = {"kid": self.kid} if self.kid else {}
        if self.names_algorithm:
            made["alg"] = self.algorithm
        if isinstance(self.key, bytes):
            return {"kty": "oct", "k": encoded(self.key), **made}
        public = self.key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e), **made}
        if isinstance(public, ec.EllipticCurvePublicKey):
            size, point = (public.curve.key_size + 7) // 8, public.public_numbers()
            curve = _CURVES[self.algorithm][0]
            return {"kty": "EC", "crv": curve, "x": _number(point.x, size), "y": _number(point.y, size), **made}
        return {"kty": "OKP", "crv": "Ed25519", "x": encoded(public.public_bytes_raw()), **made}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A token that says `claims`."""
        named = {"kid": self.kid} if self.kid else {}
        head = encoded(json.dumps({"alg": self.algorithm, "typ": "JWT", **named, **header}).encode())
        signed = f"{head}.{encoded(json.dumps(claims).encode())}"
        return f"{signed}.{encoded(self._signature(signed.encode()))}"

    def _signature(self, data: bytes) -> bytes:
        digest = _HASHES.get(self.algorithm[2:], SHA256)()
        match self.algorithm[:2]:
            case "RS":
                return self.key.sign(data, padding.PKCS1v15(), digest)
            case "PS":
                pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
                return self.key.sign(data, pss, digest)
            case "ES":
                size = (self.key.curve.key_size + 7) // 8
                r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(digest)))
                return r.to_bytes(size, "big") + s.to_bytes(size, "big")
            case "HS":
                code = HMAC(self.key, digest)
                code.update(data)
                return code.finalize()
        return self.key.sign(data)


def key_set(*keys: SigningKey) -> str:
    """The public halves as a JSON Web Key Set."""
    return json.dumps({"keys": [key.public for key in keys]})
