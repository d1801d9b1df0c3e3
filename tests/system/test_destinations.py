"""What a caller's proxy does on the way to a service: which endpoint it takes, when it tries again, whom it avoids.

The endpoints are programs of this machine in no pod, so that a test can make each fail or wait as it likes.
"""

from __future__ import annotations

import http.server
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.serving import served

from .conftest import Mesh, until

pytestmark = pytest.mark.system

HOST = "fleet.example"
#: Name of an endpoint: its place and the version that it is of.
ENDPOINTS = {"a": ("west/1", "v1"), "b": ("west/1", "v1"), "c": ("east/1", "v2")}
PLACES = {name: place for name, (place, _) in ENDPOINTS.items()}
#: Another caller of the same program, in another zone of its region.
SECOND = """
apiVersion: v1
kind: Pod
metadata: {name: second, namespace: shop, labels: {app: caller, istio-locality: west.2}}
spec: {containers: [{name: caller, image: debian, command: [sleep, "100000"]}]}
"""
#: So many of them spread over two endpoints, but for one run in 10^18, however unequal the shares are.
USERS = 100
#: In the caller's pod: so many calls, so many at once; prints `[[status, text], …]`. Instead of `#` in a header the
#: number of a user is sent, one after the other.
CALLS = """
import concurrent.futures, http.client, json, sys
port, calls, at_once, headers = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
def call(number):
    sent = {name: value.replace("#", str(number % USERS)) for name, value in headers.items()}
    connection = http.client.HTTPConnection("fleet.example", port, timeout=60)
    try:
        connection.request("GET", "/", headers=sent)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers.get("set-cookie", "")
    finally:
        connection.close()
with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
    print(json.dumps(list(pool.map(call, range(calls)))))
""".replace("USERS", str(USERS))
OUTLIERS = {"consecutive5xxErrors": 1, "interval": "0.1s", "maxEjectionPercent": 100}


class Endpoint(http.server.ThreadingHTTPServer):
    """A program that says its name, or fails with `status`, after `wait` seconds; `calls` counts."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.name = name
        self.reset()

    def reset(self) -> None:
        self.status, self.wait, self.calls = 200, 0.0, 0


class Answer(http.server.BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.calls += 1
        time.sleep(self.server.wait)
        body = self.server.name.encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Fleet:
    """The endpoints, and the caller."""

    def __init__(self, mesh: Mesh, endpoints: dict[str, Endpoint]) -> None:
        self.mesh, self.endpoints = mesh, endpoints

    def call(self, calls: int = 1, *, at_once: int = 1, port: int = 80, **headers: str) -> list[tuple[int, str, str]]:
        """Status, text and cookie of so many answers."""
        sent = json.dumps({name.replace("_", "-"): value for name, value in headers.items()})
        told = self.mesh.kubectl(
            "-n", "shop", "exec", "caller", "-c", "caller", "--",
            "python3", "-c", CALLS, str(port), str(calls), str(at_once), sent,
        )  # fmt: skip
        return [tuple(answer) for answer in json.loads(told.stdout)]

    def answers(self, calls: int, *, port: int = 80, **headers: str) -> Counter[str]:
        """Who answered so many calls; a failure by its status."""
        return Counter(
            text if status == 200 else str(status) for status, text, _ in self.call(calls, port=port, **headers)
        )

    def only(self, *names: str) -> None:
        """Wait until these endpoints answer, all of them and nobody else."""
        until(f"answers of {' and '.join(names)} only", lambda: set(self.answers(20)) == set(names))

    def fail(self, *names: str, status: int = 500, wait: float = 0.0) -> None:
        for name in names:
            self.endpoints[name].status, self.endpoints[name].wait = status, wait

    def tried(self) -> int:
        """How often endpoints were called since the last time."""
        found = sum(endpoint.calls for endpoint in self.endpoints.values())
        for endpoint in self.endpoints.values():
            endpoint.calls = 0
        return found

    def stat(self, name: str) -> int:
        """A counter of the caller's proxy about the fleet."""
        ask = f"localhost:15000/stats?filter=fleet.*{name}$"
        told = self.mesh.kubectl("-n", "shop", "exec", "caller", "-c", "caller", "--", "curl", "-sS", ask).stdout
        return sum(int(line.rpartition(" ")[2]) for line in told.splitlines())


