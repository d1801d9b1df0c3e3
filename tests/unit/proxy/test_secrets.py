"""The table of certificates, from what Envoy shows."""

from __future__ import annotations

import base64
import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from plait.kit import certificates
from plait.proxy.secrets import secret_rows, secrets

NOW = dt.datetime(2030, 5, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def inline(pem: bytes) -> dict[str, str]:
    return {"inline_bytes": base64.b64encode(pem).decode()}


def dump(**groups):
    kind = "type.googleapis.com/envoy.admin.v3.SecretsConfigDump"
    return {"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"}, {"@type": kind, **groups}]}


def leaf(root_key, root, *, ends):
    uri = x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/a")
    key = certificates.new_key()
    return (
        certificates.draft(x509.Name([]), root.subject, key.public_key(), begins=NOW - DAY, ends=ends)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=True)
        .sign(root_key, SHA256())
    )


def test_leaves_roots_and_secrets_that_have_not_come() -> None:
    key, root = certificates.make_root(certificates.name("root"), NOW)
    _, other = certificates.make_root(certificates.name("other"), NOW - 4000 * DAY)
    fresh, old = leaf(key, root, ends=NOW + DAY), leaf(key, root, ends=NOW - dt.timedelta(hours=1))
    chain = {"certificate_chain": inline(certificates.pem(fresh, root)), "private_key": inline(b"[redacted]")}
    active = [
        {"name": "default", "version_info": "7", "secret": {"name": "default", "tls_certificate": chain}},
        {"name": "ROOTCA", "secret": {"validation_context": {"trusted_ca": inline(certificates.pem(root, other))}}},
        {"name": "old", "secret": {"tls_certificate": {"certificate_chain": inline(certificates.pem(old))}}},
        {"name": "odd", "secret": {"tls_certificate": {"certificate_chain": {"inline_bytes": "%%%"}}}},
    ]
    found = dump(dynamic_active_secrets=active, dynamic_warming_secrets=[{"name": "kubernetes://x"}])
    rows = secret_rows(found, NOW)
    identity = "spiffe://cluster.local/ns/shop/sa/a"
    assert [(r.name, r.type, r.status, r.valid, r.identity) for r in rows] == sorted(
        [
            ("ROOTCA", "CA", "ACTIVE", "true", ""),
            ("ROOTCA", "CA", "ACTIVE", "false", ""),
            ("default", "Cert Chain", "ACTIVE", "true", identity),
            ("kubernetes://x", "", "WARMING", "false", ""),
            ("odd", "Cert Chain", "ACTIVE", "false", ""),
            ("old", "Cert Chain", "ACTIVE", "false", identity),
        ]
    )
    mine = next(row for row in rows if row.name == "default")
    assert (mine.not_after, mine.not_before) == ("2030-05-02T12:00:00Z", "2030-04-30T12:00:00Z")
    assert int(mine.serial, 16) == fresh.serial_number
    assert [each["name"] for each in secrets(found)] == ["default", "ROOTCA", "old", "odd", "kubernetes://x"]
    assert secret_rows({"configs": []}, NOW) == []
