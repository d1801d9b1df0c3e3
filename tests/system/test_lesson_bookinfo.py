"""Bookinfo's lessons on traffic, with Istio's own manifests to the letter and the programs of `demo/bookinfo`."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.serving import served, with_tls

from .conftest import LESSONS, Mesh, until

pytestmark = pytest.mark.system

NAMESPACE = "bookinfo"
INSTALLED = (
    "bookinfo/platform/kube/bookinfo.yaml",
    "bookinfo/networking/bookinfo-gateway.yaml",
    "httpbin/httpbin.yaml",
    "httpbin/sample-client/fortio-deploy.yaml",
    "tcp-echo/tcp-echo-services.yaml",
)
#: What each lesson begins with: subsets of all versions, and all calls to the first.
BEGINNING = ("bookinfo/networking/destination-rule-all.yaml", "bookinfo/networking/virtual-service-all-v1.yaml")
FORTIO = ("exec", "-n", NAMESPACE, "deploy/fortio-deploy", "-c", "fortio", "--")
CALLS = 240
#: A share of a half among `CALLS` is farther away once in 5 * 10^9 runs.
TOLERATED = 0.2
NO_REVIEWS = "Sorry, product reviews are currently unavailable for this book."
NO_RATINGS = "Ratings service is currently unavailable"
#: In a pod: TCP connections to the ingress gateway, one after another, and who answered.
ECHO = """
import collections, json, socket, sys
found = collections.Counter()
for _ in range(int(sys.argv[1])):
    with socket.create_connection(("istio-ingressgateway.istio-system", 31400), timeout=60) as connection:
        connection.sendall(b"hello\\n")
        found[connection.recv(100).decode().strip()] += 1
print(json.dumps(found))
"""
BOOK = {
    "volumeInfo": {
        "authors": ["W. S."],
        "publishedDate": "2002",
        "printType": "BOOK",
        "pageCount": 64,
        "publisher": "The outside",
        "language": "en",
        "industryIdentifiers": [
            {"type": "ISBN_10", "identifier": "0486424618"},
            {"type": "ISBN_13", "identifier": "9780486424613"},
        ],
    }
}


@dataclass(frozen=True)
class Bookinfo:
    """The application in its mesh, as its readers and its operators see it."""

    mesh: Mesh
    samples: Path
    port: int

    def apply(self, *files: str) -> None:
        """Apply Istio's own files as they are; those of the documentation by a name without a folder."""
        given = [argument for file in files for argument in ("-f", str(self._file(file)))]
        self.mesh.kubectl("apply", "-n", NAMESPACE, *given)

    def _file(self, file: str) -> Path:
        return self.samples / file if "/" in file else LESSONS / "bookinfo" / file

    def get(self, path: str, user: str = "") -> tuple[int, str]:
        """Status and text of a path through the ingress gateway, for somebody who is signed in or nobody."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        session = base64.urlsafe_b64encode(json.dumps({"user": user}).encode()).decode().rstrip("=")
        try:
            connection.request("GET", path, headers={"cookie": f"session={session}"} if user else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def page(self, user: str = "") -> str:
        """The product page."""
        status, text = self.get("/productpage", user)
        assert status == 200, text
        return text

    def stars(self, user: str = "") -> str:
        """The colour of the stars on the page; empty without any."""
        found = re.search(r'<font color="(\w+)">', self.page(user))
        return found[1] if found else ""

    def versions(self, calls: int, user: str = "") -> Counter[str]:
        """Which versions of reviews answer so many calls, or the status of a failure."""
        found: Counter[str] = Counter()
        for _ in range(calls):
            status, text = self.get("/api/v1/products/0/reviews", user)
            name = json.loads(text)["podname"] if status == 200 else str(status)
            found[name.rsplit("-", 2)[0]] += 1
        return found

    def only(self, version: str, user: str = "") -> None:
        """Wait until one version of reviews answers every call: not all workers of a proxy know it at the same time."""
        until(f"only {version} answers", lambda: set(self.versions(20, user)) == {version})

    def inside(self, *command: str) -> str:
        """What a command prints in fortio's pod."""
        done = self.mesh.kubectl(*FORTIO, *command)
        return done.stdout + done.stderr

    def beside(self, *command: str) -> str:
        """What a command prints that runs in fortio's sidecar."""
        return self.mesh.kubectl(*("istio-proxy" if word == "fortio" else word for word in FORTIO), *command).stdout


@pytest.fixture(scope="module")
def installed(mesh: Mesh, shared: Path) -> Bookinfo:
    mesh.plait("up", "--ports", "auto", "--outside", "host")
    mesh.kubectl("create", "namespace", NAMESPACE)
    mesh.kubectl("label", "namespace", NAMESPACE, "istio-injection=enabled")
    made = Bookinfo(mesh, shared / "istio-samples", mesh.status()["ports"]["http"])
    made.apply(*INSTALLED, *BEGINNING, "httpbin-v2.yaml", "bookinfo/platform/kube/bookinfo-details-v2.yaml")
    mesh.kubectl("wait", "-n", NAMESPACE, "deploy", "--all", "--for=condition=Available", "--timeout=180s")
    until("the page", lambda: made.get("/productpage")[0] == 200)
    return made