def entry(endpoints: dict[str, Endpoint], places: Mapping[str, str] = PLACES) -> dict[str, Any]:
    listed = [
        {
            "address": "10.42.0.2",
            "ports": {"http": endpoint.server_port, "tcp": endpoint.server_port},
            "locality": places[name],
            "labels": {"version": ENDPOINTS[name][1]},
        }
        for name, endpoint in endpoints.items()
    ]
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 9000, "name": "tcp", "protocol": "TCP"}]
    return {
        "hosts": [HOST],
        "location": "MESH_INTERNAL",
        "ports": ports,
        "resolution": "STATIC",
        "endpoints": listed,
    }


def text_of(kind: str, spec: dict[str, Any]) -> str:
    metadata = {"name": "fleet", "namespace": "shop"}
    return json.dumps({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec})


@pytest.fixture(scope="module")
def running(outer: Mesh) -> Iterator[Fleet]:
    endpoints = {name: Endpoint(name) for name in ENDPOINTS}
    with served(*endpoints.values()):
        outer.kubectl("apply", "-f", "-", given=text_of("ServiceEntry", entry(endpoints)))
        yield Fleet(outer, endpoints)
        outer.kubectl("-n", "shop", "delete", "serviceentry", "fleet")


@pytest.fixture
def fleet(running: Fleet) -> Iterator[Fleet]:
    """The fleet, all well and where it was; the rules of the last test are gone, whatever became of that."""
    for endpoint in running.endpoints.values():
        endpoint.reset()
    running.mesh.kubectl("apply", "-f", "-", given=text_of("ServiceEntry", entry(running.endpoints)))
    running.mesh.kubectl("-n", "shop", "delete", "pod/second", "--ignore-not-found", "--grace-period=0", "--force")
    running.only("a", "b", "c")
    running.tried()
    yield running
    running.mesh.kubectl("-n", "shop", "delete", "destinationrules,virtualservices", "--all")


@pytest.fixture
def policy(fleet: Fleet) -> Callable[..., None]:
    """Sets the policy towards the fleet."""

    def set_policy(**policy: Any) -> None:
        subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
        spec = {"host": HOST, "subsets": subsets, **({"trafficPolicy": policy} if policy else {})}
        fleet.mesh.kubectl("apply", "-f", "-", given=text_of("DestinationRule", spec))

    return set_policy


def route(fleet: Fleet, **rule: Any) -> None:
    """Sets the route to the fleet."""
    spec = {"hosts": [HOST], "http": [{"route": [{"destination": {"host": HOST}}], **rule}]}
    fleet.mesh.kubectl("apply", "-f", "-", given=text_of("VirtualService", spec))


def test_a_callers_header_or_cookie_keeps_it_with_one_endpoint(fleet: Fleet, policy: Callable[..., None]) -> None:
    policy(loadBalancer={"consistentHash": {"httpHeaderName": "x-user"}})

    def places() -> list[str] | None:
        # So many that they do not all fall on one of two by chance, whatever the ports of this run.
        told = [text for _, text, _ in fleet.call(4 * USERS, x_user="user-#")]
        found = [set(told[number::USERS]) for number in range(USERS)]
        return [next(iter(one)) for one in found] if all(len(one) == 1 for one in found) else None

    assert len(set(until("one endpoint for each user", places))) > 1, "and not one for all"
    policy(loadBalancer={"consistentHash": {"httpCookie": {"name": "seat", "ttl": "60s"}}})

    def seated() -> tuple[str, str] | None:
        ((_, name, cookie),) = fleet.call()
        return (name, cookie.partition(";")[0]) if cookie.startswith("seat=") else None

    name, cookie = until("a cookie", seated)
    assert set(fleet.answers(20, cookie=cookie)) == {name}
    assert len(fleet.answers(100)) > 1, "without the cookie anywhere"


def test_calls_stay_near_until_what_is_near_fails_and_come_back(fleet: Fleet, policy: Callable[..., None]) -> None:
    policy(outlierDetection={**OUTLIERS, "baseEjectionTime": "0.5s"})
    fleet.only("a", "b")
    fleet.fail("a", "b", status=503)
    # Those ejected come back, and are ejected again: twenty calls of a busy machine can meet them every time.
    until("calls go where nothing fails", lambda: "c" in fleet.answers(20))
    fleet.fail("a", "b", status=200)
    fleet.only("a", "b")


