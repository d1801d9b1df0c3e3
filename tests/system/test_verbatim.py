"""The Sock Shop demo's own manifests, unchanged, with the commands of its lessons."""

from __future__ import annotations

import hashlib
import http.client
import json
import subprocess
from collections import Counter
from urllib.parse import urlsplit

import pytest

from .conftest import BIN, until
from .manifests import listed
from .shopping import Customer

pytestmark = pytest.mark.system

INSTALL = "1-sock-shop-install/1-sock-shop-complete-demo-istio.yaml"
GATEWAY = "1-sock-shop-install/2-sockshop-gateway.yaml"
ROUTES = "1-sock-shop-install/3-virtual-services-all.yaml"
LESSON = "2-inteligent-routing"
BREAKER = "3-circuit-breaker/3-circuit-breaker.yaml"
POLICY = "4-security/4-global-mtls-mesh-policy.yaml"
MUTUAL = "4-security/4-virtual-services-all-mtls.yaml"
ABORT = "5-timeouts/5-fault-injection-abort-catalogue.yaml"
DEPLOYMENTS = (
    "carts", "carts-db", "catalogue", "catalogue-db", "front-end-v1", "front-end-v2", "orders", "orders-db", "payment",
    "queue-master", "rabbitmq", "shipping", "user", "user-db",
)  # fmt: skip
#: chi-square with one degree of freedom: exceeded by chance once in 10^10 runs.
CHI_SQUARE = 44.0


@pytest.fixture(scope="module")
def shop(mesh, shared):
    """The mesh with the whole shop, as the demo installs it; and the demo, and what apply said."""
    demo = shared / "sockshop-istio"
    mesh.plait("up", "--ports", "auto")
    mesh.kubectl("create", "namespace", "sock-shop")
    applied = mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / INSTALL))
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / LESSON / "2-front-end-deployment-v2-istio.yaml"))
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / GATEWAY))
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / ROUTES))
    for name in DEPLOYMENTS:
        # One of them waits for Debian's packages.
        mesh.kubectl("rollout", "status", "-n", "sock-shop", f"deployment/{name}", "--timeout=280s")
    # The demo's pods have no probes: a pod that runs need not listen yet, nor have found its database.
    until("a purchase", lambda: buys(mesh))
    return mesh, demo, applied


def buys(mesh) -> bool:
    """Whether a customer can buy."""
    customer = Customer(mesh.url("/"))
    return customer.log_in() and customer.buy()[0] == 201


@pytest.fixture
def routed(shop):
    """The shop with the routes of its installation, whatever the test before left behind."""
    mesh, demo, _ = shop
    mesh.kubectl("delete", "meshpolicies.authentication.istio.io", "default", "--ignore-not-found")
    mesh.kubectl("delete", "configmap", "istio", "-n", "istio-system", "--ignore-not-found")
    mesh.kubectl("delete", "destinationrule", "front-end", "-n", "default", "--ignore-not-found")
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / ROUTES))
    until("socks", lambda: '"size":9' in mesh.curl("/catalogue/size").stdout)
    return mesh, demo


def logos(mesh, count: int) -> Counter[str]:
    """Digests of the logo over many requests; v1 and v2 of the front end differ in nothing else a person sees."""
    connection = http.client.HTTPConnection(urlsplit(mesh.url("/")).netloc, timeout=60)
    found: Counter[str] = Counter()
    for _ in range(count):
        connection.request("GET", "/img/logo.png")
        answer = connection.getresponse()
        body = answer.read()
        found[f"{answer.status} {hashlib.sha256(body).hexdigest()[:12]}"] += 1
    connection.close()
    return found


def only_logo(mesh, unlike: str = "") -> str:
    """Wait until 20 answers in a row show one logo, another than `unlike`."""

    def settled() -> str | None:
        found = logos(mesh, 20)
        (first, *others) = found
        return first if not others and first.startswith("200") and first != unlike else None

    return until("one version answers all requests", settled)


