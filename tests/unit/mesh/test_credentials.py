"""Secrets as credentials: which one a name means, what can be used, and that nothing of a key is ever shown."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from tests.certificates import self_signed

from plait.api.decode import decode
from plait.mesh.credentials import (
    Authorities,
    Certificate,
    Credential,
    authorities_name,
    credential,
    credential_name,
    secret_names,
)
from plait.snapshot.reader import recording
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance

NAMESPACE = "istio-system"


def pair(password: bytes | None = None) -> tuple[bytes, bytes]:
    made = self_signed("test", begins=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    hidden = BestAvailableEncryption(password) if password else NoEncryption()
    return made.pem, made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)


CHAIN, KEY = pair()


def found(name: str, namespace: str = NAMESPACE, **secrets: dict[str, bytes]) -> Credential:
    changes = []
    for own, data in secrets.items():
        values = {key: base64.b64encode(value).decode() for key, value in data.items()}
        meta = {"name": own.replace("_", "-"), "namespace": NAMESPACE}
        decoded = decode({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": values})
        assert decoded.key is not None
        changes.append(ObjectChange(decoded.key, decoded.value))
    snapshot, _ = advance(Snapshot(), changes)
    reader, _ = recording(snapshot)
    return credential(reader, name, namespace)


def test_a_secret_of_either_form_is_a_certificate_with_its_key() -> None:
    for names in (("tls.crt", "tls.key"), ("cert", "key")):
        value = found("kubernetes://a", a=dict(zip(names, (CHAIN, KEY), strict=True))).value
        assert isinstance(value, Certificate)
        assert (value.chain, value.key) == (CHAIN, KEY)


def test_authorities_come_from_a_secret_of_their_own_or_else_from_that_of_the_certificate() -> None:
    other, _ = pair()
    both = {"a": {"tls.crt": CHAIN, "tls.key": KEY, "ca.crt": CHAIN}, "a_cacert": {"cacert": other, "crl": b"revoked"}}
    assert found("kubernetes://a-cacert", **both).value == Authorities(certificates=other, revoked=b"revoked")
    assert found("kubernetes://a-cacert", a=both["a"]).value == Authorities(certificates=CHAIN)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"tls.crt": CHAIN}, "it has neither tls.crt and tls.key nor cert and key"),
        ({"tls.crt": b"x", "tls.key": KEY}, "its certificate is no certificate in PEM form"),
        ({"tls.crt": CHAIN, "tls.key": b"x"}, "its key is no unencrypted private key in PEM form"),
        ({"tls.crt": CHAIN, "tls.key": pair(b"secret")[1]}, "its key is no unencrypted private key in PEM form"),
        ({"tls.crt": CHAIN, "tls.key": pair()[1]}, "its key is not the key of its certificate"),
    ],
)
def test_what_a_proxy_would_refuse_is_refused_before_with_words(data: dict[str, bytes], words: str) -> None:
    credential = found("kubernetes://a", a=data)
    assert credential.value is None
    assert words in credential.problem


def test_a_missing_secret_is_named_with_its_namespace() -> None:
    assert found("kubernetes://a").problem == "there is no Secret 'a' in namespace istio-system, the proxy's own"
    assert "neither ca.crt nor cacert" in found("kubernetes://a-cacert", a={"tls.crt": CHAIN, "tls.key": KEY}).problem


def test_secrets_of_other_namespaces_are_out_of_reach() -> None:
    good = {"tls.crt": CHAIN, "tls.key": KEY}
    assert found("kubernetes://istio-system/a", a=good).value is not None
    assert found("kubernetes://istio-system/a", "elsewhere", a=good).value is None
    assert found("kubernetes://a", "elsewhere", a=good).value is None
    assert secret_names("kubernetes://other/a", NAMESPACE) == ()
    assert secret_names("file-cert:/etc/x", NAMESPACE) == ()


def test_names_on_the_wire_are_istios() -> None:
    assert credential_name("a") == "kubernetes://a"
    assert authorities_name("a") == authorities_name("a-cacert") == "kubernetes://a-cacert"
    assert secret_names("kubernetes://a-cacert", NAMESPACE) == ("a-cacert", "a")


def test_no_key_is_in_any_text() -> None:
    hidden = base64.b64encode(KEY).decode()
    meta = {"name": "a", "namespace": NAMESPACE}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"tls.key": hidden, "tls.crt": ["x"]}}
    refused = decode(secret)
    assert refused.value is None
    good = decode({**secret, "data": {"tls.key": hidden, "tls.crt": base64.b64encode(CHAIN).decode()}})
    value = found("kubernetes://a", a={"tls.crt": CHAIN, "tls.key": KEY})
    shown = f"{refused!r} {good!r} {value!r} {[str(problem) for problem in refused.problems]}"
    assert hidden not in shown
    assert "PRIVATE" not in shown
