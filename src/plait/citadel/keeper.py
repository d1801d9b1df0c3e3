"""Where the authority's key is kept: in a Secret of the root namespace, made once; a user's own (`cacerts`) wins."""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime as dt
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from plait.citadel.authority import Authority, BadAuthorityError, Pems, make_pems
from plait.kube.backoff import Backoff
from plait.kube.errors import AlreadyExists, ApiError
from plait.kube.kinds import SECRET
from plait.kube.reflect import Source, reflect

if TYPE_CHECKING:
    from plait.kube.client import Object
    from plait.kube.kinds import Kind

log = logging.getLogger(__name__)

#: A user's own authority, and the one that is made; names and keys are Istio's.
PLUGGED_IN: Final = "cacerts"
SELF_MADE: Final = "istio-ca-secret"
_CERTIFICATE, _KEY, _CHAIN, _ROOTS = "ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"
#: The same under the names of Secrets of type kubernetes.io/tls, as cert-manager makes them.
_TLS: Final = {_CERTIFICATE: "tls.crt", _KEY: "tls.key", _CHAIN: "tls.crt", _ROOTS: "ca.crt"}


class Secrets(Source, Protocol):
    """The part of a client that is needed."""

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        """See `Client.get`."""
        ...

    async def create(self, kind: Kind, obj: Object) -> Object:
        """See `Client.create`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The authority of the mesh, as files and as what they are; `secret` is where they come from."""

    secret: str
    pems: Pems
    authority: Authority


class Keeper:
    """Follows both Secrets. `took` is told the authority and each that takes its place; what cannot be used is told by
    `faulty` (the Secret, and why), and the authority before stays.

    A self-made Secret that is deleted is not put back: deleting it and starting istiod again is how a new root is had.
    """

    def __init__(
        self,
        client: Secrets,
        namespace: str,
        *,
        took: Callable[[Kept], None],
        faulty: Callable[[Object, str], None] = lambda _obj, _why: None,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        #: Why there is no authority, or not the one that there should be; empty when all is well.
        self.problem = "the Secret with the authority's key has not been read yet"
        self._client = client
        self._namespace = namespace
        self._took = took
        self._faulty = faulty
        self._now = now
        self._seen: dict[str, Object | None] = {}
        self._kept: Kept | None = None
        self._trust_domain: str | None = None
        self._signal = asyncio.Event()

    def begin(self, trust_domain: str) -> None:
        """The mesh's settings are known: an authority that is made now is one of this trust domain."""
        if self._trust_domain is None:
            self._signal.set()
        self._trust_domain = trust_domain

    async def run(self) -> None:
        """Keep it until cancelled."""
        backoff, failures = Backoff(), 0
        async with asyncio.TaskGroup() as tasks:
            for name in (PLUGGED_IN, SELF_MADE):
                tasks.create_task(self._follow(name), name=f"follow {name}")
            while True:
                await self._signal.wait()
                self._signal.clear()
                if self._trust_domain is None or len(self._seen) < 2:
                    continue
                try:
                    await self._decide(self._trust_domain)
                    failures = 0
                except ApiError as error:
                    failures += 1
                    self.problem = f"Secret {self._namespace}/{SELF_MADE} cannot be written: {error}"
                    log.warning("%s", self.problem)
                    await asyncio.sleep(backoff.wait(failures))
                    self._signal.set()

    async def _follow(self, name: str) -> None:
        fields = f"metadata.name={name}"
        async with aclosing(reflect(self._client, [SECRET], namespace=self._namespace, fields=fields)) as batches:
            async for batch in batches:
                for obj in batch.upserts:
                    self._seen[name] = obj
                if batch.deletes or (batch.synced and not batch.upserts):
                    self._seen[name] = None
                self._signal.set()

    async def _decide(self, trust_domain: str) -> None:
        for name in (PLUGGED_IN, SELF_MADE):
            if (obj := self._seen[name]) is not None:
                self._take(name, obj)
                return
        if self._kept is not None and self._kept.secret == SELF_MADE:
            self.problem = ""
            log.warning("Secret %s/%s is gone; its authority serves until istiod ends", self._namespace, SELF_MADE)
            return
        self._take(SELF_MADE, await self._make(trust_domain))

    async def _make(self, trust_domain: str) -> Object:
        """The Secret, which another istiod may have made meanwhile."""
        pems = make_pems(trust_domain, self._now())
        labels = {"app.kubernetes.io/managed-by": "plait"}
        made = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SELF_MADE, "namespace": self._namespace, "labels": labels},
            "type": "istio.io/ca-root",
            "data": {
                _CERTIFICATE: base64.b64encode(pems.certificate).decode(),
                _KEY: base64.b64encode(pems.key).decode(),
            },
        }
        try:
            obj = await self._client.create(SECRET, made)
            log.info("made the mesh's root certificate: Secret %s/%s", self._namespace, SELF_MADE)
        except AlreadyExists:
            obj = await self._client.get(SECRET, SELF_MADE, self._namespace)
        return obj

    def _take(self, name: str, obj: Object) -> None:
        try:
            pems = read_plugged_in(obj) if name == PLUGGED_IN else read_self_made(obj)
            if self._kept is not None and (self._kept.secret, self._kept.pems) == (name, pems):
                self.problem = ""
                return
            authority = Authority.load(pems, self._now())
        except BadAuthorityError as error:
            remedy = (
                "correct or delete it" if name == PLUGGED_IN else "delete it, and istiod makes another when it starts"
            )
            why = f"cannot be the mesh's authority: {error} ({remedy})"
            self.problem = f"Secret {self._namespace}/{name} {why}"
            log.error("%s", self.problem)  # noqa: TRY400 -- no fault of this code
            self._faulty(obj, why)
            return
        self.problem = ""
        self._kept = Kept(secret=name, pems=pems, authority=authority)
        log.info("certificates are signed with Secret %s/%s", self._namespace, name)
        self._took(self._kept)


def read_self_made(obj: Object) -> Pems:
    """The authority in a Secret `istio-ca-secret`, Istio's own too; raises BadAuthorityError."""
    certificate = _file(obj, _CERTIFICATE)
    return Pems(certificate=certificate, key=_file(obj, _KEY), roots=certificate)


def read_plugged_in(obj: Object) -> Pems:
    """The authority in a Secret `cacerts`; raises BadAuthorityError."""
    names = {name: name for name in _TLS}
    if _CERTIFICATE not in _data(obj) and _TLS[_CERTIFICATE] in _data(obj):
        names = _TLS
    certificate, key, roots = (_file(obj, names[name], name) for name in (_CERTIFICATE, _KEY, _ROOTS))
    chain = _file(obj, names[_CHAIN]) if _data(obj).get(names[_CHAIN]) else b""
    return Pems(certificate=certificate, key=key, chain=chain, roots=roots)


def _data(obj: Object) -> dict[str, Any]:
    return obj.get("data") or {}


def _file(obj: Object, name: str, usual: str = "") -> bytes:
    text = _data(obj).get(name)
    if not text:
        others = ", ".join(sorted(_data(obj))) or "nothing"
        raise BadAuthorityError(usual or name, f"key {name} is missing: there is {others}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadAuthorityError(usual or name, f"key {name} is not base64") from None
