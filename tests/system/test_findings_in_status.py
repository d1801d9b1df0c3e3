"""What analysis says of an object stands in its status, follows what changes around it, and goes when it is mended.

No pod has a sidecar here: what no proxy uses is judged all the same.
"""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Mesh, until

pytestmark = pytest.mark.system

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
"""
#: Applied one by one: the subset is missing for as long as somebody may look.
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME, namespace: shop}
spec:
  hosts: [HOST]
  http:
  - route: [{destination: {host: web, subset: v1}}]
"""
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}
"""
STARTED = """
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: threads, namespace: shop}
spec: {concurrency: 2}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: machines, namespace: shop}
spec: {template: {serviceAccount: machines}}
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: x, namespace: shop}
spec:
  hosts: [late.shop.svc.cluster.local]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 192.0.2.1}]
"""
MISSING = ("IST0101", "spec.http[0].route[0].destination.subset")


def route(name: str, host: str) -> str:
    return ROUTE.replace("NAME", name).replace("HOST", host)


def status(mesh: Mesh, name: str) -> dict[str, Any]:
    found: dict[str, Any] = mesh.get("-n", "shop", name).get("status") or {}
    return found


def messages(mesh: Mesh, name: str) -> set[tuple[str, str]]:
    return {(one["type"]["code"], one["path"]) for one in status(mesh, name).get("validationMessages") or ()}


def conditions(mesh: Mesh, name: str) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["message"]) for one in status(mesh, name).get("conditions") or ()}


def since(mesh: Mesh, name: str) -> str:
    """When its condition Settled became what it is."""
    (found,) = (one for one in status(mesh, name)["conditions"] if one["type"] == "Settled")
    assert found["status"] == "True"
    return str(found["lastTransitionTime"])


def settled(mesh: Mesh, name: str) -> None:
    mesh.kubectl("-n", "shop", "wait", "--for=condition=Settled", name, "--timeout=180s")


def version(mesh: Mesh, name: str) -> str:
    return str(mesh.get("-n", "shop", name)["metadata"]["resourceVersion"])


@pytest.fixture(scope="module", autouse=True)
def running(mesh: Mesh) -> None:
    mesh.plait("up", "--ports", "auto")


@pytest.fixture(autouse=True)
def shop(mesh: Mesh, running: None) -> None:
    mesh.kubectl("delete", "namespace", "shop", "--ignore-not-found")
    mesh.kubectl("apply", "-f", "-", given=SHOP)


def test_findings_stand_in_the_status_until_they_are_mended(mesh: Mesh) -> None:
    web, rule = "virtualservice/web", "destinationrule/web"
    mesh.kubectl("apply", "-f", "-", given=route("web", "web"))
    until("the missing subset stands in the status", lambda: messages(mesh, web) == {MISSING})
    settled(mesh, web)
    (message,) = status(mesh, web)["validationMessages"]
    assert message["type"] == {"name": "ReferencedResourceNotFound", "code": "IST0101"}
    assert message["level"] == "ERROR"
    assert message["documentationUrl"].endswith("/ist0101/")
    assert "has no subset 'v1': requests get 503" in message["message"]
    assert MISSING[1] in conditions(mesh, web)["Accepted"][1]
    described = mesh.kubectl("-n", "shop", "describe", web).stdout
    assert "IST0101" in described
    assert "has no subset 'v1'" in described
    assert "has no subset 'v1'" in mesh.plait("describe", "-n", "shop", web).stdout

    # Another object mends it; what is wrong with that one it says itself.
    mesh.kubectl("apply", "-f", "-", given=SUBSETS)
    until("it is gone from the status", lambda: not messages(mesh, web))
    until("no pod carries the labels", lambda: messages(mesh, rule) == {("IST0173", "spec.subsets[0].labels")})
    settled(mesh, web)
    settled(mesh, rule)
    assert conditions(mesh, web)["Accepted"] == ("True", "valid")

    # What has been said is not said again: others come and are judged, and nothing is written into these two.
    before = version(mesh, web), version(mesh, rule)
    for name in ("one", "two"):
        mesh.kubectl("apply", "-f", "-", given=route(name, f"{name}.example").replace("v1}}", "v9}}"))
        until("the others are judged", lambda name=name: messages(mesh, f"virtualservice/{name}") == {MISSING})
        settled(mesh, f"virtualservice/{name}")
    until("the rule lacks what they want", lambda: ("PLT0012", "spec.subsets") in messages(mesh, rule))
    mesh.kubectl("-n", "shop", "delete", "virtualservice/one", "virtualservice/two")
    until("nobody wants it any more", lambda: messages(mesh, rule) == {("IST0173", "spec.subsets[0].labels")})
    assert version(mesh, web) == before[0]

    mesh.kubectl("-n", "shop", "delete", "service/web")
    until("the host is gone", lambda: ("IST0101", "spec.http[0].route[0].destination.host") in messages(mesh, web))
    until("for the rule as well", lambda: messages(mesh, rule) == {("IST0174", "spec.host")})


def test_an_entry_whose_name_a_service_takes_says_so_for_as_long_as_it_does(mesh: Mesh) -> None:
    assert not mesh.kubectl("apply", "-f", "-", given=ENTRY).stderr
    settled(mesh, "serviceentry/x")
    assert not messages(mesh, "serviceentry/x")
    told = mesh.kubectl("-n", "shop", "create", "service", "clusterip", "late", "--tcp=80").stderr
    first = "Service shop/late has this name and comes first"
    assert f"ServiceEntry shop/x has the name of this Service and is not used: {first}" in told
    until("it stands at the entry", lambda: messages(mesh, "serviceentry/x") == {("PLT0021", "spec.hosts[0]")})
    assert first in mesh.plait("describe", "-n", "shop", "serviceentry/x").stdout
    assert first in mesh.plait("apply", "-f", "-", given=ENTRY).stderr
    mesh.kubectl("-n", "shop", "delete", "service/late")
    until("it is the entry's name again", lambda: not messages(mesh, "serviceentry/x"))


def test_what_acts_only_when_something_starts_is_accepted(mesh: Mesh) -> None:
    mesh.kubectl("apply", "-f", "-", given=STARTED)
    for name in ("proxyconfig/threads", "workloadgroup/machines"):
        mesh.kubectl("-n", "shop", "wait", "--for=condition=Accepted", name, "--timeout=180s")
        assert list(conditions(mesh, name)) == ["Accepted"]
    assert "when they start" in conditions(mesh, "proxyconfig/threads")["Accepted"][1]


def test_a_restart_of_istiod_leaves_what_is_true(mesh: Mesh) -> None:
    mesh.kubectl("apply", "-f", "-", given=route("web", "web") + "---" + SUBSETS)
    settled(mesh, "virtualservice/web")
    settled(mesh, "destinationrule/web")
    until("all is well with the route", lambda: not messages(mesh, "virtualservice/web"))
    before = since(mesh, "virtualservice/web")
    mesh.kubectl("-n", "istio-system", "rollout", "restart", "deploy/istiod")
    mesh.kubectl("-n", "istio-system", "rollout", "status", "deploy/istiod", "--timeout=180s")
    # The new one judges everything anew, and what was settled stays so.
    mesh.kubectl("-n", "shop", "delete", "destinationrule/web")
    until("it follows what changes", lambda: messages(mesh, "virtualservice/web") == {MISSING})
    assert since(mesh, "virtualservice/web") == before
    mesh.kubectl("apply", "-f", "-", given=SUBSETS)
    until("and what mends it", lambda: not messages(mesh, "virtualservice/web"))
    assert since(mesh, "virtualservice/web") == before
