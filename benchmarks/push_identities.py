"""Certificates of a benchmark's proxies: an authority as istiod's, and a workload's certificate for each namespace."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Iterable
from pathlib import Path

from plait.api.spiffe import DEFAULT_TRUST_DOMAIN, WorkloadIdentity
from plait.citadel.authority import Authority, Pems, make_pems
from plait.citadel.listening import Listening
from plait.kit.certificates import key_pem, new_key, pem

SERVER = "istiod.istio-system.svc"


def make_identities(folder: Path, namespaces: Iterable[str]) -> None:
    now = dt.datetime.now(dt.UTC)
    pems = make_pems(DEFAULT_TRUST_DOMAIN, now)
    (folder / "ca-cert.pem").write_bytes(pems.certificate)
    (folder / "ca-key.pem").write_bytes(pems.key)
    authority = Authority.load(pems, now)
    for namespace in namespaces:
        key = new_key()
        identity = WorkloadIdentity(DEFAULT_TRUST_DOMAIN, namespace, "default")
        leaf = authority.certify(key.public_key(), identity.uri, now=now)
        (folder / f"{namespace}.pem").write_bytes(key_pem(key) + pem(leaf))


def server_context(folder: Path) -> ssl.SSLContext:
    """As istiod's port 15012 has it."""
    certificate = (folder / "ca-cert.pem").read_bytes()
    pems = Pems(certificate=certificate, key=(folder / "ca-key.pem").read_bytes(), roots=certificate)
    listening = Listening([SERVER], ["127.0.0.1"])
    listening.take(Authority.load(pems, dt.datetime.now(dt.UTC)))
    return listening.context


def client_context(folder: Path, namespace: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca-cert.pem"))
    context.load_cert_chain(folder / f"{namespace}.pem")
    context.set_alpn_protocols(["h2"])
    return context
