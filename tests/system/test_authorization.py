"""Who may call whom in a mesh: AuthorizationPolicies, over requests and connections, in sidecars and at the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Mesh, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

#: Answers every request with its method and path, and its path with what the path says; over TCP it speaks first.
SERVER = """
import http.server, socketserver, threading
class First(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 ready\\n")
        for line in self.rfile: self.wfile.write(line)
class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        body = (self.command + " " + self.path).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = answer
    def log_message(self, *words): pass
socketserver.ThreadingTCPServer.allow_reuse_address = True
class Server(http.server.ThreadingHTTPServer): request_queue_size = 128
threading.Thread(target=socketserver.ThreadingTCPServer(("", 2525), First).serve_forever, daemon=True).start()
Server(("", 8000), Web).serve_forever()
"""
#: Lets through whoever shows the token, and says why not.
GUARD = """
import http.server
class Guard(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        good = self.headers.get("x-token") == "good"
        self.send_response(200 if good else 403)
        if not good: self.send_header("x-reason", "no token on " + self.path)
        self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("", 8000), Guard).serve_forever()
"""
SLEEP = "import time; time.sleep(1e6)"
#: Keeps a connection to the server, and says what the next request on it is answered, whether the connection is told to
#: end, and how many there have been.
KEEPER = """
import http.client, http.server, json
link = http.client.HTTPConnection("web.shop", timeout=60); opened = 0
class Keeper(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global opened
        opened += link.sock is None
        link.request("GET", self.path); answer = link.getresponse(); answer.read()
        said = json.dumps([answer.status, answer.getheader("connection"), opened]).encode()
        self.send_response(200); self.send_header("content-length", str(len(said))); self.end_headers()
        self.wfile.write(said)
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", 7777), Keeper).serve_forever()
"""
#: What a server says before anybody has asked it anything, and an empty line for nothing.
GREET = """
import socket
link = socket.create_connection(("web.shop", 2525), timeout=60); link.settimeout(20)
try: print(link.recv(100).decode().strip())
except OSError: print("")
"""
#: Says something and reads what comes.
TALK = """
import socket
link = socket.create_connection(("web.shop", 2525), timeout=60); link.settimeout(20)
said = b""
try:
    link.sendall(b"ping\\n")
    while not said.endswith(b"ping\\n"):
        data = link.recv(100)
        if not data: break
        said += data
except OSError: pass
print("ping" in said.decode())
"""
#: name, namespace, program, whether it has a sidecar
PODS = (
    ("web", "shop", SERVER, True),
    ("guard", "shop", GUARD, True),
    ("friend", "shop", KEEPER, True),
    ("foe", "shop", SLEEP, True),
    ("neighbour", "other", SLEEP, True),
    ("stranger", "other", SLEEP, False),
)
DENIED = (403, "RBAC: access denied")


def objects() -> Iterator[dict[str, Any]]:
    for namespace in ("shop", "other"):
        labels = {"istio-injection": "enabled"}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    for name, ports in (
        ("web", [{"name": "http", "port": 80, "targetPort": 8000}, {"name": "tcp-first", "port": 2525}]),
        ("guard", [{"name": "http", "port": 8000}]),
    ):
        yield _object("v1", "Service", name, "shop", {"selector": {"app": name}, "ports": ports})
    for name, namespace, program, injected in PODS:
        metadata = {"name": name, "namespace": namespace}
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        container: dict[str, Any] = {"name": name, "image": "python:3", "command": ["python3", "-c", program]}
        if program in {SERVER, GUARD}:
            container["readinessProbe"] = {"tcpSocket": {"port": 8000}, "periodSeconds": 1, "timeoutSeconds": 60}
        template = {
            "metadata": {
                "labels": {"app": name},
                "annotations": {} if injected else {"sidecar.istio.io/inject": "false"},
            },
            "spec": {"serviceAccountName": name, "containers": [container]},
        }
        spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
        yield _object("apps/v1", "Deployment", name, namespace, spec)
    servers = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
    route = [{"destination": {"host": "web", "port": {"number": 80}}}]
    api = "networking.istio.io/v1"
    yield _object(api, "Gateway", "edge", "shop", {"selector": {"istio": "ingressgateway"}, "servers": servers})
    rule = {"hosts": ["*"], "gateways": ["edge"], "http": [{"route": route}]}
    yield _object(api, "VirtualService", "edge", "shop", rule)
    guard = {"service": "guard.shop.svc.cluster.local", "port": 8000, "pathPrefix": "/check", "timeout": "20s",
             "includeRequestHeadersInCheck": ["x-token"], "headersToDownstreamOnDeny": ["x-reason"]}  # fmt: skip
    settings = {
        "extensionProviders": [{"name": "guard", "envoyExtAuthzHttp": guard}],
        "defaultConfig": {"gatewayTopology": {"numTrustedProxies": 1}},
    }
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": json.dumps(settings)},
    }


def _object(version: str, kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


@pytest.fixture(scope="module")
def up(mesh: Mesh) -> Mesh:
    mesh.plait("up", "--ports", "auto")
    mesh.kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*objects()]}))
    for name, namespace, _, _ in PODS:
        mesh.kubectl("rollout", "status", "-n", namespace, f"deploy/{name}", "--timeout=180s")
    return mesh


@pytest.fixture(autouse=True)
def open_mesh(up: Mesh) -> None:
    """Nobody is refused."""
    up.kubectl("delete", "authorizationpolicies", "-A", "--all")
    for caller in ("friend", "foe", "neighbour", "stranger"):
        until(f"{caller} is let in", lambda caller=caller: ask(up, caller) == (200, "GET /"))
    until("the gateway is open", lambda: up.code("/") == 200)


def run(mesh: Mesh, name: str, *command: str) -> str:
    namespace = next(place for pod, place, _, _ in PODS if pod == name)
    return mesh.kubectl("exec", "-n", namespace, f"deploy/{name}", "-c", name, "--", *command, code=None).stdout


def ask(mesh: Mesh, name: str, path: str = "/", *more: str) -> tuple[int, str]:
    """Status and body of a workload's request."""
    said = run(mesh, name, "curl", "-s", "-m", "60", "-w", "\n%{http_code}", *more, f"http://web.shop{path}")
    body, _, status = said.rpartition("\n")
    return int(status or 0), body


def greeting(mesh: Mesh, name: str) -> str:
    """What the server that speaks first says to a workload."""
    return run(mesh, name, "python3", "-c", GREET).strip()


def talks(mesh: Mesh, name: str) -> bool:
    """Whether that server answers it."""
    return run(mesh, name, "python3", "-c", TALK).strip() == "True"


def policy(mesh: Mesh, name: str, spec: dict[str, Any], namespace: str = "shop", **annotations: str) -> None:
    """A policy that all proxies concerned have."""
    obj = _object("security.istio.io/v1", "AuthorizationPolicy", name, namespace, spec)
    obj["metadata"]["annotations"] = annotations
    done = mesh.kubectl("apply", "-f", "-", given=json.dumps(obj))
    assert "no effect" not in done.stderr
    mesh.kubectl("-n", namespace, "wait", "--for=condition=Settled", f"authorizationpolicy/{name}", "--timeout=180s")


def source(**fields: list[str]) -> list[dict[str, Any]]:
    return [{"source": fields}]


def operation(**fields: list[str]) -> list[dict[str, Any]]:
    return [{"operation": fields}]


FRIEND = source(principals=["cluster.local/ns/shop/sa/friend"])
WEB = {"selector": {"matchLabels": {"app": "web"}}}


def test_nothing_is_allowed_and_then_opened_step_by_step(up: Mesh) -> None:
    policy(up, "nothing", {})
    for caller in ("friend", "foe", "neighbour", "stranger"):
        until(f"{caller} is refused", lambda caller=caller: ask(up, caller) == DENIED)
    until("the gateway's calls too", lambda: up.code("/") == 403)
    policy(up, "friend", {**WEB, "rules": [{"from": FRIEND, "to": operation(methods=["GET"], paths=["/public/*"])}]})
    until("one may read", lambda: ask(up, "friend", "/public/x") == (200, "GET /public/x"))
    assert ask(up, "friend", "/private") == DENIED
    assert ask(up, "friend", "/public/x", "-X", "POST") == DENIED
    assert ask(up, "foe", "/public/x") == DENIED
    assert ask(up, "stranger", "/public/x") == DENIED
    policy(up, "neighbours", {**WEB, "rules": [{"from": source(namespaces=["other"])}]})
    until("the other namespace may", lambda: ask(up, "neighbour") == (200, "GET /"))
    # Without a sidecar it has no identity, whatever its namespace.
    assert ask(up, "stranger") == DENIED
    assert up.code("/") == 403
    gateway = source(serviceAccounts=["istio-system/istio-ingressgateway-service-account"])
    policy(up, "edge", {**WEB, "rules": [{"from": gateway}]})
    until("the gateway may", lambda: up.code("/") == 200)
    assert ask(up, "foe") == DENIED


def test_who_is_denied_is_denied_whatever_is_allowed(up: Mesh) -> None:
    policy(up, "everybody", {**WEB, "rules": [{}]})
    policy(up, "foes", {**WEB, "action": "DENY", "rules": [{"from": source(principals=["*/sa/foe"])}]})
    until("by identity", lambda: ask(up, "foe") == DENIED)
    assert ask(up, "friend") == (200, "GET /")
    policy(up, "writes", {**WEB, "action": "DENY", "rules": [{"to": operation(methods=["POST"])}]})
    until("by method", lambda: ask(up, "friend", "/", "-X", "POST") == DENIED)
    policy(up, "admin", {**WEB, "action": "DENY", "rules": [{"to": operation(paths=["/admin", "/admin/{**}"])}]})
    until("by path", lambda: ask(up, "friend", "/admin/x/y") == DENIED)
    assert ask(up, "friend", "/administration") == (200, "GET /administration")
    # For the whole mesh.
    spec = {"action": "DENY", "rules": [{"from": source(notNamespaces=["shop", "istio-system"])}]}
    policy(up, "foreign", spec, "istio-system")
    until("by namespace", lambda: ask(up, "neighbour") == DENIED)
    until("who has none", lambda: ask(up, "stranger") == DENIED)
    assert ask(up, "friend") == (200, "GET /")
    when = [{"key": "request.headers[x-user]", "values": ["eve"]}]
    policy(up, "eve", {**WEB, "action": "DENY", "rules": [{"when": when}]})
    until("by header", lambda: ask(up, "friend", "/", "-H", "x-user: eve") == DENIED)


def test_what_is_settled_holds_for_connections_that_are_open(up: Mesh) -> None:
    def on_it(path: str = "/") -> tuple[int, str | None, int]:
        """The next request on the connection of `friend`, which its sidecar and that of the server keep one for."""
        status, ending, opened = json.loads(run(up, "friend", "curl", "-s", f"http://127.0.0.1:7777{path}"))
        return status, ending, opened

    def between() -> int:
        """How many connections the sidecar has opened to the server."""
        found = run(up, "friend", "curl", "-s", "http://127.0.0.1:15000/clusters").splitlines()
        lines = [line for line in found if line.startswith("outbound|80||web.shop") and "::cx_total::" in line]
        assert len(lines) == 1
        return int(lines[0].rpartition("::")[2])

    _, _, opened = on_it()
    before = between()
    guarded = {**WEB, "action": "CUSTOM", "rules": [{"to": operation(paths=["/guarded/*"])}]}
    for spec, answers in (
        ({**WEB, "action": "DENY", "rules": [{"from": FRIEND}]}, {"/": 403}),
        ({**WEB, "rules": [{"from": FRIEND, "to": operation(methods=["GET"])}]}, {"/": 200}),
        ({}, {"/": 403}),
        ({**guarded, "provider": {"name": "guard"}}, {"/": 200, "/guarded/x": 403}),
        ({**guarded, "provider": {"name": "nobody"}}, {"/": 200, "/guarded/x": 403}),
    ):
        policy(up, "p", spec)
        for path, status in answers.items():
            assert on_it(path) == (status, None, opened)
    up.kubectl("delete", "-n", "shop", "authorizationpolicy/p")
    policy(up, "after", {**WEB, "action": "DENY", "rules": [{"to": operation(paths=["/elsewhere"])}]})
    assert on_it("/guarded/x") == (200, None, opened)
    assert between() == before


def test_connections(up: Mesh) -> None:
    for caller in ("friend", "foe", "stranger"):
        until(f"{caller} is greeted", lambda caller=caller: greeting(up, caller) == "220 ready")
    # No rule about requests allows anything over bytes; what is said of ports does.
    policy(up, "get", {**WEB, "rules": [{"to": operation(methods=["GET"])}]})
    until("connections are refused", lambda: not talks(up, "friend"))
    assert ask(up, "foe") == (200, "GET /")
    policy(up, "database", {**WEB, "rules": [{"from": FRIEND, "to": operation(ports=["2525"])}]})
    until("one may connect", lambda: talks(up, "friend"))
    assert greeting(up, "friend") == "220 ready"
    # The server speaks first, and yet not to those who may not hear it.
    assert not greeting(up, "foe")
    assert not greeting(up, "stranger")
    assert not talks(up, "foe")
    policy(up, "no-database", {**WEB, "action": "DENY", "rules": [{"to": operation(ports=["2525"])}]})
    until("nobody may", lambda: not talks(up, "friend"))
    assert ask(up, "friend") == (200, "GET /")


def test_what_is_only_tried(up: Mesh) -> None:
    spec = {**WEB, "action": "DENY", "rules": [{"from": source(namespaces=["other"])}]}
    policy(up, "tried", spec, **{"istio.io/dry-run": "true"})

    def counted() -> int:
        url = "http://127.0.0.1:15000/stats?filter=istio_dry_run_deny_.shadow_denied"
        found = run(up, "web", "curl", "-s", url).split()
        return max((int(word) for word in found if word.isdigit()), default=0)

    assert ask(up, "neighbour") == (200, "GET /")
    until("it is counted", lambda: ask(up, "neighbour") == (200, "GET /") and counted() > 0)
    said = up.plait("explain", "--from", "deploy/neighbour.other", "GET", "http://web.shop/").stdout
    assert "would be denied   (AuthorizationPolicy/shop/tried spec.rules[0])" in said
    up.kubectl("annotate", "-n", "shop", "authorizationpolicy/tried", "istio.io/dry-run-")
    until("it counts", lambda: ask(up, "neighbour") == DENIED)


def test_the_gateway(up: Mesh) -> None:
    edge = {"selector": {"matchLabels": {"istio": "ingressgateway"}}}
    rule = {"from": source(remoteIpBlocks=["192.0.2.0/24"]), "to": operation(hosts=["shop.example"])}
    policy(up, "clients", {**edge, "rules": [rule]}, "istio-system")
    client, host = ("-H", "x-forwarded-for: 192.0.2.7"), ("-H", "host: shop.example")
    until("it is closed", lambda: up.code("/") == 403)
    assert up.code("/", *client) == 403
    assert up.code("/", *host) == 403
    assert up.code("/", *host, "-H", "x-forwarded-for: 198.51.100.7") == 403
    until("who comes from there for that host", lambda: up.code("/", *host, *client) == 200)
    assert ask(up, "friend") == (200, "GET /")


def test_another_is_asked(up: Mesh) -> None:
    rule = {"to": operation(paths=["/guarded/*"])}
    policy(up, "guarded", {**WEB, "action": "CUSTOM", "provider": {"name": "guard"}, "rules": [rule]})

    def head() -> str:
        return run(up, "friend", "curl", "-s", "-D-", "-o/dev/null", "http://web.shop/guarded/x")

    # Who cannot be asked yet lets nobody through either, but gives no reason.
    until("without a token", lambda: "x-reason: no token on /check/guarded/x" in head())
    assert ask(up, "friend", "/guarded/x")[0] == 403
    assert ask(up, "friend", "/guarded/x", "-H", "x-token: good") == (200, "GET /guarded/x")
    assert ask(up, "friend", "/free") == (200, "GET /free")
    # What nobody can be asked about is denied.
    policy(up, "guarded", {**WEB, "action": "CUSTOM", "provider": {"name": "nobody"}, "rules": [rule]})
    until("even with one", lambda: ask(up, "friend", "/guarded/x", "-H", "x-token: good") == DENIED)
    assert ask(up, "friend", "/free") == (200, "GET /free")


def test_explain_says_who_denied(up: Mesh) -> None:
    policy(up, "friends", {**WEB, "rules": [{"from": FRIEND}]})

    def explained(caller: str, *more: str) -> str:
        return up.plait("explain", "--from", f"deploy/{caller}.shop", "GET", *more, "http://web/").stdout

    assert "authorization  allowed   (AuthorizationPolicy/shop/friends spec.rules[0])" in explained("friend")
    said = explained("foe")
    assert "authorization  denied: no policy allows it   (AuthorizationPolicy/shop/friends)" in said
    assert "answered with  403" in said
    policy(up, "foes", {**WEB, "action": "DENY", "rules": [{}, {"from": source(principals=["*/sa/foe"])}]})
    assert "denied   (AuthorizationPolicy/shop/foes spec.rules[0])" in explained("friend")
    inbound = ("--inbound", "--mutual", "--caller", "shop/foe", "--envoy")
    said = up.plait("explain", "--from", "deploy/web.shop", *inbound, "GET", "http://web:8000/").stdout
    assert "envoy          does the same" in said
