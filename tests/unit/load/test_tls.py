"""Loads over TLS."""

import socket
import ssl

import pytest
from tests.certificates import self_signed

BODY = b"x" * 40_000


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    """A certificate for localhost and its key, as files."""
    made = self_signed("localhost")
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.pem)
    (folder / "key.pem").write_bytes(made.private)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def server(raw, identity):
    """A server that answers over TLS with more than one record."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)

    def handle(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                while secure.recv(65536):
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
        except OSError:
            return

    return raw(handle)


def test_a_trusted_server_is_loaded_on_kept_connections(run, server, identity) -> None:
    url = server.url.replace("http://127.0.0.1", "https://localhost")
    ran = run("load", "-c", "2", "-n", "8", "-qps", "0", "-cacert", str(identity[0]), "-quiet", url)
    assert "Code 200 : 8 (100.0 %)" in ran.lines
    assert "Sockets used: 2 (for perfect keepalive, would be 2)" in ran.lines


def test_an_unknown_server_is_refused_unless_told_otherwise(run, server) -> None:
    url = server.url.replace("http://127.0.0.1", "https://localhost")
    ran = run("load", "-c", "1", "-n", "2", "-qps", "0", url)
    assert "Code  -1 : 2 (100.0 %)" in ran.lines
    assert any("certificate verify failed" in entry.get("err", "") for entry in ran.logged)
    assert "Code 200 : 2 (100.0 %)" in run("load", "-c", "1", "-n", "2", "-qps", "0", "-k", "-quiet", url).lines


def test_certificates_that_are_none_end_it(run, server, tmp_path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    ran = run("load", "-n", "2", "-cacert", str(tmp_path / "x.pem"), server.url.replace("http", "https"))
    assert ran.code == 1
    assert "-cacert" in ran.lines[-1]