def settled(mesh) -> None:
    """Wait until the front end's objects are in effect: until then the answers are those of the routes before."""
    ours = ("virtualservice/front-end", "destinationrule/front-end")
    mesh.kubectl("wait", "-n", "sock-shop", "--for=condition=Settled", *ours, "--timeout=180s")


def route_to(mesh, *weights: tuple[str, int]) -> None:
    """Replace the front end's routes as the lesson does, with these subsets and weights, and wait until they hold."""
    destinations = [{"destination": {"host": "front-end", "subset": name}, "weight": share} for name, share in weights]
    objects = [
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "VirtualService",
            "metadata": {"name": "front-end", "namespace": "sock-shop"},
            "spec": {"hosts": ["*"], "gateways": ["sockshop-gateway"], "http": [{"route": destinations}]},
        },
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "DestinationRule",
            "metadata": {"name": "front-end", "namespace": "sock-shop"},
            "spec": {
                "host": "front-end",
                "subsets": [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")],
            },
        },
    ]
    given = listed(*objects)
    mesh.kubectl("apply", "-f", "-", given=given)
    settled(mesh)


def test_old_manifests_are_converted_with_a_warning(shop) -> None:
    _, _, applied = shop
    assert "extensions/v1beta1" in applied.stderr
    assert "apps/v1" in applied.stderr
    assert "istio-proxy" in applied.stderr, "the foreign sidecar is replaced, and the user is told"


def test_every_pod_has_its_sidecar(shop) -> None:
    mesh, _, _ = shop
    pods = mesh.get("pods", "-n", "sock-shop")["items"]
    assert len(pods) == len(DEPLOYMENTS)
    for pod in pods:
        proxies = [one["image"] for one in pod["spec"]["containers"] if one["name"] == "istio-proxy"]
        assert len(proxies) == 1
        assert proxies[0].startswith("plait/proxyv2"), "one proxy, and not the one that the manifest carries"
        assert "istio-certs" not in {volume["name"] for volume in pod["spec"]["volumes"]}
        statuses = pod["status"]["containerStatuses"]
        assert "istio-proxy" in {status["name"] for status in statuses}
        assert [status["name"] for status in pod["status"]["initContainerStatuses"]] == ["istio-init"]
    shown = ("get", "pods", "-n", "sock-shop")
    until("all are ready", lambda: mesh.kubectl(*shown).stdout.count("2/2") == len(DEPLOYMENTS))
    described = mesh.kubectl("describe", "pod", "-n", "sock-shop", "-l", "name=catalogue").stdout
    assert "istio-init" in described
    assert "15090/TCP" in described


def test_nine_socks_through_the_gateway(shop) -> None:
    mesh, _, _ = shop

    socks = json.loads(mesh.curl("/catalogue").stdout)
    assert len(socks) == 9
    assert {sock["name"] for sock in socks} >= {"Holy", "Classic"}
    page = mesh.curl("/index.html").stdout
    assert "<title>WeaveSocks</title>" in page


def test_blue_green_by_replacing_the_route(shop) -> None:
    mesh, demo, _ = shop
    route_to(mesh, ("v1", 100))
    before = only_logo(mesh)
    assert set(logos(mesh, 100)) == {before}
    mesh.kubectl("replace", "-n", "sock-shop", "-f", str(demo / LESSON / "2-front-end-deployment-v2-route.yaml"))
    after = only_logo(mesh, unlike=before)
    assert set(logos(mesh, 100)) == {after}


def test_canary_is_ninety_to_ten(shop) -> None:
    mesh, demo, _ = shop
    route_to(mesh, ("v1", 100))
    first = only_logo(mesh)
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / "2-canary.yaml"))
    until("both versions answer", lambda: len(logos(mesh, 40)) == 2)
    found = logos(mesh, 2000)
    assert all(answer.startswith("200") for answer in found), found
    expected = {"v1": 1800, "v2": 200}
    seen = {"v1": found[first], "v2": 2000 - found[first]}
    assert sum((seen[version] - expected[version]) ** 2 / expected[version] for version in expected) < CHI_SQUARE, seen


