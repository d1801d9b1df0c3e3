"""Who a request comes from: a token of the tokens file, or a ServiceAccount's JWT that this API issued."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import msgspec

from plait.machine.api.admission import User
from plait.machine.api.auth.tokens import API_AUDIENCE, BadTokenError
from plait.machine.api.objects import metadata
from plait.machine.api.store import Key

if TYPE_CHECKING:
    from pathlib import Path

    from plait.machine.api.auth.tokens import TokenIssuer
    from plait.machine.api.store import Store


class StaticToken(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the tokens file (a JSON list): whoever brings the token is that user, in those groups."""

    token: str
    user: str
    groups: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"StaticToken(user={self.user!r}, token=[redacted])"


def read_tokens(path: Path) -> tuple[StaticToken, ...]:
    """Raises OSError or msgspec.DecodeError."""
    return tuple(msgspec.json.decode(path.read_bytes(), type=list[StaticToken]))


class Authenticator:
    """Turns a bearer token into a user. A ServiceAccount's token dies with its account and, if bound, its pod."""

    def __init__(self, *, tokens: tuple[StaticToken, ...], issuer: TokenIssuer, store: Store) -> None:
        self._static = {hashlib.sha256(item.token.encode()).digest(): item for item in tokens}
        self._issuer = issuer
        self._store = store

    def of_header(self, header: str | None) -> User | None:
        """The user of an `Authorization` header; None without valid credentials."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        return self.of_token(token.strip(), audiences=(API_AUDIENCE,))[0]

    def of_token(self, token: str, *, audiences: tuple[str, ...]) -> tuple[User | None, tuple[str, ...], str]:
        """The user of a token, for which of the `audiences` it is good, and why not, if not."""
        digest = hashlib.sha256(token.encode()).digest()
        for known, item in self._static.items():
            if hmac.compare_digest(known, digest):
                return self._static_user(item), tuple(a for a in audiences if a == API_AUDIENCE), ""
        try:
            claims = self._issuer.verify(token)
        except BadTokenError as problem:
            return None, (), str(problem)
        good = tuple(item for item in audiences if item in claims.aud)
        if not good:
            return None, (), f"token audiences {list(claims.aud)!r} are not among {list(audiences)!r}"
        return self._account(claims.kubernetes, good)

    def _account(self, bound: dict[str, Any], good: tuple[str, ...]) -> tuple[User | None, tuple[str, ...], str]:
        namespace = str(bound.get("namespace", ""))
        account = bound.get("serviceaccount") or {}
        if not self._lives(("", "serviceaccounts"), namespace, account):
            return None, (), f"service account {namespace}/{account.get('name')} of the token is gone"
        extra: dict[str, tuple[str, ...]] = {}
        if pod := bound.get("pod"):
            if not self._lives(("", "pods"), namespace, pod):
                return None, (), f"pod {namespace}/{pod.get('name')} of the token is gone"
            extra = {
                "authentication.kubernetes.io/pod-name": (str(pod["name"]),),
                "authentication.kubernetes.io/pod-uid": (str(pod["uid"]),),
            }
        user = User(
            name=f"system:serviceaccount:{namespace}:{account['name']}",
            uid=str(account.get("uid", "")),
            groups=("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
            extra=extra,
        )
        return user, good, ""

    def _lives(self, collection: tuple[str, str], namespace: str, reference: dict[str, Any]) -> bool:
        entry = self._store.get(collection, Key(namespace, str(reference.get("name", ""))))
        return entry is not None and metadata(entry.obj)["uid"] == reference.get("uid")

    @staticmethod
    def _static_user(item: StaticToken) -> User:
        return User(name=item.user, groups=(*item.groups, "system:authenticated"))
