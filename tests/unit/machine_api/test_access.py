"""Who is who and who may what; tokens; discovery; what is answered to nobody."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

CORE = "/api/v1/namespaces/default"
REVIEW = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def token_of(cluster: Any, namespace: str, **spec: Any) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    answer = await cluster.made(path, {"kind": "TokenRequest", "spec": spec})
    return str(answer["status"]["token"])


@pytest.mark.parametrize("token", ["", "wrong", "a.b.c"])
async def test_without_credentials_nothing_but_health(cluster: Any, token: str) -> None:
    for path in ("/api", f"{CORE}/pods", "/openapi/v3"):
        status, answer, _ = await cluster.ask("GET", path, token=token)
        assert (status, answer["reason"]) == (401, "Unauthorized")


async def test_health_and_version_are_public(cluster: Any) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        assert (await cluster.ask("GET", path, token=""))[:2] == (200, "ok")
    for path in ("/version", "/version/"):
        _, version, _ = await cluster.ask("GET", path, token="")
        assert version["gitVersion"].startswith("v1.")


async def test_viewers_read_all_but_secrets(cluster: Any) -> None:
    assert (await cluster.ask("GET", f"{CORE}/configmaps", token="viewer-token"))[0] == 200
    status, answer, _ = await cluster.ask("GET", f"{CORE}/secrets", token="viewer-token")
    assert status == 403
    assert answer["message"] == (
        'secrets is forbidden: User "viewer" cannot list resource "secrets" in API group "" in the namespace "default"'
    )
    for method, path in (
        ("DELETE", f"{CORE}/configmaps/kube-root-ca.crt"),
        ("GET", f"{CORE}/pods/p/portforward"),
        ("POST", f"{CORE}/serviceaccounts/default/token"),
        ("POST", "/api/v1/namespaces"),
    ):
        assert (await cluster.ask(method, path, {}, token="viewer-token"))[0] == 403


async def test_service_accounts_by_namespace(cluster: Any) -> None:
    ours, theirs = await token_of(cluster, "istio-system"), await token_of(cluster, "default")
    assert (await cluster.ask("GET", f"{CORE}/secrets", token=ours))[0] == 200
    assert (await cluster.ask("GET", f"{CORE}/secrets", token=theirs))[0] == 403
    assert (await cluster.ask("GET", f"{CORE}/pods", token=theirs))[0] == 200


async def test_token_review(cluster: Any) -> None:
    token = await token_of(cluster, "default", audiences=["istio-ca"], expirationSeconds=3600)
    assert (await cluster.ask("GET", f"{CORE}/pods", token=token))[0] == 401  # not meant for the API
    review = await cluster.made(REVIEW, {"spec": {"token": token, "audiences": ["istio-ca", "other"]}})
    assert review["status"]["authenticated"] is True
    assert review["status"]["audiences"] == ["istio-ca"]
    assert review["status"]["user"]["username"] == "system:serviceaccount:default:default"
    refused = await cluster.made(REVIEW, {"spec": {"token": token}})
    assert refused["status"]["authenticated"] is False


async def test_a_forged_token_is_refused(cluster: Any) -> None:
    header, claims, signature = (await token_of(cluster, "default")).split(".")
    body = json.loads(base64.urlsafe_b64decode(claims + "=="))
    body["sub"] = "system:serviceaccount:istio-system:default"
    body["kubernetes.io"]["namespace"] = "istio-system"
    forged = base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for token in (f"{header}.{forged}.{signature}", f"{none}.{forged}.", f"{header}.{claims}."):
        assert (await cluster.ask("GET", f"{CORE}/pods", token=token))[0] == 401


async def test_a_token_dies_with_its_pod(cluster: Any) -> None:
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    pod = await cluster.made(f"{CORE}/pods", body)
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]}
    token = await token_of(cluster, "default", boundObjectRef=reference)
    review = await cluster.made(REVIEW, {"spec": {"token": token}})
    assert review["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    await cluster.ask("DELETE", f"{CORE}/pods/p")
    assert (await cluster.ask("GET", f"{CORE}/pods", token=token))[0] == 401


async def test_a_token_dies_with_its_account(cluster: Any) -> None:
    token = await token_of(cluster, "default")
    await cluster.ask("DELETE", f"{CORE}/serviceaccounts/default")
    await cluster.made(f"{CORE}/serviceaccounts", {"metadata": {"name": "default"}})
    assert (await cluster.ask("GET", f"{CORE}/pods", token=token))[0] == 401


async def test_tokens_are_not_for_ever_nor_for_a_moment(cluster: Any) -> None:
    path = f"{CORE}/serviceaccounts/default/token"
    assert (await cluster.ask("POST", path, {"spec": {"expirationSeconds": 5}}))[0] == 422
    answer = await cluster.made(path, {"spec": {"expirationSeconds": 10**8}})
    assert answer["spec"]["expirationSeconds"] == 86400


async def test_access_reviews_say_what_is_so(cluster: Any) -> None:
    async def allowed(token: str, **attributes: str) -> bool:
        body = {"spec": {"resourceAttributes": attributes}}
        _, answer, _ = await cluster.ask("POST", ACCESS, body, token=token)
        return bool(answer["status"]["allowed"])

    assert await allowed("admin-token", verb="delete", resource="pods")
    assert await allowed("viewer-token", verb="list", resource="pods")
    assert not await allowed("viewer-token", verb="delete", resource="pods")
    assert not await allowed("viewer-token", verb="get", resource="secrets")


async def test_discovery_aggregated_and_old(cluster: Any) -> None:
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    _, groups, response = await cluster.ask("GET", "/apis", Accept=f"{aggregated},application/json")
    assert response.headers["Content-Type"] == aggregated
    names = [item["metadata"]["name"] for item in groups["items"]]
    assert names[-1] == "extensions"  # old groups last
    _, old, _ = await cluster.ask("GET", "/apis", Accept="application/json")
    assert [group["name"] for group in old["groups"]] == names
    apps = next(item for item in groups["items"] if item["metadata"]["name"] == "apps")
    assert [version["version"] for version in apps["versions"]] == ["v1", "v1beta2", "v1beta1"]
    for item in groups["items"]:
        for version in item["versions"]:
            path = f"/apis/{item['metadata']['name']}/{version['version']}"
            _, resources, _ = await cluster.ask("GET", path)
            plain = [entry["name"] for entry in resources["resources"] if "/" not in entry["name"]]
            assert plain == [entry["resource"] for entry in version["resources"]]


async def test_every_listed_resource_is_served(cluster: Any) -> None:
    paths = [("/api/v1", (await cluster.ask("GET", "/api/v1"))[1])]
    for group in (await cluster.ask("GET", "/apis"))[1]["groups"]:
        paths += [
            (f"/apis/{version['groupVersion']}", (await cluster.ask("GET", f"/apis/{version['groupVersion']}"))[1])
            for version in group["versions"]
        ]
    for root, listing in paths:
        for entry in listing["resources"]:
            if "list" in entry["verbs"]:
                status, answer, _ = await cluster.ask("GET", f"{root}/{entry['name']}")
                # Metrics are asked of the node, of which there is none here.
                expected = 503 if "metrics.k8s.io" in root else 200
                assert status == expected, (root, entry, answer)


async def test_openapi_may_be_kept(cluster: Any) -> None:
    _, index, _ = await cluster.ask("GET", "/openapi/v3")
    where = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    _, document, response = await cluster.ask("GET", where)
    assert document["openapi"].startswith("3.")
    assert "public" in response.headers["Cache-Control"]
    assert response.headers["Expires"]
    status, _, _ = await cluster.ask("GET", where, If_None_Match=response.headers["ETag"])
    assert status == 304


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v2", "/apis/none", "/apis/apps/v9/x", "/openapi/v1", "/api/v1/pods/x"]
)
async def test_unknown_paths_are_a_status(cluster: Any, path: str) -> None:
    status, answer, _ = await cluster.ask("GET", path)
    assert (status, answer["kind"], answer["reason"]) == (404, "Status", "NotFound")


async def test_a_client_that_wants_only_protobuf_is_told(cluster: Any) -> None:
    status, answer, _ = await cluster.ask("GET", f"{CORE}/pods", Accept="application/vnd.kubernetes.protobuf")
    assert (status, answer["reason"]) == (406, "NotAcceptable")


async def test_who_may_do_everything_may_ask_as_somebody_else(cluster: Any) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    account = "system:serviceaccount:shop:default"
    _, answer, _ = await cluster.ask("POST", path, {}, Impersonate_User=account)
    assert answer["status"]["userInfo"]["username"] == account
    assert answer["status"]["userInfo"]["groups"] == [
        "system:serviceaccounts",
        "system:serviceaccounts:shop",
        "system:authenticated",
    ]
    status, answer, _ = await cluster.ask("GET", f"{CORE}/secrets", Impersonate_User=account)
    assert (status, answer["reason"]) == (403, "Forbidden")
    named = {"Impersonate_User": "joe", "Impersonate_Group": "system:masters"}
    assert (await cluster.ask("GET", f"{CORE}/secrets", **named))[0] == 200


async def test_nobody_else_may(cluster: Any) -> None:
    named = {"Impersonate_User": "admin", "Impersonate_Group": "system:masters"}
    status, answer, _ = await cluster.ask("GET", f"{CORE}/pods", token="viewer-token", **named)
    assert status == 403
    assert answer["message"].endswith(
        'User "viewer" cannot impersonate resource "users" in API group "" at the cluster scope'
    )
    status, answer, _ = await cluster.ask("GET", f"{CORE}/pods", Impersonate_Group="g")
    assert status == 400


async def test_kubectl_asks_as_somebody_else(cluster: Any) -> None:
    out, _ = await cluster.kubectl("auth", "can-i", "list", "secrets", "--as=joe", code=1)
    assert out.startswith("no")