def test_row_5_an_order_is_placed_by_accident(routed) -> None:
    """The rule for orders leads to catalogue-db, which is headless: Envoy connects to the address that was called."""
    mesh, _ = routed
    customer = Customer(mesh.url("/"))
    until("the customer", customer.log_in)
    status, order = customer.buy()
    assert status == 201, order
    told = mesh.plait("explain", "POST", "http://orders/orders", "--from", "deploy/front-end-v1.sock-shop").stdout
    assert "outbound|3306|v1|catalogue-db.sock-shop.svc.cluster.local" in told
    address = mesh.get("service", "orders", "-n", "sock-shop")["spec"]["clusterIP"]
    assert f"{address}:80" in told


def test_row_6_the_way_back_to_v1_is_understood_by_plait(routed) -> None:
    mesh, demo = routed
    route_to(mesh, ("v1", 100))
    first = only_logo(mesh)
    mesh.plait("apply", "-n", "sock-shop", "-f", str(demo / LESSON / "2-front-end-deployment-v2-route.yaml"))
    only_logo(mesh, unlike=first)
    done = mesh.plait("apply", "-n", "sock-shop", "-f", str(demo / LESSON / "2-front-end-deployment-v1-route.yaml"))
    assert "has no apiVersion; taken as networking.istio.io/v1" in done.stderr
    until("version 1", lambda: set(logos(mesh, 20)) == {first})


def test_row_7_a_canary_without_a_namespace_loses_the_share_of_the_subset_that_is_not_there(routed) -> None:
    mesh, demo = routed
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / LESSON / "2-front-end-deployment-v2-route.yaml"))
    mesh.kubectl("apply", "-f", str(demo / "2-canary.yaml"))
    until("503 for nine in ten", lambda: "503" in {answer.split()[0] for answer in logos(mesh, 40)})
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / "2-canary.yaml"))
    until("no failure", lambda: {answer.split()[0] for answer in logos(mesh, 100)} == {"200"})
    mesh.kubectl("delete", "destinationrule", "front-end", "-n", "default")


def test_row_8_the_breaker_takes_the_subsets_away_that_the_gateway_routes_to(routed) -> None:
    mesh, demo = routed
    until("the shop", lambda: mesh.code("/") == 200)
    mesh.kubectl("apply", "-f", str(demo / BREAKER))
    until("503 at the gateway", lambda: mesh.code("/") == 503)
    inside = ("exec", "-n", "sock-shop", "deploy/catalogue", "-c", "catalogue", "--", "curl", "-s", "-o", "/dev/null")
    code = mesh.kubectl(*inside, "-w", "%{http_code}", "http://front-end/index.html").stdout
    assert code == "200", "calls inside the mesh are not concerned: the route is bound to the gateway"


def test_rows_10_to_12_the_lesson_on_mutual_tls(routed) -> None:
    mesh, demo = routed
    host = "carts.sock-shop.svc.cluster.local"
    run = [str(BIN / "istioctl"), "--name", mesh.name, "authn", "tls-check", host, "-n", "sock-shop"]

    def row() -> list[str]:
        said = subprocess.run(run, env=mesh.environment, capture_output=True, text=True, check=True, timeout=180)
        return said.stdout.splitlines()[1].split()[1:4]

    mesh.kubectl("create", "-f", str(demo / POLICY))
    until("the policy's row", lambda: row() == ["OK", "mTLS", "mTLS"])
    # Nothing fails, since sidecars and the gateway speak mutual TLS by themselves; MySQL behind a headless Service too.
    until("a purchase under the policy", lambda: buys(mesh))
    assert '"size":9' in mesh.curl("/catalogue/size").stdout
    # As it was in 2019, when rules alone made callers speak it.
    mesh.kubectl("create", "configmap", "istio", "-n", "istio-system", "--from-literal=mesh=enableAutoMtls: false")
    until("plain calls refused", lambda: mesh.code("/") == 503)
    until("the row of a conflict", lambda: row() == ["CONFLICT", "mTLS", "HTTP"])
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / MUTUAL))
    until("a purchase by the rules", lambda: buys(mesh))
    until("the rules' row", lambda: row() == ["OK", "mTLS", "mTLS"])
    mesh.kubectl("delete", "configmap", "istio", "-n", "istio-system")
    mesh.kubectl("delete", "meshpolicies.authentication.istio.io", "default")


