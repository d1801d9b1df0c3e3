"""The Sock Shop demo's own manifests, unchanged, with the commands of its lessons."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .conftest import until

pytestmark = pytest.mark.system

INSTALL = "1-sock-shop-install/1-sock-shop-complete-demo-istio.yaml"
GATEWAY = "1-sock-shop-install/2-sockshop-gateway.yaml"
ROUTES = "1-sock-shop-install/3-virtual-services-all.yaml"
LESSON = "2-inteligent-routing"
SERVICES = ("front-end", "catalogue", "catalogue-db")
DEPLOYMENTS = ("front-end-v1", "front-end-v2", "catalogue", "catalogue-db")
#: chi-square with one degree of freedom: exceeded by chance once in 10,000 runs.
CHI_SQUARE = 15.14


def documents(path: Path) -> str:
    """The documents of a file that are about these services, to the letter."""
    chosen = []
    for document in re.split(r"^---\s*$", path.read_text(), flags=re.MULTILINE):
        metadata = re.search(r"^metadata:\n((?: .*\n)+)", document, flags=re.MULTILINE)
        name = metadata and re.search(r"^  name: (\S+)$", metadata[1], flags=re.MULTILINE)
        if name and name[1].removesuffix("-v1") in SERVICES:
            chosen.append(document)
    assert chosen
    return "---".join(chosen)


@pytest.fixture(scope="module")
def shop(mesh, shared):
    """The mesh with the shop's three services, as the demo installs them; and the demo, and what apply said."""
    demo = shared / "sockshop-istio"
    mesh.plait("up", "--ports", "auto")
    mesh.kubectl("create", "namespace", "sock-shop")
    applied = mesh.kubectl("apply", "-n", "sock-shop", "-f", "-", given=documents(demo / INSTALL))
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / LESSON / "2-front-end-deployment-v2-istio.yaml"))
    mesh.kubectl("apply", "-n", "sock-shop", "-f", str(demo / GATEWAY))
    mesh.kubectl("apply", "-n", "sock-shop", "-f", "-", given=documents(demo / ROUTES))
    for name in DEPLOYMENTS:
        mesh.kubectl("rollout", "status", "-n", "sock-shop", f"deployment/{name}", "--timeout=120s")
    return mesh, demo, applied


def logos(mesh, count: int) -> Counter[str]:
    """Digests of the logo over many requests; v1 and v2 of the front end differ in nothing else a person sees."""
    connection = http.client.HTTPConnection(urlsplit(mesh.url("/")).netloc, timeout=20)
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


def route_to(mesh, *weights: tuple[str, int]) -> None:
    """Replace the front end's routes as the lesson does, with these subsets and weights."""
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
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    mesh.kubectl("apply", "-f", "-", given=given)


def test_old_manifests_are_converted_with_a_warning(shop) -> None:
    _, _, applied = shop
    assert "extensions/v1beta1" in applied.stderr
    assert "apps/v1" in applied.stderr
    assert "istio-proxy" in applied.stderr, "the foreign sidecar is replaced, and the user is told"


def test_every_pod_has_its_sidecar(shop) -> None:
    mesh, _, _ = shop
    pods = mesh.get("pods", "-n", "sock-shop")["items"]
    assert len(pods) == 4
    for pod in pods:
        statuses = pod["status"]["containerStatuses"]
        assert [status["ready"] for status in statuses] == [True, True], pod["metadata"]["name"]
        assert "istio-proxy" in {status["name"] for status in statuses}
        assert [status["name"] for status in pod["status"]["initContainerStatuses"]] == ["istio-init"]
    assert mesh.kubectl("get", "pods", "-n", "sock-shop").stdout.count("2/2") == 4
    described = mesh.kubectl("describe", "pod", "-n", "sock-shop", "-l", "name=catalogue").stdout
    assert "istio-init" in described
    assert "15090/TCP" in described


def test_nine_socks_through_the_gateway(shop) -> None:
    mesh, _, _ = shop

    # The demo's pods have no probes: the gateway may not listen yet, and the catalogue not have its database.
    def listed() -> list | None:
        text = mesh.curl("/catalogue").stdout
        return found if text and isinstance(found := json.loads(text), list) else None

    socks = until("a list of socks", listed)
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


def test_a_subset_that_does_not_exist_is_a_503_and_the_way_back_works(shop) -> None:
    mesh, _, _ = shop
    route_to(mesh, ("v9", 100))
    until("503 without the subset", lambda: mesh.code("/img/logo.png") == 503)
    route_to(mesh, ("v1", 100))
    only_logo(mesh)


def test_configuration_is_shown_with_its_origin(shop) -> None:
    mesh, _, _ = shop
    status = mesh.plait("proxy-status").stdout
    assert status.count("SYNCED") >= 5
    pod = mesh.get("pods", "-n", "istio-system", "-l", "istio=ingressgateway")["items"][0]["metadata"]["name"]
    target = f"{pod}.istio-system"
    routes = mesh.plait("proxy-config", "route", target).stdout
    assert "front-end.sock-shop" in routes
    clusters = json.loads(mesh.plait("proxy-config", "cluster", target, "-o", "json").stdout)
    assert any("front-end.sock-shop" in cluster["name"] for cluster in clusters)
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
