"""Tokens in a mesh: who is let in with which, what the application sees of them, and keys that change."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.tokens import SigningKey, encoded, key_set

from .conftest import Mesh, until
from .manifests import READY

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

#: Answers with the headers that it got, and its version.
WEB = """
import http.server, json, os
class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"version": os.environ["VERSION"], "path": self.path, "headers": headers}).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
class Server(http.server.ThreadingHTTPServer): request_queue_size = 128
Server(("", 8000), Web).serve_forever()
"""
#: An issuer: says which keys it has, as it was told by PUT, and where they are.
ISSUER = """
import http.server, json
keys = {"keys": []}
class Issuer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        global keys
        keys = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.answer({})
    def do_GET(self):
        where = {"jwks_uri": "http://issuer.auth/keys"}
        self.answer(where if "openid" in self.path else keys)
    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200); self.send_header("cache-control", "max-age=1")
        self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("", 8000), Issuer).serve_forever()
"""
URL = "http://issuer.auth"
KEY, NEXT, STRANGER = SigningKey("RS256", "first"), SigningKey("ES256", "second"), SigningKey("RS256", "first")


def token(key: SigningKey = KEY, **claims: Any) -> str:
    return key.sign({"iss": URL, "sub": "jane", "aud": "shop", "exp": time.time() + 3600, **claims})


def deployment(name: str, namespace: str, program: str, app: str, **variables: str) -> Iterator[dict[str, Any]]:
    metadata = {"name": name, "namespace": namespace}
    container = {
        "name": "program",
        "image": "python:3",
        "command": ["python3", "-c", program],
        "env": [{"name": key, "value": value} for key, value in variables.items()],
    }
    if program != "import time; time.sleep(1e6)":
        container["readinessProbe"] = READY
    labels = {"app": app, "version": variables.get("VERSION", "v1")}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def objects() -> Iterator[dict[str, Any]]:
    for namespace in ("shop", "auth"):
        labels = {"istio-injection": "enabled"}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    for name, namespace in (("web", "shop"), ("issuer", "auth")):
        spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8000}]}
        yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    yield from deployment("web-v1", "shop", WEB, "web", VERSION="v1")
    yield from deployment("web-v2", "shop", WEB, "web", VERSION="v2")
    yield from deployment("caller", "shop", "import time; time.sleep(1e6)", "caller")
    yield from deployment("issuer", "auth", ISSUER, "issuer")
    subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    yield networking("DestinationRule", {"host": "web", "subsets": subsets})
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    yield networking("Gateway", {"selector": {"istio": "ingressgateway"}, "servers": [server]})


def networking(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def policy(rule: dict[str, Any], namespace: str = "shop", **labels: str) -> dict[str, Any]:
    metadata = {"name": "tokens", "namespace": namespace}
    spec = {"selector": {"matchLabels": labels}, "jwtRules": [rule]}
    return {"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": metadata, "spec": spec}


def apply(mesh: Mesh, *found: dict[str, Any]) -> str:
    return mesh.kubectl(
        "apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*found]})
    ).stderr


def settled(mesh: Mesh, kind: str, namespace: str = "shop", name: str = "tokens") -> None:
    mesh.kubectl("-n", namespace, "wait", "--for=condition=Settled", f"{kind}/{name}", "--timeout=180s")


def condition(mesh: Mesh) -> dict[str, Any]:
    """The condition Settled; empty as long as none was written."""
    status = mesh.get("requestauthentication", "-n", "shop", "tokens").get("status") or {}
    return next((each for each in status.get("conditions") or () if each["type"] == "Settled"), {})


@pytest.fixture(scope="module")
def up(mesh: Mesh) -> Mesh:
    mesh.plait("up", "--ports", "auto")
    apply(mesh, *objects())
    for namespace, name in (("shop", "web-v1"), ("shop", "web-v2"), ("shop", "caller"), ("auth", "issuer")):
        mesh.kubectl("-n", namespace, "rollout", "status", f"deploy/{name}", "--timeout=180s")
    has(mesh, KEY)
    return mesh


@pytest.fixture(autouse=True)
def without_policies(up: Mesh) -> None:
    """Whatever the test before left: nobody is refused, and there is an issuer, with the first key."""
    for kind in ("requestauthentications", "authorizationpolicies", "peerauthentications", "virtualservices"):
        up.kubectl("delete", kind, "-A", "--all")
    up.kubectl("-n", "auth", "scale", "deploy/issuer", "--replicas=1")
    up.kubectl("-n", "auth", "rollout", "status", "deploy/issuer", "--timeout=180s")
    has(up, KEY)
    until("everybody is let in", lambda: call(up, "Authorization: Bearer bad")[0] == 200)


GIVE = """
import sys, urllib.request as u
u.urlopen(u.Request("http://127.0.0.1:8000/", sys.argv[1].encode(), method="PUT"))
"""


def has(mesh: Mesh, *keys: SigningKey) -> None:
    """Give the issuer its keys."""
    mesh.kubectl("-n", "auth", "exec", "deploy/issuer", "--", "python3", "-c", GIVE, key_set(*keys))


CALL = """
import json, sys, urllib.request as u
headers = dict(text.split(": ", 1) for text in sys.argv[2:])
try:
    answer = u.urlopen(u.Request(sys.argv[1], headers=headers), timeout=60)
    print(answer.status, answer.read().decode())