def test_row_13_percent_100_is_every_request(routed) -> None:
    mesh, demo = routed
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / ABORT))
    mesh.kubectl("wait", "-n", "sock-shop", "--for=condition=Settled", "virtualservice/catalogue", "--timeout=180s")
    customer = Customer(mesh.url("/"))
    assert {customer.ask("GET", "/catalogue/size") for _ in range(100)} == {(200, "fault filter abort")}


def test_row_26_a_trace_collector_that_nobody_has_keeps_nobody_from_working(routed) -> None:
    mesh, _ = routed
    names = set()
    for pod in mesh.get("pods", "-n", "sock-shop")["items"]:
        environment = [value for one in pod["spec"]["containers"] for value in one.get("env") or ()]
        if any(value["name"] == "ZIPKIN" and "zipkin.jaeger" in value["value"] for value in environment):
            names.add(pod["metadata"]["labels"]["name"])
            assert all(status["restartCount"] == 0 for status in pod["status"]["containerStatuses"])
    assert names == {"carts", "orders", "shipping"}
    lookup = ("exec", "-n", "sock-shop", "deploy/orders", "-c", "orders", "--", "getent", "hosts")
    mesh.kubectl(*lookup, "zipkin.jaeger.svc.cluster.local", code=2)
    customer = Customer(mesh.url("/"))
    until("the customer", customer.log_in)
    assert customer.buy()[0] == 201


def test_a_subset_that_does_not_exist_is_a_503_and_the_way_back_works(shop) -> None:
    mesh, _, _ = shop
    route_to(mesh, ("v9", 100))
    until("503 without the subset", lambda: mesh.code("/img/logo.png") == 503)
    route_to(mesh, ("v1", 100))
    only_logo(mesh)


def test_configuration_is_shown_with_its_origin(shop) -> None:
    mesh, _, _ = shop
    route_to(mesh, ("v1", 100))
    ours = ("virtualservice/front-end", "destinationrule/front-end")
    mesh.kubectl("wait", "-n", "sock-shop", "--for=condition=Settled", *ours, "--timeout=180s")
    status = mesh.plait("proxy-status").stdout
    assert status.count("SYNCED") >= 5
    pod = mesh.get("pods", "-n", "istio-system", "-l", "istio=ingressgateway")["items"][0]["metadata"]["name"]
    target = f"{pod}.istio-system"
    routes = mesh.plait("proxy-config", "route", target).stdout
    assert "front-end.sock-shop" in routes
    clusters = json.loads(mesh.plait("proxy-config", "cluster", target, "-o", "json").stdout)
    names = [cluster["name"] for cluster in clusters]
    assert "outbound|80|v1|front-end.sock-shop.svc.cluster.local" in names, f"{names}\n{routes}"
    endpoints = mesh.plait("proxy-config", "endpoint", target).stdout
    assert "HEALTHY" in endpoints
    assert "0.0.0.0" in mesh.plait("proxy-config", "listener", target).stdout
    assert "xds-grpc" in mesh.plait("proxy-config", "bootstrap", target, "-o", "json").stdout


def test_wrong_input_is_refused_in_words_and_traffic_goes_on(shop) -> None:
    mesh, _, _ = shop
    route_to(mesh, ("v1", 100))
    before = only_logo(mesh)
    wrong = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "front-end", "namespace": "sock-shop"},
        "spec": {"hosts": ["*"], "gateways": ["sockshop-gateway"], "http": [{"rout": []}]},
    }
    refused = mesh.kubectl("replace", "-f", "-", given=json.dumps(wrong), code=1)
    assert 'unknown field "spec.http[0].rout"' in refused.stderr
    assert set(logos(mesh, 20)) == {before}
