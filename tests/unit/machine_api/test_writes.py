"""The write pipeline over HTTP: what every create, replace, patch and delete must keep to."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import ADMIN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CORE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = {"Content_Type": "application/merge-patch+json"}
STRATEGIC = {"Content_Type": "application/strategic-merge-patch+json"}
JSON_PATCH = {"Content_Type": "application/json-patch+json"}
APPLY = {"Content_Type": "application/apply-patch+yaml"}


def deployment(name: str = "web", image: str = "nginx:1", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "a", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"app": name}, **spec}}


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "x"}], **spec}}


async def test_the_server_decides_its_own_fields(cluster: Any) -> None:
    body = deployment()
    body["metadata"] |= {"uid": "mine", "generation": 7, "creationTimestamp": "2000-01-01T00:00:00Z"}
    body["status"] = {"replicas": 5}
    made = await cluster.made(APPS, body)
    assert made["metadata"]["uid"] != "mine"
    assert made["metadata"]["generation"] == 1
    assert not made["metadata"]["creationTimestamp"].startswith("2000")
    assert made.get("status", {}) == {}
    assert made["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}


async def test_only_a_changed_spec_counts_as_a_generation(cluster: Any) -> None:
    first = await cluster.made(APPS, deployment())
    _, labelled, _ = await cluster.ask("PATCH", f"{APPS}/web", {"metadata": {"labels": {"a": "b"}}}, **MERGE)
    assert labelled["metadata"]["generation"] == 1
    _, scaled, _ = await cluster.ask("PATCH", f"{APPS}/web", {"spec": {"replicas": 3}}, **MERGE)
    assert scaled["metadata"]["generation"] == 2
    _, same, _ = await cluster.ask("PATCH", f"{APPS}/web", {"spec": {"replicas": 3}}, **MERGE)
    assert same == scaled
    _, status, _ = await cluster.ask("PATCH", f"{APPS}/web/status", {"status": {"replicas": 3}}, **MERGE)
    assert status["metadata"]["generation"] == 2
    assert status["status"] == {"replicas": 3}
    assert first["metadata"]["uid"] == status["metadata"]["uid"]


async def test_status_and_the_rest_are_written_apart(cluster: Any) -> None:
    await cluster.made(APPS, deployment())
    both = {"spec": {"replicas": 9}, "status": {"replicas": 4}}
    _, after_status, _ = await cluster.ask("PATCH", f"{APPS}/web/status", both, **MERGE)
    assert (after_status["spec"]["replicas"], after_status["status"]) == (1, {"replicas": 4})
    _, after_spec, _ = await cluster.ask("PATCH", f"{APPS}/web", {**both, "status": None}, **MERGE)
    assert (after_spec["spec"]["replicas"], after_spec["status"]) == (9, {"replicas": 4})


async def test_a_replacement_must_fit_the_version_it_names(cluster: Any) -> None:
    made = await cluster.made(APPS, deployment())
    _, changed, _ = await cluster.ask("PUT", f"{APPS}/web", {**made, "spec": {**made["spec"], "replicas": 2}})
    assert changed["spec"]["replicas"] == 2
    status, answer, _ = await cluster.ask("PUT", f"{APPS}/web", {**made, "spec": {**made["spec"], "replicas": 3}})
    assert (status, answer["reason"]) == (409, "Conflict")
    assert "the object has been modified" in answer["message"]
    assert answer["details"] == {"name": "web", "group": "apps", "kind": "deployments"}


async def test_names_are_made_up_on_request(cluster: Any) -> None:
    names = {
        (await cluster.made(f"{CORE}/pods", {**pod(), "metadata": {"generateName": "p-"}}))["metadata"]["name"]
        for _ in range(3)
    }
    assert len(names) == 3
    assert all(name.startswith("p-") and len(name) == 7 for name in names)


async def test_dry_run_stores_nothing_and_says_everything(cluster: Any) -> None:
    status, made, _ = await cluster.ask("POST", f"{CORE}/services?dryRun=All", service())
    assert status == 201
    assert made["spec"]["clusterIP"].startswith("10.42.")
    assert (await cluster.ask("GET", f"{CORE}/services/web"))[0] == 404
    await cluster.made(f"{CORE}/services", service())
    assert (await cluster.ask("DELETE", f"{CORE}/services/web?dryRun=All"))[0] == 200
    assert (await cluster.ask("GET", f"{CORE}/services/web"))[0] == 200


async def test_unknown_fields_are_refused_warned_of_or_dropped(cluster: Any) -> None:
    body = deployment(replicaz=2)
    status, answer, _ = await cluster.ask("POST", f"{APPS}?fieldValidation=Strict", body)
    assert status == 400
    assert 'strict decoding error: unknown field "spec.replicaz"' in answer["message"]
    status, made, response = await cluster.ask("POST", f"{APPS}?fieldValidation=Warn", body)
    assert status == 201
    assert "replicaz" not in made["spec"]
    assert response.headers.getall("Warning") == ['299 - "unknown field \\"spec.replicaz\\""']
    _, _, response = await cluster.ask("PUT", f"{APPS}/web?fieldValidation=Ignore", body)
    assert "Warning" not in response.headers


async def test_keys_given_twice_are_refused(cluster: Any) -> None:
    raw = b'{"metadata": {"name": "a"}, "data": {"k": "1", "k": "2"}}'
    status, answer, _ = await cluster.ask("POST", f"{CORE}/configmaps?fieldValidation=Strict", raw)
    assert status == 400
    assert 'duplicate field "data.k"' in answer["message"]


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        ("/api/v1/namespaces/nowhere/configmaps", {"metadata": {"name": "a"}}, 404, 'namespaces "nowhere" not found'),
        (f"{CORE}/configmaps", {"metadata": {"name": "a", "namespace": "b"}}, 400, "does not match the namespace"),
        (f"{CORE}/configmaps", {"kind": "Secret", "metadata": {"name": "a"}}, 400, "does not match the expected kind"),
        (f"{CORE}/configmaps", {"apiVersion": "v2", "metadata": {"name": "a"}}, 400, "the expected API version"),
        (f"{CORE}/configmaps", {"metadata": {"name": "kube-root-ca.crt"}}, 409, "already exists"),
        (f"{CORE}/configmaps", {"metadata": {}}, 422, "name or generateName is required"),
        (f"{CORE}/configmaps", {"metadata": {"name": "Not A Name"}}, 422, "metadata.name: Invalid value"),
        (f"{CORE}/configmaps", [1], 400, "must be an object"),
        (f"{CORE}/configmaps", b"{", 400, "must be of type JSON"),
        (f"{CORE}/configmaps", b"", 400, "must be an object"),
        (f"{CORE}/pods", pod(serviceAccountName="bob"), 403, 'serviceaccount "bob" not found'),
        (f"{CORE}/services", service(clusterIP="1.2.3.4"), 422, "not in the valid range"),
        (f"{CORE}/services", service(clusterIP="10.42.128.1"), 422, "already allocated"),
        ("/api/v1/configmaps", {"metadata": {"name": "a"}}, 405, "does not allow this method"),
        ("/api/v1/nothings", {"metadata": {"name": "a"}}, 404, "could not find the requested resource"),
    ],
)
async def test_bad_creates(cluster: Any, path: str, body: Any, code: int, words: str) -> None:
    status, answer, _ = await cluster.ask("POST", path, body)
    assert status == code, answer
    assert answer["kind"] == "Status"
    assert words in answer["message"]


async def test_a_body_that_is_too_large(cluster: Any) -> None:
    status, answer, _ = await cluster.ask("POST", f"{CORE}/configmaps", b" " * (3 * 1024 * 1024 + 1))
    assert (status, answer["reason"]) == (413, "RequestEntityTooLarge")


async def test_a_pod_that_runs_is_deleted_by_its_node(cluster: Any) -> None:
    made = await cluster.made(f"{CORE}/pods", pod(nodeName="plait"))
    uid = made["metadata"]["uid"]
    _, marked, _ = await cluster.ask("DELETE", f"{CORE}/pods/p")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    _, again, _ = await cluster.ask("DELETE", f"{CORE}/pods/p")
    assert again["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    _, sooner, _ = await cluster.ask("DELETE", f"{CORE}/pods/p", {"gracePeriodSeconds": 5})
    assert sooner["metadata"]["deletionGracePeriodSeconds"] == 5
    other = {"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}}
    assert (await cluster.ask("DELETE", f"{CORE}/pods/p", other))[0] == 409
    final = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
    assert (await cluster.ask("DELETE", f"{CORE}/pods/p", final))[0] == 200
    assert (await cluster.ask("GET", f"{CORE}/pods/p"))[0] == 404


async def test_a_new_object_has_no_version_yet(cluster: Any) -> None:
    body = {"metadata": {"name": "c", "resourceVersion": "7"}}
    status, answer, _ = await cluster.ask("POST", f"{CORE}/configmaps", body)
    assert (status, answer["message"]) == (400, "resourceVersion should not be set on objects to be created")


async def test_what_has_changed_since_it_was_looked_at_is_not_deleted(cluster: Any) -> None:
    made = await cluster.made(f"{CORE}/configmaps", {"metadata": {"name": "c"}})
    seen = made["metadata"]["resourceVersion"]
    await cluster.ask("PUT", f"{CORE}/configmaps/c", made | {"data": {"a": "b"}})
    for version in (seen, str(int(seen) + 1000)):
        status, answer, _ = await cluster.ask(
            "DELETE", f"{CORE}/configmaps/c", {"preconditions": {"resourceVersion": version}}
        )
        assert (status, answer["reason"]) == (409, "Conflict")
        assert f"ResourceVersion in precondition: {version}" in answer["message"]
    assert (await cluster.ask("GET", f"{CORE}/configmaps/c"))[0] == 200


async def test_a_pod_without_a_node_goes_at_once(cluster: Any) -> None:
    await cluster.made(f"{CORE}/pods", pod())
    assert (await cluster.ask("DELETE", f"{CORE}/pods/p"))[0] == 200
    assert (await cluster.ask("GET", f"{CORE}/pods/p"))[0] == 404


async def test_pods_get_a_token_and_a_node(cluster: Any) -> None:
    made = await cluster.made(f"{CORE}/pods", pod())
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    (volume,) = made["spec"]["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    (mount,) = made["spec"]["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    status, bound, _ = await cluster.ask("PATCH", f"{CORE}/pods/p", {"spec": {"nodeName": "plait"}}, **STRATEGIC)
    assert status == 200, bound
    target = {"target": {"kind": "Node", "name": "elsewhere"}}
    assert (await cluster.ask("POST", f"{CORE}/pods/p/binding", target))[0] == 409
    quiet = await cluster.made(f"{CORE}/pods", pod("quiet", automountServiceAccountToken=False))
    assert "volumes" not in quiet["spec"]


async def test_binding_assigns_a_node(cluster: Any) -> None:
    await cluster.made(f"{CORE}/pods", pod())
    await cluster.made(f"{CORE}/pods/p/binding", {"target": {"kind": "Node", "name": "plait"}})
    _, bound, _ = await cluster.ask("GET", f"{CORE}/pods/p")
    assert bound["spec"]["nodeName"] == "plait"


async def test_eviction_deletes(cluster: Any) -> None:
    await cluster.made(f"{CORE}/pods", pod())
    await cluster.made(f"{CORE}/pods/p/eviction", {"kind": "Eviction", "metadata": {"name": "p"}})
    assert (await cluster.ask("GET", f"{CORE}/pods/p"))[0] == 404


async def test_finalizers_hold_an_object(cluster: Any) -> None:
    body = {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}}
    await cluster.made(f"{CORE}/configmaps", body)
    _, marked, _ = await cluster.ask("DELETE", f"{CORE}/configmaps/a")
    assert marked["metadata"]["deletionTimestamp"]
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    assert (await cluster.ask("PATCH", f"{CORE}/configmaps/a", more, **MERGE))[0] == 422
    await cluster.ask("PATCH", f"{CORE}/configmaps/a", {"metadata": {"finalizers": None}}, **MERGE)
    assert (await cluster.ask("GET", f"{CORE}/configmaps/a"))[0] == 404


async def test_a_namespace_goes_when_it_is_finalized(cluster: Any) -> None:
    made = await cluster.made("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
    for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
        assert (await cluster.ask("GET", f"/api/v1/namespaces/shop/{path}"))[0] == 200
    _, ending, _ = await cluster.ask("DELETE", "/api/v1/namespaces/shop")
    assert ending["status"]["phase"] == "Terminating"
    status, answer, _ = await cluster.ask("POST", "/api/v1/namespaces/shop/configmaps", {"metadata": {"name": "a"}})
    assert status == 403
    assert answer["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    status, _, _ = await cluster.ask("PUT", "/api/v1/namespaces/shop/finalize", {**ending, "spec": {}})
    assert status == 200
    assert (await cluster.ask("GET", "/api/v1/namespaces/shop"))[0] == 404


async def test_the_default_namespace_stays(cluster: Any) -> None:
    status, answer, _ = await cluster.ask("DELETE", "/api/v1/namespaces/default")
    assert status == 403
    assert answer["message"] == 'namespaces "default" is forbidden: this namespace may not be deleted'


async def test_what_pods_cannot_do_without_comes_back(cluster: Any) -> None:
    for path in (
        "/api/v1/namespaces/default/configmaps/kube-root-ca.crt",
        "/api/v1/namespaces/default/services/kubernetes",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
    ):
        _, before, _ = await cluster.ask("GET", path)
        assert (await cluster.ask("DELETE", path))[0] == 200
        status, after, _ = await cluster.ask("GET", path)
        assert status == 200
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        old, new = ({k: v for k, v in obj.items() if k != "metadata"} for obj in (before, after))
        assert old == new


async def test_what_is_nested_without_end_is_refused(cluster: Any) -> None:
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    status, answer, _ = await cluster.ask("POST", "/api/v1/namespaces/default/configmaps", deep)
    assert (status, answer["message"]) == (400, "the object provided is nested too deeply")


async def test_orphans_lose_their_owner(cluster: Any) -> None:
    owner = await cluster.made(APPS, deployment())
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner["metadata"]["uid"]}
    await cluster.made(f"{CORE}/configmaps", {"metadata": {"name": "a", "ownerReferences": [reference]}})
    _, answer, _ = await cluster.ask("DELETE", f"{APPS}/web", {"propagationPolicy": "Orphan"})
    assert answer["details"]["uid"] == owner["metadata"]["uid"]
    _, left, _ = await cluster.ask("GET", f"{CORE}/configmaps/a")
    assert "ownerReferences" not in left["metadata"]


async def test_a_service_keeps_its_address(cluster: Any) -> None:
    made = await cluster.made(f"{CORE}/services", service())
    address = made["spec"]["clusterIP"]
    assert made["spec"]["clusterIPs"] == [address]
    _, replaced, _ = await cluster.ask("PUT", f"{CORE}/services/web", service(sessionAffinity="ClientIP"))
    assert replaced["spec"]["clusterIP"] == address
    status, answer, _ = await cluster.ask(
        "PATCH", f"{CORE}/services/web", {"spec": {"clusterIP": "10.42.200.1"}}, **MERGE
    )
    assert status == 422, answer
    await cluster.ask("DELETE", f"{CORE}/services/web")
    assert (await cluster.made(f"{CORE}/services", service()))["spec"]["clusterIP"] == address


async def test_headless_and_external_services(cluster: Any) -> None:
    headless = await cluster.made(f"{CORE}/services", service("a", clusterIP="None"))
    assert headless["spec"]["clusterIPs"] == ["None"]
    external = await cluster.made(
        f"{CORE}/services", {"metadata": {"name": "b"}, "spec": {"type": "ExternalName", "externalName": "example.com"}}
    )
    assert "clusterIP" not in external["spec"]


async def test_node_ports_are_allocated_kept_and_released(cluster: Any) -> None:
    made = await cluster.made(f"{CORE}/services", service(type="LoadBalancer"))
    port = made["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    _, kept, _ = await cluster.ask(
        "PUT", f"{CORE}/services/web", service(type="LoadBalancer", ports=[{"port": 80, "name": "h"}])
    )
    assert kept["spec"]["ports"][0]["nodePort"] == port
    body = service("other", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    status, answer, _ = await cluster.ask("POST", f"{CORE}/services", body)
    assert status == 422
    assert "already allocated" in answer["message"]
    _, released, _ = await cluster.ask("PATCH", f"{CORE}/services/web", {"spec": {"type": "ClusterIP"}}, **MERGE)
    assert "nodePort" not in released["spec"]["ports"][0]


async def test_strategic_patches_merge_by_key(cluster: Any) -> None:
    await cluster.made(APPS, deployment())
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "y"}]}}}}
    _, patched, _ = await cluster.ask("PATCH", f"{APPS}/web", patch, **STRATEGIC)
    names = [container["name"] for container in patched["spec"]["template"]["spec"]["containers"]]
    assert sorted(names) == ["a", "b"]


async def test_a_failed_test_changes_nothing(cluster: Any) -> None:
    await cluster.made(APPS, deployment())
    patch = [
        {"op": "replace", "path": "/spec/replicas", "value": 5},
        {"op": "test", "path": "/metadata/name", "value": "other"},
    ]
    status, _, _ = await cluster.ask("PATCH", f"{APPS}/web", patch, **JSON_PATCH)
    assert status == 422
    _, present, _ = await cluster.ask("GET", f"{APPS}/web")
    assert present["spec"]["replicas"] == 1


async def test_custom_resources_take_no_strategic_patch(cluster: Any) -> None:
    path = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
    await cluster.made(path, {"metadata": {"name": "a"}, "spec": {"hosts": ["x"]}})
    status, answer, _ = await cluster.ask("PATCH", f"{path}/a", {"spec": {}}, **STRATEGIC)
    assert (status, answer["reason"]) == (415, "UnsupportedMediaType")


async def test_one_object_in_every_version(cluster: Any) -> None:
    def path(version: str) -> str:
        return f"/apis/networking.istio.io/{version}/namespaces/default/virtualservices"

    made = await cluster.made(path("v1alpha3"), {"metadata": {"name": "a"}, "spec": {"hosts": ["x"]}})
    assert made["apiVersion"] == "networking.istio.io/v1alpha3"
    for version in ("v1", "v1beta1", "v1alpha3"):
        _, listing, _ = await cluster.ask("GET", path(version))
        assert listing["apiVersion"] == f"networking.istio.io/{version}"
        assert [item["apiVersion"] for item in listing["items"]] == [f"networking.istio.io/{version}"]


async def test_old_deployments_are_stored_as_new_ones(cluster: Any) -> None:
    old = "/apis/extensions/v1beta1/namespaces/default/deployments"
    body = {**deployment(), "apiVersion": "extensions/v1beta1"}
    del body["spec"]["selector"]
    assert (await cluster.ask("GET", f"{old}/web"))[0] == 404
    status, made, response = await cluster.ask("POST", old, body)
    assert (status, made["apiVersion"]) == (201, "extensions/v1beta1")
    assert any("apps/v1" in text for text in response.headers.getall("Warning"))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "nginx:2"}]}}}}
    status, patched, _ = await cluster.ask("PATCH", f"{old}/web", patch, **STRATEGIC)
    assert (status, patched["apiVersion"]) == (200, "extensions/v1beta1")
    _, stored, _ = await cluster.ask("GET", f"{APPS}/web")
    assert stored["apiVersion"] == "apps/v1"
    assert stored["spec"]["selector"] == {"matchLabels": {"app": "web"}}
    assert stored["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"


async def test_apply_owns_fields_and_conflicts(cluster: Any) -> None:
    where = f"{APPS}/web?fieldManager=%s"
    body = deployment(replicas=2)
    status, _, _ = await cluster.ask("PATCH", where % "one", body, **APPLY)
    assert status == 201
    status, answer, _ = await cluster.ask("PATCH", where % "two", deployment(replicas=3), **APPLY)
    assert status == 409
    assert answer["details"]["causes"][0]["field"] == ".spec.replicas"
    status, forced, _ = await cluster.ask("PATCH", where % "two" + "&force=true", deployment(replicas=3), **APPLY)
    assert (status, forced["spec"]["replicas"]) == (200, 3)
    assert {entry["manager"] for entry in forced["metadata"]["managedFields"]} == {"one", "two"}
    _, again, _ = await cluster.ask("PATCH", where % "two", deployment(replicas=3), **APPLY)
    assert again["metadata"]["resourceVersion"] == forced["metadata"]["resourceVersion"]
    status, answer, _ = await cluster.ask("PATCH", f"{APPS}/web", body, **APPLY)
    assert status == 422
    assert "fieldManager" in answer["message"]


async def test_scale(cluster: Any) -> None:
    await cluster.made(APPS, deployment())
    _, scale, _ = await cluster.ask("GET", f"{APPS}/web/scale")
    assert scale["kind"] == "Scale"
    assert scale["status"]["selector"] == "app=web"
    _, scaled, _ = await cluster.ask("PUT", f"{APPS}/web/scale", {**scale, "spec": {"replicas": 4}})
    assert scaled["spec"] == {"replicas": 4}
    status, _, _ = await cluster.ask("PUT", f"{APPS}/web/scale", {**scale, "spec": {"replicas": 5}})
    assert status == 409
    status, _, _ = await cluster.ask("PATCH", f"{APPS}/web/scale", {"spec": {"replicas": -1}}, **MERGE)
    assert status == 422


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_scale_is_not_refused_for_a_change_beside_it(cluster: Any, method: str) -> None:
    await cluster.made(APPS, deployment())
    whole = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web"}, "spec": {"replicas": 3}}
    text = json.dumps(whole).encode()

    async def slow() -> AsyncIterator[bytes]:
        yield text[:10]
        await cluster.ask("PATCH", f"{APPS}/web", {"metadata": {"labels": {"beside": "it"}}}, **MERGE)
        yield text[10:]

    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": MERGE["Content_Type"]}
    if method == "PUT":
        headers["Content-Type"] = "application/json"
    url = f"{cluster.url}{APPS}/web/scale"
    async with cluster.session.request(method, url, data=slow(), headers=headers) as response:
        assert response.status == 200, await response.text()
    _, now, _ = await cluster.ask("GET", f"{APPS}/web")
    assert (now["spec"]["replicas"], now["metadata"]["labels"]) == (3, {"beside": "it"})


async def test_delete_collection_by_label(cluster: Any) -> None:
    for name, on in (("a", "1"), ("b", "2")):
        await cluster.made(f"{CORE}/configmaps", {"metadata": {"name": name, "labels": {"on": on}}})
    _, gone, _ = await cluster.ask("DELETE", f"{CORE}/configmaps?labelSelector=on%3D1")
    assert [item["metadata"]["name"] for item in gone["items"]] == ["a"]
    _, left, _ = await cluster.ask("GET", f"{CORE}/configmaps")
    assert [item["metadata"]["name"] for item in left["items"]] == ["b", "kube-root-ca.crt"]


async def test_lists_come_in_pages(cluster: Any) -> None:
    for number in range(5):
        await cluster.made(f"{CORE}/secrets", {"metadata": {"name": f"s{number}"}})
    names: list[str] = []
    token, versions = "", set()
    while True:
        _, page, _ = await cluster.ask("GET", f"{CORE}/secrets?limit=2&continue={token}")
        names += [item["metadata"]["name"] for item in page["items"]]
        versions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names == [f"s{number}" for number in range(5)]
    assert len(versions) == 1


@pytest.mark.parametrize("spec", [{"mtls": {"mode": "STRCT"}}, "STRICT", {"mtls": "STRICT"}, {"portLevelMtls": ["80"]}])
async def test_a_status_is_written_though_what_is_stored_beside_it_is_faulty(
    tmp_path: Path, pki: Path, schemas: Any, run_cluster: Any, spec: Any
) -> None:
    """Another version may have let it in, and its status is where that is said."""
    collection = "/apis/security.istio.io/v1/namespaces/default/peerauthentications"
    path = f"{collection}/p"
    async with run_cluster(tmp_path, pki, schemas) as cluster:
        await cluster.made(collection, {"metadata": {"name": "p"}, "spec": {"mtls": {"mode": "STRICT"}}})
    with closing(sqlite3.connect(tmp_path / "store.db")) as store:
        (body,) = store.execute("SELECT body FROM objects WHERE plural = 'peerauthentications'").fetchone()
        faulty = json.dumps({**json.loads(body), "spec": spec}).encode()
        store.execute("UPDATE objects SET body = ? WHERE plural = 'peerauthentications'", (faulty,))
        store.commit()
    async with run_cluster(tmp_path, pki, schemas) as cluster:
        said = {"status": {"observedGeneration": 7}}
        status, obj, _ = await cluster.ask("PATCH", f"{path}/status", said, **MERGE)
        assert (status, obj["status"]["observedGeneration"], obj["spec"]) == (200, 7, spec), obj
        status, obj, _ = await cluster.ask("PUT", f"{path}/status", {**obj, "status": {"observedGeneration": 8}})
        assert (status, obj["status"]["observedGeneration"], obj["spec"]) == (200, 8, spec), obj
        head = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "p"}}
        body = {**head, "status": {"observedGeneration": 9}}
        status, obj, _ = await cluster.ask("PATCH", f"{path}/status?fieldManager=m&force=true", body, **APPLY)
        assert (status, obj["status"]["observedGeneration"], obj["spec"]) == (200, 9, spec), obj
        # Its own faults are refused as ever, and those of the rest where the rest is written.
        wrong = {"status": {"conditions": "none"}}
        status, refused, _ = await cluster.ask("PATCH", f"{path}/status", wrong, **MERGE)
        assert (status, refused["details"]["causes"][0]["field"]) == (422, "status.conditions")
