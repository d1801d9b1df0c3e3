"""What the authority signs, for whom, and what it refuses to be made of; openssl and Python's ssl verify."""

from __future__ import annotations

import datetime as dt
import subprocess
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.unit.citadel.authorities import NOW, plugged_in, rsa_plugged_in, signing_request

from plait.citadel.authority import (
    LARGEST_CSR,
    USUAL_LIFE,
    Authority,
    BadAuthorityError,
    BadRequestError,
    Pems,
    life_of,
    make_pems,
    public_key,
)
from plait.kit.certificates import key_pem, make_root, name, new_key, pem, read_certificates

URI = "spiffe://cluster.local/ns/sock-shop/sa/carts"


def self_made() -> Authority:
    return Authority.load(make_pems("cluster.local", NOW), NOW)


def verified_by_openssl(tmp_path, chain: tuple[str, ...], *, purpose: str, at: dt.datetime = NOW) -> str:
    leaf, *between, roots = chain
    for file, text in (("leaf", leaf), ("between", "".join(between)), ("roots", roots)):
        (tmp_path / file).write_text(text)
    command = ["openssl", "verify", "-x509_strict", "-attime", str(int(at.timestamp())), "-purpose", purpose]
    command += ["-CAfile", str(tmp_path / "roots")]
    if between:
        command += ["-untrusted", str(tmp_path / "between")]
    done = subprocess.run([*command, str(tmp_path / "leaf")], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("pems", [make_pems("cluster.local", NOW), plugged_in()], ids=["self-made", "plugged in"])
def test_a_workloads_chain_is_verified_by_openssl_for_both_ends(tmp_path, pems: Pems) -> None:
    authority = Authority.load(pems, NOW)
    chain = authority.chain(authority.certify(new_key().public_key(), URI, now=NOW))
    for purpose in ("sslserver", "sslclient"):
        assert verified_by_openssl(tmp_path, chain, purpose=purpose).endswith("leaf: OK\n")
    late = verified_by_openssl(tmp_path, chain, purpose="sslclient", at=NOW + USUAL_LIFE + dt.timedelta(seconds=1))
    assert "certificate has expired" in late


def test_a_workloads_certificate_says_who_it_is_and_nothing_else() -> None:
    key = new_key()
    leaf = self_made().certify(key.public_key(), URI, now=NOW)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(names.value) == [x509.UniformResourceIdentifier(URI)]
    assert names.critical, "there is no subject"
    assert not list(leaf.subject)
    assert leaf.public_key() == key.public_key()
    assert leaf.not_valid_before_utc == NOW - dt.timedelta(minutes=2)
    assert leaf.not_valid_after_utc == NOW + dt.timedelta(hours=24)
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    uses = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert uses == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_a_servers_certificate_is_for_a_server_only(tmp_path) -> None:
    authority = self_made()
    key = new_key().public_key()
    leaf = authority.certify_server(key, ["istiod.istio-system.svc"], ["10.0.0.7"], now=NOW)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["istiod.istio-system.svc"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    chain = authority.chain(leaf)
    assert "leaf: OK" in verified_by_openssl(tmp_path, chain, purpose="sslserver")
    assert "leaf: OK" not in verified_by_openssl(tmp_path, chain, purpose="sslclient")


def test_nothing_is_signed_for_longer_than_the_authority_itself_is_good() -> None:
    authority = Authority.load(plugged_in(life=dt.timedelta(hours=5)), NOW)
    leaf = authority.certify(new_key().public_key(), URI, now=NOW)
    assert leaf.not_valid_after_utc == NOW + dt.timedelta(hours=5) == authority.ends
    with pytest.raises(BadRequestError, match="has ended at 2026-05-01 17:00 UTC"):
        authority.certify(new_key().public_key(), URI, now=NOW + dt.timedelta(hours=6))


def test_the_answer_is_leaf_then_what_is_between_then_the_root() -> None:
    authority = Authority.load(plugged_in(), NOW)
    leaf, between, root = authority.chain(authority.certify(new_key().public_key(), URI, now=NOW))
    assert read_certificates(between.encode()) == (authority.certificate,)
    assert read_certificates(root.encode()) == authority.roots
    assert len(read_certificates(leaf.encode())) == 1
    made = self_made()
    assert len(made.chain(made.certify(new_key().public_key(), URI, now=NOW))) == 2


def test_several_roots_are_trusted_together() -> None:
    pems = plugged_in()
    _, other = make_root(name("before"), NOW)
    authority = Authority.load(replace(pems, roots=pem(other) + pems.roots), NOW)
    assert authority.roots_pem.count("BEGIN CERTIFICATE") == 2
    chain = authority.chain(authority.certify(new_key().public_key(), URI, now=NOW))
    assert chain[-1] == authority.roots_pem


def test_an_rsa_authority_signs_too(tmp_path) -> None:
    authority = Authority.load(rsa_plugged_in(), NOW)
    chain = authority.chain(authority.certify(new_key().public_key(), URI, now=NOW))
    assert "leaf: OK" in verified_by_openssl(tmp_path, chain, purpose="sslclient")


def encrypted(key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


def of_ed25519() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def a_leaf() -> tuple[bytes, bytes]:
    key = new_key()
    return pem(self_made().certify(key.public_key(), URI, now=NOW)), key_pem(key)


@pytest.mark.parametrize(
    ("change", "part", "says"),
    [
        ({"certificate": b""}, "ca-cert.pem", "no certificate in it"),
        (
            {"certificate": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
            "ca-cert.pem",
            "not a cert",
        ),
        ({"key": b"rubbish"}, "ca-key.pem", "not a private key in PEM"),
        ({"key": key_pem(new_key())}, "ca-key.pem", "does not belong to"),
        ({"key": encrypted(new_key())}, "ca-key.pem", "store it without a password"),
        ({"key": of_ed25519()}, "ca-key.pem", "only keys on P-256"),
        ({"roots": b""}, "root-cert.pem", "no certificate in it"),
        ({"roots": pem(make_root(name("else"), NOW)[1])}, "cert-chain.pem", "does not lead to a root in root-cert.pem"),
        (dict(zip(("certificate", "key"), a_leaf(), strict=True)), "ca-cert.pem", "not one of an authority"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_authority_is_told(change: dict[str, bytes], part: str, says: str) -> None:
    with pytest.raises(BadAuthorityError, match=says) as caught:
        Authority.load(replace(plugged_in(), **change), NOW)
    assert caught.value.part == part
    assert str(caught.value).startswith(part)


def test_an_authority_of_another_time_is_told() -> None:
    with pytest.raises(BadAuthorityError, match=r"ca-cert.pem: the certificate CN=Acme mesh is for another time"):
        Authority.load(plugged_in(), NOW + dt.timedelta(days=400))
    with pytest.raises(BadAuthorityError, match="another time"):
        Authority.load(make_pems("cluster.local", NOW), NOW - dt.timedelta(days=3))


def test_no_key_is_shown() -> None:
    pems = make_pems("cluster.local", NOW)
    assert b"PRIVATE KEY" in pems.key
    assert "PRIVATE" not in repr(pems)
    assert "PRIVATE" not in repr(Authority.load(pems, NOW))


# requests


@pytest.mark.parametrize(
    "key",
    [new_key(), ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["P-256", "P-384", "RSA"],
)
def test_the_key_of_a_request(key) -> None:
    assert public_key(signing_request(key)) == key.public_key()


def tampered() -> str:
    """The request of one key with the signature of another's."""
    der, other = (x509.load_pem_x509_csr(signing_request().encode()) for _ in range(2))
    bent = der.public_bytes(Encoding.DER).replace(
        der.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    )
    return x509.load_der_x509_csr(bent).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("csr", "says"),
    [
        ("", "not a signing request"),
        ("rubbish", "not a signing request"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "not a signing request"),
        ("x" * (LARGEST_CSR + 1), "too large"),
        (tampered(), "not of its own key"),
        (signing_request(rsa.generate_private_key(65537, 1024)), "the key is not taken"),
        (signing_request(ec.generate_private_key(ec.SECP256K1())), "the key is not taken"),
    ],
    ids=["empty", "rubbish", "no PKCS #10", "too large", "tampered", "RSA 1024", "secp256k1"],
)
def test_requests_that_are_not_signed(csr: str, says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        public_key(csr)


def test_an_ed25519_key_is_not_taken() -> None:
    csr = (
        x509.CertificateSigningRequestBuilder().subject_name(name("x")).sign(ed25519.Ed25519PrivateKey.generate(), None)
    )
    with pytest.raises(BadRequestError, match="make one on P-256"):
        public_key(csr.public_bytes(Encoding.PEM).decode())


def test_for_how_long() -> None:
    assert life_of(0) == USUAL_LIFE
    assert life_of(60) == dt.timedelta(minutes=1)
    for seconds in (-1, 90 * 86400 + 1, 1 << 62):
        with pytest.raises(BadRequestError, match="ask for 1 to 7776000 s"):
            life_of(seconds)
