"""What RequestAuthentications contribute to the snapshot: whom each is for, and where keys are to be fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from plait.api.meta import ObjectKey
from plait.api.security import JWTRule, RequestAuthentication
from plait.kit.memo import Key
from plait.snapshot.chosen import Chosen, chosen_of
from plait.snapshot.contribution import Contribution

_DISCOVERY: Final = "/.well-known/openid-configuration"


class TokenEntry(NamedTuple):
    """Member of `request_authentications`, the oldest first."""

    created: str
    name: str
    namespace: str
    chosen: Chosen

    @property
    def key(self) -> ObjectKey:
        """The RequestAuthentication."""
        return ObjectKey("RequestAuthentication", self.namespace, self.name)


class KeySource(NamedTuple):
    """Where the keys of an issuer are to be fetched. `discovery`: `url` is a document that says where they are."""

    url: str
    discovery: bool = False


class KeysWanted(NamedTuple):
    """Member of `key_sources`. `patience` is how long a fetch may take, as it is written; empty: nobody says."""

    source: KeySource
    namespace: str
    name: str
    path: str
    patience: str

    @property
    def key(self) -> ObjectKey:
        """The RequestAuthentication that asks for it."""
        return ObjectKey("RequestAuthentication", self.namespace, self.name)


class KeysStanding(NamedTuple):
    """How it is with one source: the keys in use, and why the last attempt to fetch them failed."""

    keys: str | None = None
    problem: str = ""


def request_authentications(namespace: str) -> Key:
    """Set of TokenEntry of a namespace."""
    return ("request-authentications", namespace)


def key_sources() -> Key:
    """Set of KeysWanted of the whole mesh."""
    return ("key-sources",)


def source_of(rule: JWTRule) -> KeySource | None:
    """Where the keys of a rule are to be fetched; None where it has them itself, or nobody knows.

    OpenID Connect Discovery 1.0, section 4: the document is below the issuer, which is a URL.
    """
    if rule.jwks:
        return None
    if rule.uri:
        return KeySource(rule.uri)
    if rule.issuer.startswith(("https://", "http://")):
        return KeySource(rule.issuer.removesuffix("/") + _DISCOVERY, discovery=True)
    return None


def request_authentication(found: RequestAuthentication, result: Contribution) -> None:
    """Its place among those of its namespace, and the keys that it wants."""
    meta, spec = found.metadata, found.spec
    chosen = chosen_of(spec.selector, spec.target_ref, spec.target_refs)
    entry = TokenEntry(meta.creation_timestamp, meta.name, meta.namespace, chosen)
    result.members.add((request_authentications(meta.namespace), entry))
    result.members.update((key_sources(), wanted) for wanted in wanted_by(found))


def wanted_by(found: RequestAuthentication) -> Iterator[KeysWanted]:
    """The keys that are to be fetched for it."""
    meta = found.metadata
    for index, rule in enumerate(found.spec.jwt_rules):
        source = source_of(rule)
        if source is not None:
            path = f"spec.jwtRules[{index}].{'jwksUri' if rule.uri else 'issuer'}"
            yield KeysWanted(source, meta.namespace, meta.name, path, rule.timeout or "")
