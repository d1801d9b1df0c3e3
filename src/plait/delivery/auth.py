"""Who a proxy is: by the certificate that it has shown to TLS, or by the bearer token of its stream, which the API
server reviews and whose answers are kept for a while.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from cryptography import x509

from plait.api.spiffe import DEFAULT_TRUST_DOMAIN, SCHEME, parse_identity
from plait.kube.errors import ApiError
from plait.kube.kinds import TOKENREVIEW
from plait.rpc.stream import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from plait.kube.client import Client
    from plait.mesh.node import ProxyNode
    from plait.rpc.stream import Stream

log = logging.getLogger(__name__)

#: The audience of tokens that are made for the mesh's authority (Istio's projected `istio-token`).
AUDIENCE: Final = "istio-ca"
_USER = "system:serviceaccount:"
_POD = "authentication.kubernetes.io/pod-name"
_KEPT = 4096


class UnauthenticatedError(Exception):
    """The caller has not proved who it is, or says it is somebody else; the message never holds the token."""


class AuthenticationUnavailableError(Exception):
    """Nobody can say now; the proxy should come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A service account, and the pod its token is bound to if it is bound; a certificate names no pod."""

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
            f"its proof is of {identity.namespace}/{identity.service_account}"
        )
    if identity.pod is not None and identity.pod != node.pod:
        raise UnauthenticatedError(f"node {node.id} uses the token of pod {identity.namespace}/{identity.pod}")


class Prover:
    """Tells who is at the other end of a stream. `domains` are the trust domains whose workloads are ours."""

    def __init__(
        self, tokens: Authenticator, *, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    ) -> None:
        self.domains: frozenset[str] = frozenset((DEFAULT_TRUST_DOMAIN,))
        self._tokens = tokens
        self._now = now

    async def identify(self, stream: Stream) -> Identity:
        """By its certificate, and where that will not do by its token. Raises UnauthenticatedError or
        AuthenticationUnavailableError.
        """
        shown = stream.peer_certificate
        if shown is None:
            return await self._tokens.identify(bearer(stream.metadata))
        try:
            return of_certificate(shown, self.domains, self._now())
        except UnauthenticatedError:
            if "authorization" not in stream.metadata:
                raise
        return await self._tokens.identify(bearer(stream.metadata))

    async def prove(self, stream: Stream) -> Identity:
        """As `identify`; a stream that proves nothing is ended, with a status that says why."""
        try:
            return await self.identify(stream)
        except UnauthenticatedError as error:
            log.warning("refused a caller: %s", error)
            await stream.refuse(Refusal.UNAUTHENTICATED, str(error))
        except AuthenticationUnavailableError as error:
            log.warning("cannot authenticate a caller: %s", error)
            await stream.refuse(Refusal.UNAVAILABLE, str(error))


def of_certificate(der: bytes, domains: Collection[str], now: dt.datetime) -> Identity:
    """The workload that a certificate names, whose chain TLS has verified; raises UnauthenticatedError.

    TLS looked at its time when the connection began, which may be long ago.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound):
        uris = []
    if len(uris) != 1 or (identity := parse_identity(uris[0])) is None:
        said = ", ".join(uris) or "none"
        raise UnauthenticatedError(f"the client certificate must name one workload ({SCHEME}…/ns/…/sa/…), not {said}")
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise UnauthenticatedError(f"the client certificate of {identity.uri} has ended: connect with a newer one")
    if identity.trust_domain not in domains:
        known = ", ".join(sorted(domains))
        raise UnauthenticatedError(f"the client certificate is of {identity.uri}; trust domains here: {known}")
    return Identity(namespace=identity.namespace, service_account=identity.service_account)


def _audience(token: str) -> tuple[str, ...]:
    """For which audience a token is to be reviewed: the mesh's where it says that it is for it, else the API's own.

    The token is not believed, it only chooses the question.
    """
    try:
        part = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        said = claims.get("aud")
    except (IndexError, ValueError, AttributeError, msgspec.DecodeError):
        return ()
    return (AUDIENCE,) if said == AUDIENCE or (isinstance(said, list) and AUDIENCE in said) else ()


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
        audiences = _audience(token)
        review = {
            "apiVersion": TOKENREVIEW.api_version,
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token} | ({"audiences": list(audiences)} if audiences else {}),
        }
        try:
            status = (await self._client.create(TOKENREVIEW, review)).get("status") or {}
        except ApiError as error:
            raise AuthenticationUnavailableError(f"cannot review the token: {error}") from error
        if not status.get("authenticated"):
            return f"the token was not accepted: {status.get('error') or 'not authenticated'}"
        if audiences and not set(audiences) & set(status.get("audiences") or ()):
            # A server that knows nothing of audiences says yes to all of them.
            return f"the token was not accepted for the audience {AUDIENCE}"
        user = status.get("user") or {}
        name = str(user.get("username") or "")
        namespace, _, account = name.removeprefix(_USER).partition(":")
        if not name.startswith(_USER) or not namespace or not account:
            return f"the token is of {name!r}, not of a service account"
        pods = (user.get("extra") or {}).get(_POD) or ()
        return Identity(namespace=namespace, service_account=account, pod=pods[0] if pods else None)