def test_a_zone_gets_as_many_calls_of_its_own_as_its_share_allows(fleet: Fleet, policy: Callable[..., None]) -> None:
    """Two of three endpoints are in the caller's zone: enough for half of the callers, not for all of them."""
    places = {"a": "west/1", "b": "west/1", "c": "west/2"}
    fleet.mesh.kubectl("apply", "-f", "-", given=text_of("ServiceEntry", entry(fleet.endpoints, places)))
    policy(loadBalancer={"zoneAwareLbSetting": {"minClusterSize": 1}})
    fleet.only("a", "b", "c")
    fleet.mesh.kubectl("apply", "-f", "-", given=SECOND)
    fleet.mesh.kubectl("-n", "shop", "wait", "--for=condition=Ready", "pod/second", "--timeout=180s")
    fleet.only("a", "b")
    assert set(fleet.answers(60)) == {"a", "b"}
    fleet.mesh.kubectl("-n", "shop", "delete", "pod/second", "--grace-period=0", "--force")
    fleet.only("a", "b", "c")


def test_an_endpoint_that_fails_is_left_alone(fleet: Fleet, policy: Callable[..., None]) -> None:
    fleet.fail("b")
    assert fleet.answers(30)["500"] > 0
    policy(
        outlierDetection={**OUTLIERS, "baseEjectionTime": "3600s"},
        loadBalancer={"localityLbSetting": {"enabled": False}},
    )
    fleet.only("a", "c")
    fleet.endpoints["b"].calls = 0
    assert set(fleet.answers(30)) == {"a", "c"}
    assert fleet.endpoints["b"].calls == 0
    assert fleet.stat("outlier_detection.ejections_active") == 1


def test_a_failed_call_is_tried_again_as_often_as_said(fleet: Fleet) -> None:
    everybody = tuple(fleet.endpoints)
    fleet.fail(*everybody)
    assert (fleet.call()[0][0], fleet.tried()) == (500, 1)
    fleet.fail(*everybody, status=503)
    assert (fleet.call()[0][0], fleet.tried()) == (503, 1), "a server may have done what it answers 503 to"
    route(fleet, retries={"attempts": 2, "retryOn": "503"})
    until("two retries", lambda: (fleet.call()[0][0], fleet.tried()) == (503, 3))
    fleet.fail(*everybody)
    route(fleet, retries={"attempts": 3, "retryOn": "5xx"})
    until("three retries", lambda: (fleet.call()[0][0], fleet.tried()) == (500, 4))
    fleet.fail("a", status=200)
    # Envoy draws six times at the most for one that has not been tried: 3 calls in 1,000 find none (1 in 5 otherwise).
    assert fleet.answers(300)["a"] >= 285, "retries go to endpoints that have not been tried"


def test_a_budget_bounds_the_retries_of_all_calls_together(fleet: Fleet, policy: Callable[..., None]) -> None:
    at_once, tries = 16, 16 * 4
    fleet.fail(*fleet.endpoints, wait=0.1)
    route(fleet, retries={"attempts": 3, "retryOn": "5xx"})

    def tried() -> int:
        fleet.call(at_once, at_once=at_once)
        return fleet.tried()

    until("retries of every call", lambda: tried() == tries)
    policy(retryBudget={"percent": 1.0, "minRetryConcurrency": 1})
    until("fewer retries", lambda: at_once <= tried() < tries)
    assert fleet.stat("upstream_rq_retry_overflow") > 0


def test_tcp_connections_go_by_weight(fleet: Fleet, policy: Callable[..., None]) -> None:
    policy()
    spec = {
        "hosts": [HOST],
        "tcp": [
            {
                "match": [{"port": 9000}],
                "route": [
                    {"destination": {"host": HOST, "subset": "v1"}, "weight": 20},
                    {"destination": {"host": HOST, "subset": "v2"}, "weight": 80},
                ],
            }
        ],
    }
    fleet.mesh.kubectl("apply", "-f", "-", given=text_of("VirtualService", spec))
    # Before that all three are as likely, and most of so few calls reach the east by chance, once in a hundred times.
    fleet.mesh.kubectl("-n", "shop", "wait", "--for=condition=Settled", "virtualservice/fleet", "--timeout=180s")
    until("most connections in the east", lambda: fleet.answers(20, port=9000)["c"] > 10)
    found = fleet.answers(500, port=9000)
    # A share of 0.8 among 500 is outside once in 10^12 runs.
    assert abs(found["c"] / 500 - 0.8) < 0.14, found
