"""The mesh's certificate authority, as users meet it: the root in namespaces, certificates by tokens, an own root."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from plait.api.certificate_service import METHOD, CertificateRequest, decode_response, encode_request

from .conftest import BIN, Mesh, until

pytestmark = pytest.mark.system

SYSTEM = "istio-system"
#: What somebody would ask for who may not have it.
COVETED = "spiffe://cluster.local/ns/istio-system/sa/istiod"


@pytest.fixture(scope="module")
def up(mesh: Mesh) -> Mesh:
    mesh.plait("up", "--ports", "auto")
    return mesh


@pytest.fixture
def running(up: Mesh) -> Mesh:
    """The mesh with the root that it has made, whatever the test before did."""
    up.plait("up", "--ports", "auto")
    up.kubectl("delete", "secret", "cacerts", "-n", SYSTEM, "--ignore-not-found")
    made = base64.b64decode(up.get("secret", "istio-ca-secret", "-n", SYSTEM)["data"]["ca-cert.pem"]).decode()
    until("its root is that", lambda: root(up) == made)
    return up


def root(mesh: Mesh, namespace: str = "default") -> str:
    """What pods of a namespace trust."""
    command = ("get", "configmap", "istio-ca-root-cert", "-n", namespace, "-o", "json", "--ignore-not-found")
    said = mesh.kubectl(*command).stdout
    return str(json.loads(said)["data"].get("root-cert.pem", "")) if said else ""


def request() -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(COVETED)])
    signed = builder.add_extension(names, critical=False).sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


@contextmanager
def istiod(mesh: Mesh) -> Iterator[str]:
    """Its port with TLS, as an address of this machine."""
    command = [str(BIN / "kubectl"), "-n", SYSTEM, "port-forward", "svc/istiod", ":15012"]
    with subprocess.Popen(command, env=mesh.environment, stdout=subprocess.PIPE, text=True) as forwarding:
        assert forwarding.stdout is not None
        found = re.search(r"127\.0\.0\.1:\d+", forwarding.stdout.readline())
        assert found is not None
        try:
            yield found[0]
        finally:
            forwarding.terminate()


def ask(mesh: Mesh, token: str) -> tuple[str, ...]:
    """A certificate's chain; trust is what the namespace `default` says.

    As agents do it asks again while istiod cannot be reached, or shows a certificate of the root before or after that
    one, as it may for a moment when roots change.
    """
    options = (("grpc.ssl_target_name_override", "istiod.istio-system.svc"), ("grpc.use_local_subchannel_pool", 1))
    message = encode_request(CertificateRequest(request()))

    def answered() -> tuple[str, ...] | None:
        trust = grpc.ssl_channel_credentials(until("a root to trust", lambda: root(mesh)).encode())
        with istiod(mesh) as address, grpc.secure_channel(address, trust, options) as channel:
            call = channel.unary_unary(METHOD)
            try:
                return decode_response(call(message, metadata=(("authorization", f"Bearer {token}"),), timeout=60))
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return None

    return until("istiod answers", answered)


def names(chain: tuple[str, ...]) -> list[str]:
    leaf = x509.load_pem_x509_certificate(chain[0].encode())
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(each.value) for each in found]


def token(mesh: Mesh, *options: str, account: str = "default") -> str:
    return mesh.kubectl("create", "token", account, *options).stdout.strip()


def verified(folder: Path, chain: tuple[str, ...]) -> bool:
    """Whether openssl finds its way from the first to the last."""
    leaf, *between, last = chain
    for file, text in (("leaf", leaf), ("between", "".join(between)), ("roots", last)):
        (folder / file).write_text(text)
    command = ["openssl", "verify", "-purpose", "sslclient", "-CAfile", folder / "roots"]
    command += ["-untrusted", folder / "between"] if between else []
    return subprocess.run([*command, folder / "leaf"], capture_output=True, check=False).returncode == 0


def test_a_service_account_gets_its_own_certificate_and_no_other(running: Mesh, tmp_path: Path) -> None:
    chain = ask(running, token(running, "--audience", "istio-ca"))
    assert names(chain) == ["spiffe://cluster.local/ns/default/sa/default"], "not what the request says"
    assert chain[-1] == root(running)
    assert verified(tmp_path, chain)
    assert names(ask(running, token(running))) == ["spiffe://cluster.local/ns/default/sa/default"]


def test_a_pods_own_token_will_do(running: Mesh) -> None:
    path = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    own = running.kubectl("exec", "-n", SYSTEM, "deploy/istio-ingressgateway", "--", "cat", path).stdout.strip()
    account = "istio-ingressgateway-service-account"
    assert names(ask(running, own)) == [f"spiffe://cluster.local/ns/{SYSTEM}/sa/{account}"]


@pytest.mark.parametrize("kind", ["of another audience", "rubbish"])
def test_a_token_that_is_not_for_the_mesh_is_refused(running: Mesh, kind: str) -> None:
    shown = token(running, "--audience", "vault") if kind == "of another audience" else "rubbish"
    with pytest.raises(grpc.RpcError) as caught:
        ask(running, shown)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "the token was not accepted" in caught.value.details()
    assert shown not in caught.value.details()


def test_every_namespace_has_the_root_and_keeps_it(running: Mesh) -> None:
    first = until("a root", lambda: root(running))
    running.kubectl("create", "namespace", "later")
    until("the new namespace has it", lambda: root(running, "later") == first)
    running.kubectl("delete", "configmap", "istio-ca-root-cert", "-n", "later")
    until("it is back", lambda: root(running, "later") == first)
    patch = json.dumps({"data": {"root-cert.pem": "mine"}})
    running.kubectl("patch", "configmap", "istio-ca-root-cert", "-n", "later", "--type=merge", "-p", patch)
    until("it is as it was", lambda: root(running, "later") == first)


def test_the_root_survives_the_mesh(running: Mesh) -> None:
    first = root(running)
    secret = running.get("secret", "istio-ca-secret", "-n", SYSTEM)
    assert (secret["type"], sorted(secret["data"])) == ("istio.io/ca-root", ["ca-cert.pem", "ca-key.pem"])
    running.plait("down")
    running.plait("up", "--ports", "auto")
    assert running.get("secret", "istio-ca-secret", "-n", SYSTEM)["data"] == secret["data"]
    assert root(running) == first
    assert ask(running, token(running))[-1] == first


def own_root(folder: Path) -> dict[str, str]:
    """A root and an authority below it, made by openssl as a user would."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    extensions = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"
    (folder / "ca.cnf").write_text(extensions + "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    for name in ("root", "ca"):
        openssl("genrsa", "-out", f"{name}-key.pem", "2048")
        openssl("req", "-new", "-key", f"{name}-key.pem", "-subj", f"/O=Acme/CN={name}", "-out", f"{name}.csr")
    signing = ("x509", "-req", "-days", "9", "-extfile", "ca.cnf", "-in")
    openssl(*signing, "root.csr", "-signkey", "root-key.pem", "-out", "root-cert.pem")
    openssl(
        *signing, "ca.csr", "-CA", "root-cert.pem", "-CAkey", "root-key.pem", "-CAcreateserial", "-out", "ca-cert.pem"
    )
    chain = (folder / "ca-cert.pem").read_text() + (folder / "root-cert.pem").read_text()
    (folder / "cert-chain.pem").write_text(chain)
    return {
        name: (folder / name).read_text() for name in ("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem")
    }


def synced(mesh: Mesh) -> bool:
    """Whether proxies are connected and have all there is."""
    done = mesh.plait("proxy-status", code=None)
    return done.returncode == 0 and "SYNCED" in done.stdout and "STALE" not in done.stdout


def test_a_root_of_ones_own_is_taken_and_a_bad_one_is_told(running: Mesh, tmp_path: Path) -> None:
    made = root(running)
    files = own_root(tmp_path)
    paths = [f"--from-file={tmp_path / name}" for name in files]
    running.kubectl("create", "secret", "generic", "cacerts", "-n", SYSTEM, *paths)
    until("the root is everywhere", lambda: root(running) == files["root-cert.pem"])
    wanted = (files["ca-cert.pem"], files["root-cert.pem"])
    chain = until("it signs", lambda: (found := ask(running, token(running)))[1:] == wanted and found)
    assert names(chain) == ["spiffe://cluster.local/ns/default/sa/default"]
    assert verified(tmp_path, chain)
    until("the proxies are connected", lambda: synced(running))

    wrong = base64.b64encode(made.encode()).decode()
    patch = json.dumps({"data": {"ca-cert.pem": wrong}})
    running.kubectl("patch", "secret", "cacerts", "-n", SYSTEM, "--type=merge", "-p", patch)

    def told() -> str:
        events = running.get("events", "-n", SYSTEM, "--field-selector", "involvedObject.name=cacerts")["items"]
        return next((each["message"] for each in events if each["reason"] == "AuthorityUnusable"), "")

    words = until("an Event says what is wrong", told)
    assert "ca-key.pem: it does not belong to the certificate in ca-cert.pem" in words
    assert ask(running, token(running))[-1] == files["root-cert.pem"], "the one before serves on"

    running.kubectl("delete", "secret", "cacerts", "-n", SYSTEM)
    until("the mesh's own root is back", lambda: root(running) == made)
    until("and signs", lambda: ask(running, token(running))[-1] == made)
    logs = running.kubectl("logs", "-n", SYSTEM, "deploy/istiod").stdout
    assert "PRIVATE KEY" not in logs
    assert files["ca-key.pem"].splitlines()[3] not in logs


SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec: {selector: {app: server}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""
WORKLOAD = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers:
      - name: NAME
        image: fortio/fortio
        args: [server]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /echo, port: 8080}, periodSeconds: 1, timeoutSeconds: 60}
