"""A look at the API server's keys before each start: of a damaged one only logs would tell otherwise."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from plait.app import pki


class DamagedKeysError(Exception):
    """A file of the folder cannot be used; says which, and the way back."""


def examine(folder: Path, command: str) -> None:
    """Raise DamagedKeysError for what is there and cannot be relied on; what is missing altogether is made later.

    `command` is how commands about this mesh begin.
    """
    for names, check, gone in (
        (("ca.crt", "ca.key"), _pair, (folder,)),
        (("server.crt", "server.key"), _pair, (folder / "server.crt", folder / "server.key")),
        (("sa.key",), _key, (folder / "sa.key",)),
        (("tokens.json",), _tokens, (folder / "tokens.json",)),
    ):
        paths = [folder / name for name in names]
        if not any(path.exists() for path in paths):
            continue
        try:
            check(*paths)
        except (OSError, ValueError, TypeError, KeyError) as error:
            words = " and ".join(map(str, paths))
            again = shlex.join(["rm", "-rf", *map(str, gone)])
            why = str(error).partition(" See http")[0]
            raise DamagedKeysError(
                f"{words} cannot be used: {why}\n{again}, and {command} up makes new ones; objects stay"
            ) from error


def _pair(certificate: Path, key: Path) -> None:
    certified = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    if _bytes(certified) != _bytes(_loaded(key).public_key()):
        raise ValueError("they do not belong together")


def _key(path: Path) -> None:
    _loaded(path)


def _loaded(path: Path) -> PrivateKeyTypes:
    return serialization.load_pem_private_key(path.read_bytes(), None)


def _bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _tokens(path: Path) -> None:
    try:
        json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError("it is not JSON") from error
    for use in ("admin", "node"):
        pki.token(path.parent, use)