except u.HTTPError as error: print(error.code, json.dumps({"text": error.read().decode()}))
"""


def call(mesh: Mesh, *headers: str, url: str = "http://web/") -> tuple[int, dict[str, Any]]:
    """The answer to a request from a pod."""
    done = mesh.kubectl("-n", "shop", "exec", "deploy/caller", "--", "python3", "-c", CALL, url, *headers)
    status, _, body = done.stdout.partition(" ")
    return int(status), json.loads(body)


def in_force(mesh: Mesh) -> None:
    """A connection that was open before serves one more request by the old rules: wait until none is."""
    until("bad tokens are refused", lambda: all(call(mesh, bearer("nonsense"))[0] == 401 for _ in range(4)))


def bearer(text: str) -> str:
    return f"Authorization: Bearer {text}"


def test_tokens_are_checked_and_told_to_the_application(up: Mesh) -> None:
    rule = {
        "issuer": URL,
        "audiences": ["shop"],
        "jwks": key_set(KEY),
        "outputPayloadToHeader": "x-payload",
        "outputClaimToHeaders": [{"header": "x-subject", "claim": "sub"}, {"header": "x-team", "claim": "of.team"}],
    }
    assert "no effect" not in apply(up, policy(rule, app="web"))
    settled(up, "requestauthentication")
    in_force(up)
    assert call(up)[0] == 200
    status, answer = call(up, "x-subject: root")
    assert (status, answer["headers"].get("x-subject")) == (200, None)
    good = token(of={"team": "blue"})
    status, answer = call(up, bearer(good), "x-subject: root")
    headers = answer["headers"]
    assert (status, headers["x-subject"], headers["x-team"]) == (200, "jane", "blue")
    assert headers["x-payload"] == good.split(".")[1]
    assert "authorization" not in headers
    for bad, code in {
        "nonsense": 401,
        token(STRANGER): 401,
        token(exp=time.time() - 3600): 401,
        token(iss="https://somebody.else"): 401,
        token(aud="bank"): 403,
        f"{good[:-4]}AAAA": 401,
    }.items():
        assert call(up, bearer(bad))[0] == code
    # Others of the namespace are not concerned.
    assert call(up, bearer("nonsense"), url="http://issuer.auth/keys")[0] == 200


def test_keys_are_fetched_from_a_service_of_the_mesh_and_follow_the_issuer(up: Mesh) -> None:
    apply(up, policy({"issuer": URL, "jwksUri": f"{URL}/keys", "forwardOriginalToken": True}, app="web"))
    settled(up, "requestauthentication")
    in_force(up)
    first = token(KEY)
    status, answer = call(up, bearer(first))
    assert (status, answer["headers"]["authorization"]) == (200, f"Bearer {first}")
    assert call(up, bearer(token(NEXT)))[0] == 401
    has(up, KEY, NEXT)
    until("the new key is known", lambda: call(up, bearer(token(NEXT)))[0] == 200)
    until("the old key is still known", lambda: all(call(up, bearer(first))[0] == 200 for _ in range(4)))
    has(up, NEXT)
    until("the old key is not taken any more", lambda: all(call(up, bearer(first))[0] == 401 for _ in range(4)))
    until("the new key is used", lambda: all(call(up, bearer(token(NEXT)))[0] == 200 for _ in range(4)))
    shown = up.plait("explain", "--from", "deploy/caller.shop", "GET", "http://web/", "-H", bearer(first)).stdout
    assert "unknown key in header authorization" in shown
    assert "(RequestAuthentication/shop/tokens spec.jwtRules[0])" in shown
    assert first not in up.kubectl("-n", "istio-system", "logs", "deploy/istiod").stdout


def test_a_restart_of_istiod_refuses_no_valid_token(up: Mesh) -> None:
    apply(up, policy({"issuer": URL, "jwksUri": f"{URL}/keys"}, app="web"))
    settled(up, "requestauthentication")
    in_force(up)
    up.kubectl("-n", "istio-system", "delete", "pod", "-l", "app=istiod", "--wait=false")
    answers = [call(up, bearer(token()))[0] for _ in range(20)]
    up.kubectl("-n", "istio-system", "rollout", "status", "deploy/istiod", "--timeout=180s")
    until("all proxies are back", lambda: up.plait("proxy-status", code=None).stdout.count("SYNCED") >= 5 * 5)
    answers += [call(up, bearer(token()))[0] for _ in range(8)]
    assert answers == [200] * 28
    assert call(up, bearer("nonsense"))[0] == 401


def test_the_issuer_says_where_its_keys_are(up: Mesh) -> None:
    apply(up, policy({"issuer": URL}, app="web"))
    settled(up, "requestauthentication")
    in_force(up)
    assert call(up, bearer(token()))[0] == 200
    assert call(up, bearer(token(STRANGER)))[0] == 401


def test_keys_that_cannot_be_had_are_told_and_tokens_refused_until_they_come(up: Mesh) -> None:
    up.kubectl("-n", "auth", "scale", "deploy/issuer", "--replicas=0")
    until("the issuer is gone", lambda: not up.get("pods", "-n", "auth")["items"])
    apply(up, policy({"issuer": URL, "jwksUri": f"{URL}/keys", "timeout": "2s"}, app="web"))
    until("it is told", lambda: condition(up).get("reason") == "KeysUnavailable")
    told = condition(up)
    assert told["status"] == "False"
    assert f"{URL}/keys" in told["message"]
    in_force(up)
    until("tokens are refused", lambda: all(call(up, bearer(token()))[0] == 401 for _ in range(4)))
    assert call(up)[0] == 200
    shown = up.plait("explain", "--from", "deploy/caller.shop", "GET", "http://web/", "-H", bearer(token())).stdout
    assert "no keys in header authorization" in shown
    up.kubectl("-n", "auth", "scale", "deploy/issuer", "--replicas=1")
    up.kubectl("-n", "auth", "rollout", "status", "deploy/issuer", "--timeout=180s")
    has(up, KEY)
    settled(up, "requestauthentication")
    until("the keys are in use", lambda: all(call(up, bearer(token()))[0] == 200 for _ in range(4)))


def test_routes_of_the_gateway_by_claims(up: Mesh) -> None:
    def route(subset: str) -> list[dict[str, Any]]:
        return [{"destination": {"host": "web", "subset": subset}}]

    match = [{"headers": {"@request.auth.claims.groups": {"exact": "testers"}}}]
    rules = [{"match": match, "route": route("v2")}, {"route": route("v1")}]
    rule = {"issuer": URL, "jwksUri": f"{URL}/keys"}
    apply(
        up,
        policy(rule, namespace="istio-system", istio="ingressgateway"),
        networking("VirtualService", {"hosts": ["*"], "gateways": ["web"], "http": rules}),
    )
    settled(up, "requestauthentication", namespace="istio-system")
    settled(up, "virtualservice", name="web")

    def version(*headers: str) -> str:
        return json.loads(up.curl("/", *(part for header in headers for part in ("-H", header))).stdout)["version"]

    assert version() == "v1"
    assert version(bearer(token(groups=["users", "testers"]))) == "v2"
    assert version(bearer(token(groups="users"))) == "v1"
    assert up.code("/", "-H", bearer("nonsense")) == 401
    shown = up.plait(
        "explain", "--from", "deploy/istio-ingressgateway.istio-system", "GET", "http://web.example/", "--envoy",
        "-H", bearer(token(groups="testers")),
    ).stdout  # fmt: skip
    assert f"requestPrincipals: {URL}/jane" in shown
    assert "outbound|80|v2|web.shop.svc.cluster.local" in shown
    assert "does the same" in shown


def test_an_authorization_policy_demands_a_token(up: Mesh) -> None:
    allow = {
        "selector": {"matchLabels": {"app": "web"}},
        "rules": [
            {
                "from": [{"source": {"requestPrincipals": [f"{URL}/*"]}}],
                "when": [{"key": "request.auth.claims[scope]", "values": ["read"]}],
            }
        ],
    }
    authorization = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "tokens", "namespace": "shop"},
        "spec": allow,
    }
    apply(up, policy({"issuer": URL, "jwksUri": f"{URL}/keys"}, app="web"), authorization)
    settled(up, "requestauthentication")
    settled(up, "authorizationpolicy")
    in_force(up)
    until("a token is demanded", lambda: all(call(up)[0] == 403 for _ in range(4)))
    assert call(up, bearer("nonsense"))[0] == 401
    assert call(up, bearer(token()))[0] == 403
    assert call(up, bearer(token(scope="write read")))[0] == 200
    head, claims = ({"alg": "none"}, {"iss": URL, "sub": "root", "scope": "read"})
    unsigned = ".".join((*(encoded(json.dumps(each).encode()) for each in (head, claims)), ""))
    assert call(up, bearer(unsigned))[0] == 401