"""


class Calls(threading.Thread):
    """Calls from a client's pod, round after round, until told to stop; `codes` counts what was answered."""

    def __init__(self, mesh: Mesh, codes: Counter[str]) -> None:
        super().__init__()
        self.codes = codes
        self._stopping = threading.Event()
        self._mesh = mesh

    def run(self) -> None:
        load = (
            "fortio",
            "load",
            "-quiet",
            "-timeout",
            "60s",
            "-qps",
            "40",
            "-t",
            "1s",
            "-json",
            "-",
            "http://server/echo",
        )
        while not self._stopping.is_set():
            done = self._mesh.kubectl("exec", "-n", "shop", "deploy/client", "--", *load, code=None)
            if done.returncode == 0:
                self.codes.update(json.loads(done.stdout)["RetCodes"])

    def stop(self) -> None:
        """After the round that is under way."""
        self._stopping.set()
        self.join()

    def more(self) -> None:
        """Wait for answers that began after now."""
        here = self.codes["200"]
        until("calls are answered", lambda: self.codes["200"] > here + 80)


def test_a_root_is_exchanged_in_three_steps_and_no_call_fails(running: Mesh, tmp_path: Path) -> None:
    shop = SHOP + "".join(WORKLOAD.replace("NAME", name) for name in ("server", "client"))
    running.kubectl("apply", "-f", "-", given=shop)

    def ready(*names: str) -> None:
        for name in names:
            running.kubectl("-n", "shop", "rollout", "status", f"deploy/{name}", "--timeout=180s")
        # A pod that still says goodbye has a certificate of before.
        until("the pods before are gone", lambda: len(running.get("pods", "-n", "shop")["items"]) == 2)

    def restarted(name: str) -> None:
        running.kubectl("-n", "shop", "rollout", "restart", f"deploy/{name}")
        ready(name)

    ready("server", "client")
    old = running.get("secret", "istio-ca-secret", "-n", SYSTEM)["data"]
    new = own_root(tmp_path)
    roots = {"old": root(running), "both": root(running) + new["root-cert.pem"], "new": new["root-cert.pem"]}

    def take(authority: str, trusted: str) -> None:
        """Put a Secret, and wait until all proxies of the shop trust what it says."""
        files = {key: base64.b64encode(text.encode()).decode() for key, text in new.items()}
        data = {
            **(old if authority == "old" else files),
            "root-cert.pem": base64.b64encode(roots[trusted].encode()).decode(),
        }
        made = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "cacerts", "namespace": SYSTEM},
            "data": data,
        }
        running.kubectl("apply", "-f", "-", given=json.dumps(made))
        until("the roots are everywhere", lambda: root(running, "shop") == roots[trusted])
        wanted = {"both": 2, "new": 1, "old": 1}[trusted]

        def trusts(name: str) -> bool:
            shown = running.plait("proxy-config", "secret", f"deploy/{name}", "-n", "shop", code=None).stdout
            return shown.count("ROOTCA") == wanted

        until("the proxies trust them", lambda: trusts("server") and trusts("client"))
        # Who is trusted may be the same as before: what signs is another question, and new pods need the answer.
        until(
            "its authority signs", lambda: (new["ca-cert.pem"] in ask(running, token(running))) == (authority == "new")
        )
        calls.more()

    calls = Calls(running, Counter())
    calls.start()
    try:
        take("old", "both")
        take("new", "both")
        restarted("server")
        # A call from a pod that goes may be cut off with it: nobody calls meanwhile.
        calls.stop()
        restarted("client")
        calls = Calls(running, calls.codes)
        calls.start()
        take("new", "new")
    finally:
        calls.stop()
    assert set(calls.codes) == {"200"}, calls.codes
    running.kubectl("delete", "secret", "cacerts", "-n", SYSTEM)
    until("the mesh's own root is back", lambda: root(running) == roots["old"])
