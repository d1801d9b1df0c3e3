"""What explain and diff say on the running shop, and that it is so."""

from __future__ import annotations

import json

import pytest

from .conftest import LESSONS, Mesh

pytestmark = pytest.mark.system

NAMESPACE = ("-n", "sock-shop")


def test_explain_follows_a_route_to_its_subset(lesson: Mesh) -> None:
    command = ("explain", "--from", "deploy/front-end-v1.sock-shop", "GET", "http://catalogue/catalogue", "--envoy")
    told = dict(line.split(maxsplit=1) for line in lesson.plait(*command).stdout.splitlines()[:8])
    assert "VirtualService/sock-shop/catalogue spec.http[0]" in told["route"]
    cluster, _, decided = told["cluster"].partition(" ")
    assert cluster == "outbound|80|v1|catalogue.sock-shop.svc.cluster.local"
    assert "DestinationRule/sock-shop/catalogue spec.subsets[" in decided
    (pod,) = lesson.get("pods", *NAMESPACE, "-l", "name=catalogue")["items"]
    assert told["endpoints"] == f"{pod['status']['podIP']}:80"


def test_explain_names_who_decides_and_a_real_call_agrees(lesson: Mesh) -> None:
    lesson.plait("apply", "--wait", "-f", str(LESSONS / "catalogue-abort.yaml"))
    url = "http://catalogue/catalogue"
    told = lesson.plait("explain", "--from", "deploy/front-end-v1.sock-shop", "GET", url, "--envoy").stdout
    assert "VirtualService/sock-shop/catalogue spec.http[0]" in told
    assert "does the same" in told, "a scratch Envoy, asked too"
    real = lesson.kubectl(
        "exec", *NAMESPACE, "deploy/front-end-v1", "-c", "front-end", "--",
        "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url,
    ).stdout  # fmt: skip
    assert real == "500"
    assert "500" in told
    done = lesson.plait("explain", "--from", "deploy/front-end-v3.sock-shop", "GET", url, code=None)
    assert done.returncode
    assert "front-end-v3" in done.stderr


def test_diff_shows_what_a_file_would_change_and_changes_nothing(lesson: Mesh) -> None:
    file = str(LESSONS / "canary.yaml")
    before = lesson.get("virtualservice", *NAMESPACE)
    done = lesson.plait("diff", "-f", file, code=1)
    assert "VirtualService sock-shop/front-end" in done.stdout
    assert "spec.http[0].route[0].weight" in done.stdout
    assert "RouteConfiguration http." in done.stdout
    assert "istio-ingressgateway-" in done.stdout
    after = lesson.get("virtualservice", *NAMESPACE)
    # Who judges them writes their status.
    written = [[(item["metadata"]["generation"], item["spec"]) for item in found["items"]] for found in (before, after)]
    assert written[0] == written[1]
    lesson.plait("apply", "--wait", "-f", file)
    assert lesson.plait("diff", "-f", file).stdout == "nothing would change\n"
    assert json.loads(lesson.plait("diff", "-f", file, "-o", "json").stdout)