@pytest.fixture
def bookinfo(installed: Bookinfo) -> Bookinfo:
    """The application with all calls going to the first versions."""
    installed.apply(*BEGINNING, "httpbin-v2.yaml")
    return installed


def test_sign_in_is_a_session(bookinfo: Bookinfo) -> None:
    done = bookinfo.mesh.curl("/login", "-L", "-c", "-", "-d", "username=jason&passwd=any")
    assert "<title>Simple Bookstore App</title>" in done.stdout
    assert "jason (<a" in done.stdout
    assert "William Shakespeare" in bookinfo.page()


def test_requests_go_to_the_first_version_or_by_who_asks(bookinfo: Bookinfo) -> None:
    bookinfo.only("reviews-v1")
    assert bookinfo.stars() == ""
    bookinfo.apply("bookinfo/networking/virtual-service-reviews-test-v2.yaml")
    bookinfo.only("reviews-v2", "jason")
    bookinfo.only("reviews-v1")
    assert (bookinfo.stars("jason"), bookinfo.stars()) == ("black", "")
    bookinfo.apply("bookinfo/networking/virtual-service-reviews-jason-v2-v3.yaml")
    bookinfo.only("reviews-v3")
    bookinfo.only("reviews-v2", "jason")


def test_faults_meet_the_tester_only(bookinfo: Bookinfo) -> None:
    bookinfo.apply("bookinfo/networking/virtual-service-reviews-test-v2.yaml")
    bookinfo.only("reviews-v2", "jason")
    bookinfo.apply("bookinfo/networking/virtual-service-ratings-test-abort.yaml")
    until("no ratings for jason", lambda: NO_RATINGS in bookinfo.page("jason"))
    assert NO_RATINGS not in bookinfo.page()
    bookinfo.apply("bookinfo/networking/virtual-service-ratings-test-delay.yaml")
    # Seven seconds are less than the ten that reviews has, and more than the twice three of the page.
    until("a page that gave up", lambda: NO_REVIEWS in bookinfo.page("jason"))
    assert NO_REVIEWS not in bookinfo.page()


def test_traffic_shifts_by_weight(bookinfo: Bookinfo) -> None:
    bookinfo.apply("bookinfo/networking/virtual-service-reviews-50-v3.yaml")
    until("both versions answer", lambda: len(bookinfo.versions(10)) == 2)
    found = bookinfo.versions(CALLS)
    assert set(found) == {"reviews-v1", "reviews-v3"}
    assert abs(found["reviews-v3"] / CALLS - 0.5) < TOLERATED, found
    bookinfo.apply("bookinfo/networking/virtual-service-reviews-v3.yaml")
    bookinfo.only("reviews-v3")
    assert bookinfo.stars() == "red"


def test_a_timeout_ends_the_wait_for_a_slow_service(bookinfo: Bookinfo) -> None:
    bookinfo.apply("bookinfo/networking/virtual-service-reviews-test-v2.yaml", "ratings-delay.yaml")
    bookinfo.only("reviews-v1")
    until("slow, but there", lambda: bookinfo.stars("jason") == "black")
    bookinfo.apply("reviews-timeout.yaml")
    until("a page without reviews", lambda: NO_REVIEWS in bookinfo.page())
    until("the status", lambda: bookinfo.get("/api/v1/products/0/reviews")[0] == 504)


def test_too_many_calls_trip_the_circuit_breaker(bookinfo: Bookinfo) -> None:
    url = "http://httpbin:8000/delay/0.02"

    def load(calls: int) -> dict[int, int]:
        # By itself fortio gives a call three seconds.
        command = ("fortio", "load", "-c", "3", "-qps", "0", "-n", str(calls), "-timeout", "60s", "-loglevel", "Error")
        text = bookinfo.inside(*command, url)
        return {int(code): int(count) for code, count in re.findall(r"^Code +(-?\d+) : (\d+) ", text, re.MULTILINE)}

    assert load(30) == {200: 30}
    bookinfo.apply("circuit-breaker.yaml")
    bookinfo.mesh.kubectl("delete", "virtualservice", "-n", NAMESPACE, "httpbin-versions")
    until("a call that is refused", lambda: 503 in load(30))
    found = load(90)
    assert set(found) == {200, 503}
    counted = bookinfo.beside("pilot-agent", "request", "GET", "stats").splitlines()
    overflows = [line for line in counted if "httpbin" in line and "pending_overflow" in line]
    assert sum(int(line.rpartition(": ")[2]) for line in overflows) >= found[503]


