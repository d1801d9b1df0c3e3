"""Certificates of a trial: made when it starts, for nobody but itself.

Two authorities, as in a mesh: one signs what sidecars show each other, the other stands for everybody else's. A caller
of mutual TLS shows a certificate of the mesh and takes no other; a caller of ordinary TLS takes any.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from plait.kit.certificates import draft, key_pem, make_root, new_key, pem
from plait.kit.certificates import name as named
from plait.simulate.call import STRANGER

Realm = Literal["mesh", "other"]
_LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """An authority's certificate, and one that it has signed with its key; all PEM. `sign` signs further ones."""

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    sign: Callable[[str], bytes] = field(repr=False)


def make_pair(name: str) -> Pair:
    """An authority and a certificate for any use."""
    now = datetime.now(UTC)
    root_key, root = make_root(named(f"trial {name}"), now)
    key = new_key()

    def sign(identity: str) -> bytes:
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity), x509.DNSName("trial")]
        leaf = (
            draft(named(name), root.subject, key.public_key(), begins=now - _LIFE, ends=now + _LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(root_key, SHA256())
        )
        return pem(leaf)

    return Pair(authority=pem(root), certificate=sign(STRANGER), key=key_pem(key), sign=sign)


class Certificates:
    """Both realms', and the settings of callers of each kind."""

    def __init__(self, folder: Path) -> None:
        self.pairs: dict[Realm, Pair] = {"mesh": make_pair("mesh"), "other": make_pair("other")}
        self._folder = folder
        self._files: dict[tuple[Realm, str], Path] = {}
        self._contexts: dict[tuple[Realm | None, bool, tuple[str, ...], str], ssl.SSLContext] = {}

    def caller(
        self, shows: Realm | None, *, strict: bool, alpn: tuple[str, ...], identity: str = STRANGER
    ) -> ssl.SSLContext:
        """Settings of a client that shows a realm's certificate for `identity`; `strict`: it takes no server of another
        realm.
        """
        key = (shows, strict, alpn, identity)
        if key not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED if strict else ssl.CERT_NONE
            if shows is not None:
                context.load_cert_chain(self._file(shows, identity))
                context.load_verify_locations(cadata=self.pairs[shows].authority.decode())
            if alpn:
                context.set_alpn_protocols(list(alpn))
            self._contexts[key] = context
        return self._contexts[key]

    def _file(self, realm: Realm, identity: str) -> str:
        pair, key = self.pairs[realm], (realm, identity)
        if key not in self._files:
            path = self._files[key] = self._folder / f"{realm}-{len(self._files)}.pem"
            path.touch(mode=0o600)
            path.write_bytes(pair.sign(identity) + pair.key)
        return str(self._files[key])
