"""ServiceAccount tokens: JWTs signed with ES256, as TokenRequest hands out and TokenReview checks."""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Callable

#: What the API itself expects in `aud`, and gives to a TokenRequest that names none.
API_AUDIENCE = "https://kubernetes.default.svc"
ISSUER = "https://kubernetes.default.svc"
_HALF = 32
_SKEW = 10.0


class BadTokenError(Exception):
    """The token is not one of ours, or no longer valid; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid token says. `kubernetes` names namespace, service account and, if bound, pod, with their uids."""

    sub: str
    aud: tuple[str, ...]
    exp: float
    kubernetes: dict[str, Any]


class TokenIssuer:
    """Signs and verifies with one P-256 key. `clock` gives seconds since the epoch."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, *, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._id = _encode(hashlib.sha256(public).digest())

    @classmethod
    def load(cls, pem: bytes, *, clock: Callable[[], float]) -> TokenIssuer:
        """From a PEM private key; raises ValueError unless it is on P-256."""
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("the service account key must be an EC key on P-256")  # noqa: TRY004 - a bad file, not a bug
        return cls(key, clock=clock)

    def issue(
        self,
        *,
        namespace: str,
        account: dict[str, str],
        pod: dict[str, str] | None,
        audiences: tuple[str, ...],
        seconds: int,
    ) -> tuple[str, float]:
        """A token for an account (name, uid), bound to a pod (name, uid) if one is given, and when it ends."""
        now = int(self._clock())
        bound: dict[str, Any] = {"namespace": namespace, "serviceaccount": account}
        if pod:
            bound["pod"] = pod
        claims = {
            "aud": list(audiences),
            "exp": now + seconds,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": bound,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{account['name']}",
        }
        header = {"alg": "ES256", "kid": self._id}
        signed = f"{_encode(msgspec.json.encode(header))}.{_encode(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encode(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}", float(now + seconds)

    def verify(self, token: str) -> Claims:
        """What a token of ours says; raises BadTokenError. Whether account and pod still live is for the caller."""
        header, claims, signature, signed = _parts(token)
        if header.get("alg") != "ES256" or header.get("kid") != self._id:
            raise BadTokenError("invalid bearer token: it was not issued by this API server")
        if len(signature) != 2 * _HALF:
            raise BadTokenError("invalid bearer token: the signature has the wrong length")
        r, s = int.from_bytes(signature[:_HALF], "big"), int.from_bytes(signature[_HALF:], "big")
        try:
            self._key.public_key().verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise BadTokenError("invalid bearer token: the signature does not fit") from None
        now = self._clock()
        if claims.get("exp", 0) + _SKEW < now:
            raise BadTokenError("service account token has expired")
        # `nbf` is not looked at: a token of our own from the future says that the clock was set back.
        if claims.get("iss") != ISSUER:
            raise BadTokenError("invalid bearer token: of another issuer")
        return Claims(
            sub=str(claims.get("sub", "")),
            aud=tuple(claims.get("aud") or ()),
            exp=float(claims["exp"]),
            kubernetes=claims.get("kubernetes.io") or {},
        )

    def jwks(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set, for whoever wants to verify tokens without asking."""
        numbers = self._key.public_key().public_numbers()
        point = {"x": _encode(numbers.x.to_bytes(_HALF, "big")), "y": _encode(numbers.y.to_bytes(_HALF, "big"))}
        return {"keys": [{"use": "sig", "kty": "EC", "kid": self._id, "crv": "P-256", "alg": "ES256", **point}]}


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    pieces = token.split(".")
    if len(pieces) != 3:
        raise BadTokenError("invalid bearer token")
    try:
        header, claims = (msgspec.json.decode(_decode(piece), type=dict[str, Any]) for piece in pieces[:2])
        return header, claims, _decode(pieces[2]), f"{pieces[0]}.{pieces[1]}".encode()
    except (ValueError, msgspec.DecodeError):
        raise BadTokenError("invalid bearer token") from None


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
