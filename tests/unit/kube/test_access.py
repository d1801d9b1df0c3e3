from __future__ import annotations

import base64
import json
import ssl

import pytest
from tests.certificates import self_signed

from plait.kube.access import Access
from plait.kube.errors import AccessError


def pair() -> tuple[str, str]:
    made = self_signed("admin")
    return made.pem.decode(), made.private.decode()


def kubeconfig(path, *, user: dict, cluster: dict | None = None) -> None:
    path.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "shop"}}],
                "clusters": [{"name": "k", "cluster": {"server": "https://h:6443/"} | (cluster or {})}],
                "users": [{"name": "u", "user": user}],
            }
        )
    )


def test_a_kubeconfig_gives_server_authority_and_client_certificate(tmp_path):
    cert, key = pair()
    (tmp_path / "ca.pem").write_text(cert)
    kubeconfig(
        tmp_path / "config",
        cluster={"certificate-authority": "ca.pem"},
        user={
            "client-certificate-data": base64.b64encode(cert.encode()).decode(),
            "client-key-data": base64.b64encode(key.encode()).decode(),
        },
    )
    access = Access.from_kubeconfig(tmp_path / "config")
    assert (access.server, access.namespace, access.ca) == ("https://h:6443", "shop", cert)
    assert isinstance(access.tls(), ssl.SSLContext)
    assert "PRIVATE" not in repr(access)


def test_a_certificate_with_another_key_is_refused(tmp_path):
    access = Access(server="https://h", client_cert=pair()[0], client_key=pair()[1])
    with pytest.raises(AccessError, match="do not belong together"):
        access.tls()


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"exec": {"command": "aws"}}, "'exec', which is not supported"),
        ({"client-certificate-data": "%%"}, "client-certificate-data is not base64"),
        ({"client-certificate": "none.pem"}, r"none\.pem"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, user, message):
    kubeconfig(tmp_path / "config", user=user)
    with pytest.raises(AccessError, match=message):
        Access.from_kubeconfig(tmp_path / "config")


def test_an_unknown_context_lists_those_there_are(tmp_path):
    kubeconfig(tmp_path / "config", user={"token": "t"})
    with pytest.raises(AccessError, match="no context 'x' in contexts; there is 'c'"):
        Access.from_kubeconfig(tmp_path / "config", context="x")
    with pytest.raises(AccessError, match="cannot be read: No such file"):
        Access.from_kubeconfig(tmp_path / "absent")


def test_a_pod_finds_its_server_in_its_service_account(tmp_path):
    for name, text in (("ca.crt", "CA"), ("namespace", "shop"), ("token", "t")):
        (tmp_path / name).write_text(text)
    access = Access.in_cluster(tmp_path, host="fd00::1", port=443)
    assert access.server == "https://[fd00::1]:443"
    assert (access.namespace, access.token_file) == ("shop", tmp_path / "token")
    with pytest.raises(AccessError, match="no service account"):
        Access.in_cluster(tmp_path / "absent", host="10.0.0.1", port="443")
