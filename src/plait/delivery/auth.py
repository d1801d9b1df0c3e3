"""Who a proxy is: the bearer token of its stream, reviewed by the API server and kept for a while."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from plait.kube.errors import ApiError
from plait.kube.kinds import TOKENREVIEW

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plait.kube.client import Client
    from plait.mesh.node import ProxyNode

_USER = "system:serviceaccount:"
_POD = "authentication.kubernetes.io/pod-name"
_KEPT = 4096


class UnauthenticatedError(Exception):
    """The caller has not proved who it is, or says it is somebody else; the message never holds the token."""


class AuthenticationUnavailableError(Exception):
    """Nobody can say now; the proxy should come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A service account, and the pod its token is bound to if it is bound."""

    namespace: str
    service_account: str
    pod: str | None = None


class Authenticator(Protocol):
    """Turns a token into an identity."""

    async def identify(self, token: str) -> Identity:
        """Raises UnauthenticatedError or AuthenticationUnavailableError."""
        ...


def bearer(metadata: Mapping[str, str]) -> str:
    """The token in a stream's `authorization` metadata; raises UnauthenticatedError."""
    scheme, _, token = metadata.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("no bearer token: send the pod's service account token as `authorization: Bearer …`")
    return token.strip()


def check(identity: Identity, node: ProxyNode) -> None:
    """A proxy gets the configuration of what it proved to be; raises UnauthenticatedError."""
    if (identity.namespace, identity.service_account) != (node.namespace, node.service_account):
        raise UnauthenticatedError(
            f"node {node.id} says service account {node.namespace}/{node.service_account}, "
            f"its token is of {identity.namespace}/{identity.service_account}"
        )
    if identity.pod is not None and identity.pod != node.pod:
        raise UnauthenticatedError(f"node {node.id} uses the token of pod {identity.namespace}/{identity.pod}")


class TokenReviewer:
    """Authenticator that asks the API server and keeps its answers.

    An accepted token is asked about again after `keep` seconds, a refused one after `keep_refused`. Tokens are kept
    as hashes only.
    """

    def __init__(
        self,
        client: Client,
        *,
        keep: float = 60.0,
        keep_refused: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._keep = keep
        self._keep_refused = keep_refused
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Identity | str]] = OrderedDict()

    async def identify(self, token: str) -> Identity:
        """See Authenticator."""
        key = hashlib.sha256(token.encode()).digest()
        until, answer = self._known.get(key, (0.0, ""))
        if until <= self._clock():
            answer = await self._review(token)
            keep = self._keep if isinstance(answer, Identity) else self._keep_refused
            self._known[key] = (self._clock() + keep, answer)
            self._known.move_to_end(key)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        if isinstance(answer, str):
            raise UnauthenticatedError(answer)
        return answer

    async def _review(self, token: str) -> Identity | str:
        review = {
            "apiVersion": TOKENREVIEW.api_version,
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token},
        }
        try:
            status = (await self._client.create(TOKENREVIEW, review)).get("status") or {}
        except ApiError as error:
            raise AuthenticationUnavailableError(f"cannot review the token: {error}") from error
        if not status.get("authenticated"):
            return f"the token was not accepted: {status.get('error') or 'not authenticated'}"
        user = status.get("user") or {}
        name = str(user.get("username") or "")
        namespace, _, account = name.removeprefix(_USER).partition(":")
        if not name.startswith(_USER) or not namespace or not account:
            return f"the token is of {name!r}, not of a service account"
        pods = (user.get("extra") or {}).get(_POD) or ()
        return Identity(namespace=namespace, service_account=account, pod=pods[0] if pods else None)
