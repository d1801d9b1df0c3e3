"""Mutual TLS in a mesh: who is let in, whom the application sees, and that turning it on costs nobody a connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Mesh, until
from .manifests import HTTP, READY, account, deployment, listed, namespace, python, service

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

#: Says over HTTP what it was told of the caller's certificate; over TCP it speaks first, then answers each line.
SERVER = """
import http.server, socketserver, threading
class First(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 ready\\n")
        for line in self.rfile: self.wfile.write(line)
class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = str(self.headers.get("x-forwarded-client-cert")).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
socketserver.ThreadingTCPServer.allow_reuse_address = True
class Server(http.server.ThreadingHTTPServer): request_queue_size = 128
threading.Thread(target=socketserver.ThreadingTCPServer(("", 2525), First).serve_forever, daemon=True).start()
Server(("", 8000), Web).serve_forever()
"""
#: Calls for ever: on a connection that it keeps, on a new one, and on one of bytes. Numbers each round.
CALLER = """
import http.client, itertools, socket, time
def opened():
    line = socket.create_connection(("web", 2525), timeout=60).makefile("rwb")
    return line if line.readline() else None
while True:
    try:
        line = opened()
        if line: break
    except OSError: pass
    time.sleep(0.1)
kept = http.client.HTTPConnection("web", timeout=60)
for number in itertools.count():
    words = []
    for connection in (kept, http.client.HTTPConnection("web", timeout=60)):
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            words.append(str(answer.status))
        except (OSError, http.client.HTTPException) as error:
            words.append(type(error).__name__)
    connection.close()
    try:
        line.write(b"ping\\n"); line.flush()
        words.append(line.readline().decode().strip() or "closed")
    except OSError as error:
        words.append(type(error).__name__)
    print(number, *words, flush=True)
    time.sleep(0.02)
"""
GREET = "import socket; print(socket.create_connection(('{}', 2525), timeout=20).makefile().readline().strip())"
GOOD = ["200", "200", "ping"]
FIRST = {"name": "tcp-first", "port": 2525}


def objects() -> Iterator[dict[str, Any]]:
    yield from (namespace("tls"), namespace("plain", injected=False))
    yield service("web", "tls", HTTP, FIRST)
    yield service("direct", "tls", FIRST, selector={"app": "web"}, clusterIP="None")
    for name, place, program, ready in (
        ("web", "tls", SERVER, {"readinessProbe": READY}),
        ("caller", "tls", CALLER, {}),
        ("stranger", "plain", "import time; time.sleep(1e6)", {}),
    ):
        yield account(name, place)
        yield deployment(name, place, python(program, name=name, **ready), serviceAccountName=name)
    servers = [
        {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
        {
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
            "hosts": ["web.example"],
            "tls": {"mode": "ISTIO_MUTUAL"},
        },
    ]
    route = [{"destination": {"host": "web", "port": {"number": 80}}}]
    for kind, spec in (
        ("Gateway", {"selector": {"istio": "ingressgateway"}, "servers": servers}),
        ("VirtualService", {"hosts": ["*"], "gateways": ["edge"], "http": [{"route": route}]}),
    ):
        yield {
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": {"name": "edge", "namespace": "tls"},
            "spec": spec,
        }


@pytest.fixture(scope="module")
def up(mesh: Mesh) -> Mesh:
    mesh.plait("up", "--ports", "auto")
    mesh.kubectl("apply", "-f", "-", given=listed(*objects()))
    for place in (("-n", "tls", "deploy/web"), ("-n", "tls", "deploy/caller"), ("-n", "plain", "deploy/stranger")):
        mesh.kubectl("rollout", "status", *place, "--timeout=180s")
    until("calls succeed", lambda: [call[1:] for call in calls(mesh)[-5:]] == [GOOD] * 5)
    return mesh


@pytest.fixture(autouse=True)
def without_policies(up: Mesh) -> None:
    """As the mesh is by itself."""
    up.kubectl("delete", "peerauthentications", "-A", "--all")
    up.kubectl("delete", "destinationrules", "-A", "--all")
    until("plain callers are let in", lambda: ask(up, "stranger") == (True, "None"))


def calls(mesh: Mesh) -> list[list[str]]:
    done = mesh.kubectl("-n", "tls", "logs", "deployment/caller", "-c", "caller", code=None)
    return [] if done.returncode else [line.split() for line in done.stdout.splitlines()]


def run(mesh: Mesh, name: str, *command: str) -> tuple[bool, str]:
    place = ("-n", "plain" if name == "stranger" else "tls", f"deploy/{name}", "-c", name, "--")
    done = mesh.kubectl("exec", *place, *command, code=None)
    return done.returncode == 0, done.stdout.strip()


def ask(mesh: Mesh, name: str, url: str = "http://web.tls/", *more: str) -> tuple[bool, str]:
    """Whether a workload's call of the application is answered, and what it saw of the caller's certificate."""
    return run(mesh, name, "curl", "-sf", "-m", "60", *more, url)


def greeting(mesh: Mesh, name: str, host: str) -> str:
    done, said = run(mesh, name, "python3", "-c", GREET.format(host))
    return said if done else ""


def policy(mesh: Mesh, mode: str, **spec: Any) -> None:
    """The policy of the namespace, in effect."""
    obj = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "tls"},
        "spec": {"mtls": {"mode": mode}, **spec},
    }
    mesh.kubectl("apply", "-f", "-", given=json.dumps(obj))
    mesh.kubectl("-n", "tls", "wait", "--for=condition=Settled", "peerauthentication/default", "--timeout=180s")


def rule(mesh: Mesh, host: str, tls: dict[str, str], namespace: str = "tls") -> None:
    obj = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "rule", "namespace": namespace},
        "spec": {"host": host, "trafficPolicy": {"tls": tls}},
    }
    mesh.kubectl("apply", "-f", "-", given=json.dumps(obj))


def identity(name: str, namespace: str = "tls") -> str:
    return f"URI=spiffe://cluster.local/ns/{namespace}/sa/{name}"


def test_the_application_sees_who_calls(up: Mesh) -> None:
    done, seen = ask(up, "caller", "http://web/", "-H", "x-forwarded-client-cert: forged")
    assert done
    assert identity("caller") in seen
    assert "forged" not in seen
    assert "/ns/istio-system/sa/istio-ingressgateway" in up.curl("/").stdout
    # Not of the mesh: let in by PERMISSIVE, and nothing is said of it, whatever it says itself.
    assert ask(up, "stranger", "http://web.tls/", "-H", "x-forwarded-client-cert: forged") == (True, "None")
    assert greeting(up, "stranger", "web.tls") == "220 ready"


def test_strict_lets_in_nobody_else(up: Mesh) -> None:
    policy(up, "STRICT")
    assert ask(up, "stranger") == (False, "")
    assert not greeting(up, "stranger", "web.tls")
    assert not greeting(up, "stranger", "direct.tls")
    assert identity("caller") in ask(up, "caller", "http://web/")[1]
    assert up.code("/") == 200
    for host in ("web", "direct"):
        assert greeting(up, "caller", host) == "220 ready"


def test_strict_comes_and_goes_and_nobody_in_mutual_tls_notices(up: Mesh) -> None:
    before = len(calls(up))
    for mode in ("STRICT", "PERMISSIVE", "STRICT"):
        policy(up, mode)
        until(mode, lambda mode=mode: ask(up, "stranger")[0] == (mode == "PERMISSIVE"))
    since = len(calls(up))
    until("more calls", lambda: len(calls(up)) > since + 50)
    wrong = [call for call in calls(up)[before:] if call[1:] != GOOD]
    assert not wrong


def test_a_port_may_do_without(up: Mesh) -> None:
    policy(up, "STRICT")
    obj = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "web", "namespace": "tls"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "mtls": {"mode": "STRICT"},
            "portLevelMtls": {"8000": {"mode": "DISABLE"}},
        },
    }
    up.kubectl("apply", "-f", "-", given=json.dumps(obj))
    until("the port is open", lambda: ask(up, "stranger") == (True, "None"))
    # Callers of the mesh know it, and the other port is as before.
    until("plain calls", lambda: ask(up, "caller", "http://web/") == (True, "None"))
    assert up.code("/") == 200
    assert not greeting(up, "stranger", "web.tls")
    assert greeting(up, "caller", "web") == "220 ready"


def test_a_rule_says_what_callers_send(up: Mesh) -> None:
    rule(up, "web", {"mode": "DISABLE"})
    until("plain calls", lambda: ask(up, "caller", "http://web/") == (True, "None"))
    policy(up, "STRICT")
    until("they are refused", lambda: not ask(up, "caller", "http://web/")[0])
    rule(up, "web", {"mode": "ISTIO_MUTUAL"})
    until("they are let in", lambda: identity("caller") in ask(up, "caller", "http://web/")[1])


def test_a_gateway_with_the_certificate_of_the_mesh(up: Mesh) -> None:
    edge = "istio-ingressgateway.istio-system.svc.cluster.local"
    asked = ("caller", f"http://{edge}:8443/", "-H", "host: web.example")
    assert not ask(up, *asked)[0], "without a rule gateways are spoken to plainly"
    rule(up, edge, {"mode": "ISTIO_MUTUAL", "sni": "web.example"})
    until("the gateway answers", lambda: "/sa/istio-ingressgateway" in ask(up, *asked)[1])
    assert not run(up, "stranger", "curl", "-skf", "-m", "30", "--connect-to", f"web.example:443:{edge}:8443",
                   "https://web.example/")[0]  # fmt: skip


def test_disable_comes_and_goes_without_a_failed_request(up: Mesh) -> None:
    before = len(calls(up))
    for mode, seen in (("DISABLE", "None"), ("PERMISSIVE", identity("caller"))):
        policy(up, mode)
        until(mode, lambda seen=seen: seen in ask(up, "caller", "http://web/")[1])
    since = len(calls(up))
    until("more calls", lambda: len(calls(up)) > since + 50)
    assert not [call for call in calls(up)[before:] if call[1:3] != GOOD[:2]]