def test_a_mirror_gets_copies_whose_answers_nobody_sees(bookinfo: Bookinfo) -> None:
    def call(name: str) -> str:
        return bookinfo.inside("curl", "-sS", f"http://httpbin:8000/anything/{name}")

    def log(deployment: str) -> str:
        return bookinfo.mesh.kubectl("logs", "-n", NAMESPACE, f"deploy/{deployment}", "-c", "httpbin").stdout

    until("an answer", lambda: '"method": "GET"' in call("alone"))
    bookinfo.apply("mirror.yaml")
    until("a copy", lambda: call("copied") and "/anything/copied " in log("httpbin-v2"))
    call("once")
    until("the copy of one call", lambda: log("httpbin-v2").count("/anything/once ") == 1)
    until("the line of the call itself", lambda: log("httpbin").count("/anything/once ") == 1)
    assert "/anything/alone " not in log("httpbin-v2")


def test_another_application_joins_at_the_ingress(bookinfo: Bookinfo) -> None:
    bookinfo.apply("httpbin/httpbin-gateway.yaml")
    until("httpbin at the gateway", lambda: bookinfo.get("/status/418")[0] == 418)
    assert "Simple Bookstore App" in bookinfo.page(), "the older routes of the same host go on"
    bookinfo.mesh.kubectl("delete", "-n", NAMESPACE, "-f", str(bookinfo.samples / "httpbin/httpbin-gateway.yaml"))
    until("httpbin is gone", lambda: bookinfo.get("/status/418")[0] == 404)


def test_tcp_connections_shift_by_weight(bookinfo: Bookinfo) -> None:
    def answers(calls: int) -> Counter[str]:
        return Counter(json.loads(bookinfo.inside("python3", "-c", ECHO, str(calls))))

    bookinfo.apply("tcp-echo/tcp-echo-all-v1.yaml")
    # The gateway opens the port only now.
    once = (*FORTIO, "python3", "-c", ECHO, "1")
    until("the port", lambda: "hello" in bookinfo.mesh.kubectl(*once, code=None).stdout)
    assert set(answers(20)) == {"one hello"}
    bookinfo.apply("tcp-echo/tcp-echo-20-v2.yaml")
    until("both versions", lambda: len(answers(20)) == 2)
    found = answers(CALLS)
    assert abs(found["two hello"] / CALLS - 0.2) < TOLERATED, found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class Books(http.server.BaseHTTPRequestHandler):
    """The service of books that details version 2 asks, outside of the mesh."""

    def do_GET(self) -> None:
        body = json.dumps({"items": [BOOK]}).encode()
        self.send_response(200 if self.path.startswith("/books/v1/volumes?q=isbn:") else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def outside(authority: Authority) -> Iterator[int]:
    """An HTTPS server of this machine with the certificate of the outside service; its port."""
    pair = authority.pair("www.googleapis.com")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Books)
    with_tls(server, pair.certificate, pair.key)
    with served(server):
        yield server.server_port


def test_a_service_outside_is_called_and_the_proxy_begins_tls(
    bookinfo: Bookinfo, authority: Authority, outside: int
) -> None:
    mesh = bookinfo.mesh
    secret = ("create", "secret", "generic", "books-ca", "-n", NAMESPACE)
    mesh.kubectl(*secret, f"--from-file=ca.crt={authority.certificate}")
    bookinfo.apply("bookinfo/networking/egress-rule-google-apis.yaml")
    # The outside of this test is a program of the machine, signed by an authority of its own; the rest is the sample's.
    endpoint = {"address": "host.plait.internal", "ports": {"http": outside, "https": outside}}
    tls = {"mode": "SIMPLE", "credentialName": "books-ca"}
    policy = {"portLevelSettings": [{"port": {"number": 443}, "tls": tls}]}
    rule = {"workloadSelector": {"matchLabels": {"app": "details"}}, "trafficPolicy": policy}
    for kind, name, spec in (
        ("serviceentry", "googleapis", {"endpoints": [endpoint]}),
        ("destinationrule", "originate-tls-for-googleapis", rule),
    ):
        mesh.kubectl("patch", kind, name, "-n", NAMESPACE, "--type=merge", "-p", json.dumps({"spec": spec}))
    bookinfo.apply("bookinfo/networking/virtual-service-details-v2.yaml")
    until("the book of the outside", lambda: "<dd>The outside</dd>" in bookinfo.page())


def test_the_demo_is_the_same_application(bookinfo: Bookinfo) -> None:
    bookinfo.mesh.plait("up", "--demo", "bookinfo")

    def ready() -> bool:
        found = bookinfo.mesh.get("-n", NAMESPACE, "deployments")["items"]
        return all(item["status"].get("readyReplicas") == 1 for item in found)

    until("all are ready", ready)
    assert "Simple Bookstore App" in bookinfo.page()
