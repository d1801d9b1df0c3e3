"""Everyday work with the real kubectl: the newest, and two that are older than the API."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, image: "nginx:1", ports: [{containerPort: 80}]}]}
"""
OLD = """
apiVersion: extensions/v1beta1
kind: Deployment
metadata: {name: carts, labels: {name: carts}}
spec:
  replicas: 1
  strategy: {}
  template:
    metadata: {creationTimestamp: null, labels: {name: carts, version: v1}}
    spec:
      containers: [{name: carts, image: x/carts, resources: {}, volumeMounts: [{mountPath: /tmp, name: t}]}]
      volumes: [{name: t, emptyDir: {medium: Memory}}]
status: {}
"""
ROUTE = """
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: carts}
spec: {hosts: [carts], http: [{route: [{destination: {host: carts, subset: v1}}]}]}
"""


@pytest.fixture(params=("kubectl", "kubectl-1.32", "kubectl-1.30"))
def cluster(cluster: Any, request: pytest.FixtureRequest, lacking: Any) -> Any:
    """The API server, asked by one version of kubectl."""
    program = cluster.program.with_name(request.param)
    if not program.exists():
        lacking(f"no {request.param} is installed; scripts/install-for-tests fetches it with npm")
    return dataclasses.replace(cluster, program=program)


async def test_generators_send_protobuf_that_is_understood(cluster: Any) -> None:
    await cluster.kubectl("create", "namespace", "shop")
    await cluster.kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2", "--port=80", "-n", "shop")
    await cluster.kubectl("create", "configmap", "c", "--from-literal=a=b", "-n", "shop")
    await cluster.kubectl("create", "secret", "generic", "s", "--from-literal=p=q", "-n", "shop")
    await cluster.kubectl("create", "serviceaccount", "bob", "-n", "shop")
    await cluster.kubectl("create", "service", "clusterip", "web", "--tcp=80:8080", "-n", "shop")
    for line in (
        "job j --image=debian -- true",
        "poddisruptionbudget p --selector=a=b --min-available=1",
        "role r --verb=get --resource=pods",
        "rolebinding r --role=r --user=a",
        "clusterrole r --verb=get --resource=pods",
        "clusterrolebinding r --clusterrole=r --user=a",
        "secret docker-registry d --docker-server=x --docker-username=a --docker-password=b",
        "service nodeport n --tcp=80:80",
        "service loadbalancer l --tcp=80:80",
        "service externalname e --external-name=a.example",
    ):
        await cluster.kubectl("create", "-n", "shop", *line.split())
    out, _ = await cluster.kubectl("get", "deploy,cm,secret,sa,svc", "-n", "shop", "-o", "name")
    assert out.split() == [
        "deployment.apps/web",
        "configmap/c",
        "configmap/kube-root-ca.crt",
        "secret/d",
        "secret/s",
        "serviceaccount/bob",
        "serviceaccount/default",
        "service/e",
        "service/l",
        "service/n",
        "service/web",
    ]
    out, _ = await cluster.kubectl("get", "secret", "s", "-n", "shop", "-o", "jsonpath={.data.p} {.type}")
    assert out == "cQ== Opaque"
    token, _ = await cluster.kubectl("create", "token", "bob", "-n", "shop")
    assert token.count(".") == 2


async def test_protobuf_and_json_make_the_same_object(cluster: Any) -> None:
    await cluster.kubectl("create", "deployment", "web", "--image=nginx", "--port=80")
    out, _ = await cluster.kubectl(
        "create", "deployment", "web", "--image=nginx", "--port=80", "--dry-run=client", "-o", "json"
    )
    await cluster.kubectl("delete", "deployment", "web", "--dry-run=server")
    first, _ = await cluster.kubectl("get", "deployment", "web", "-o", "json")
    await cluster.kubectl("delete", "deployment", "web")
    await cluster.kubectl("create", "-f", "-", stdin=out)
    second, _ = await cluster.kubectl("get", "deployment", "web", "-o", "json")
    assert json.loads(first)["spec"] == json.loads(second)["spec"]


async def test_apply_and_apply_again(cluster: Any) -> None:
    out, _ = await cluster.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    assert out == "deployment.apps/web created\n"
    out, _ = await cluster.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    assert out == "deployment.apps/web unchanged\n"
    changed = DEPLOYMENT.replace("nginx:1", "nginx:2")
    out, _ = await cluster.kubectl("diff", "-f", "-", stdin=changed, code=1)
    assert "-      - image: nginx:1" in out
    assert "+      - image: nginx:2" in out
    out, _ = await cluster.kubectl("apply", "-f", "-", stdin=changed)
    assert out == "deployment.apps/web configured\n"
    _, err = await cluster.kubectl("apply", "-f", "-", stdin=DEPLOYMENT.replace("replicas", "replicaz"), code=1)
    assert 'strict decoding error: unknown field "spec.replicaz"' in err
    _, err = await cluster.kubectl("create", "-f", "-", stdin=DEPLOYMENT, code=1)
    assert 'deployments.apps "web" already exists' in err


async def test_server_side_apply_after_the_other(cluster: Any) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    out, _ = await cluster.kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT)
    assert out == "deployment.apps/web serverside-applied\n"
    await cluster.kubectl("scale", "deployment", "web", "--replicas=5")
    _, err = await cluster.kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT, code=1)
    assert "Apply failed with 1 conflict" in err
    await cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=DEPLOYMENT)
    out, _ = await cluster.kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}")
    assert out == "2"


async def test_an_apply_leaves_what_the_server_added(cluster: Any) -> None:
    """The token's volume is in no manifest: whoever takes over a pod with --server-side must not take it away."""
    manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: 'x:1'}]}\n"
    await cluster.kubectl("apply", "-f", "-", stdin=manifest)
    await cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
    out, _ = await cluster.kubectl("get", "pod", "a", "-o", "json", "--show-managed-fields")
    pod = json.loads(out)
    [volume] = pod["spec"]["volumes"]
    assert volume["name"] not in json.dumps(pod["metadata"]["managedFields"])
    [mount] = pod["spec"]["containers"][0]["volumeMounts"]
    assert mount["name"] == volume["name"]


async def test_old_manifests_are_applied_twice_and_change_once(cluster: Any) -> None:
    out, err = await cluster.kubectl("apply", "-f", "-", stdin=OLD)
    assert out == "deployment.extensions/carts created\n"
    assert "Warning:" in err
    generation = ("get", "deploy", "carts", "-o", "jsonpath={.apiVersion} {.metadata.generation}")
    assert (await cluster.kubectl(*generation))[0] == "apps/v1 1"
    await cluster.kubectl("apply", "-f", "-", stdin=OLD)
    assert (await cluster.kubectl(*generation))[0] == "apps/v1 1"
    await cluster.kubectl("apply", "-f", "-", stdin=OLD.replace("replicas: 1", "replicas: 3"))
    assert (await cluster.kubectl(*generation))[0] == "apps/v1 2"
    await cluster.kubectl("delete", "-f", "-", stdin=OLD)
    assert (await cluster.kubectl("get", "deploy"))[1] == "No resources found in default namespace.\n"


async def test_routes_in_any_version(cluster: Any) -> None:
    assert (await cluster.kubectl("apply", "-f", "-", stdin=ROUTE))[0].endswith("created\n")
    assert (await cluster.kubectl("apply", "-f", "-", stdin=ROUTE))[0].endswith("unchanged\n")
    newer = ROUTE.replace("v1alpha3", "v1").replace("subset: v1", "subset: v2")
    assert (await cluster.kubectl("apply", "-f", "-", stdin=newer))[0].endswith("configured\n")
    assert (await cluster.kubectl("replace", "-f", "-", stdin=ROUTE))[0].endswith("replaced\n")
    out, _ = await cluster.kubectl("get", "vs")
    assert out.splitlines()[0].split() == ["NAME", "GATEWAYS", "HOSTS", "AGE"]
    assert out.splitlines()[1].split()[:2] == ["carts", '["carts"]']
    out, _ = await cluster.kubectl("explain", "virtualservice.spec.http.route")
    assert "destination" in out
    _, err = await cluster.kubectl("apply", "-f", "-", stdin=ROUTE.replace("hosts", "hostz"), code=1)
    assert 'unknown field "spec.hostz"' in err


async def test_changing_things(cluster: Any, pod: Any) -> None:
    await cluster.kubectl("label", "pod", "p", "tier=front")
    await cluster.kubectl("annotate", "pod", "p", "note=yes")
    out, _ = await cluster.kubectl("get", "pods", "-l", "tier in (front),app=p", "-o", "name")
    assert out == "pod/p\n"
    await cluster.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    await cluster.kubectl("set", "image", "deployment/web", "a=nginx:3")
    await cluster.kubectl("rollout", "restart", "deployment/web")
    patch = '[{"op": "replace", "path": "/spec/replicas", "value": 7}]'
    await cluster.kubectl("patch", "deploy", "web", "--type=json", "-p", patch)
    await cluster.kubectl("patch", "deploy", "web", "--type=merge", "-p", '{"spec": {"paused": true}}')
    out, _ = await cluster.kubectl("get", "deploy", "web", "-o", "json")
    spec = json.loads(out)["spec"]
    assert (spec["replicas"], spec["paused"]) == (7, True)
    assert spec["template"]["spec"]["containers"][0]["image"] == "nginx:3"
    assert "kubectl.kubernetes.io/restartedAt" in spec["template"]["metadata"]["annotations"]
    _, err = await cluster.kubectl(
        "patch", "deploy", "web", "-p", '{"spec": {"selector": {"matchLabels": {"app": "x"}}}}', code=1
    )
    assert "field is immutable" in err


async def test_get_prints_what_users_know(cluster: Any, pod: Any) -> None:
    out, _ = await cluster.kubectl("get", "pods", "-o", "wide")
    assert out.splitlines()[0].split() == [
        "NAME",
        "READY",
        "STATUS",
        "RESTARTS",
        "AGE",
        "IP",
        "NODE",
        "NOMINATED",
        "NODE",
        "READINESS",
        "GATES",
    ]
    row = out.splitlines()[1].split()
    assert (row[:4], row[5:]) == (["p", "2/2", "Running", "0"], ["10.42.0.9", "plait", "<none>", "<none>"])
    out, _ = await cluster.kubectl("get", "all", "-A", "--no-headers")
    assert [line.split()[1] for line in out.splitlines()] == ["pod/p", "service/kubernetes"]
    out, _ = await cluster.kubectl("get", "svc")
    assert out.splitlines()[1].split()[:5] == ["kubernetes", "ClusterIP", "10.42.128.1", "<none>", "443/TCP"]
    out, _ = await cluster.kubectl("get", "pods", "--sort-by=.metadata.name", "--show-labels")
    assert out.splitlines()[1].split()[-1] == "app=p"
    out, _ = await cluster.kubectl("get", "pod", "p", "-o", "yaml")
    assert "managedFields" not in out
    assert "apiVersion: v1\nkind: Pod" in out or "apiVersion: v1" in out
    out, _ = await cluster.kubectl("describe", "pod", "p")
    assert "Status:           Running" in out
    _, err = await cluster.kubectl("get", "pod", "none", code=1)
    assert err == 'Error from server (NotFound): pods "none" not found\n'
    _, err = await cluster.kubectl("get", "statefulsets", code=1)
    assert "the server doesn't have a resource type" in err


async def test_waiting_and_watching(cluster: Any, pod: Any) -> None:
    await cluster.kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=120s")
    waiting = asyncio.create_task(cluster.kubectl("wait", "pod/p", "--for=delete", "--timeout=120s"))
    watch = await cluster.start_kubectl("get", "pods", "-w", "--no-headers")
    try:
        async with asyncio.timeout(60):
            assert (await watch.stdout.readline()).split()[:3] == [b"p", b"2/2", b"Running"]
            await cluster.kubectl("label", "pod", "p", "x=y")
            assert (await watch.stdout.readline()).split()[0] == b"p"
            await cluster.kubectl("delete", "pod", "p", "--wait=false")
            assert (await watch.stdout.readline()).split()[2] == b"Terminating"
            await cluster.kubectl("delete", "pod", "p", "--force", "--grace-period=0")
            await waiting
    finally:
        watch.terminate()
        await watch.communicate()


async def test_rollout_status_of_what_controllers_write(cluster: Any) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    rollout = asyncio.create_task(cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s"))
    counts = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2, "observedGeneration": 1}
    await cluster.kubectl(
        "patch", "deploy", "web", "--subresource=status", "--type=merge", "-p", json.dumps({"status": counts})
    )
    out, _ = await rollout
    assert 'deployment "web" successfully rolled out' in out


async def test_describe_of_many_kinds(cluster: Any, pod: Any) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    await cluster.kubectl("apply", "-f", "-", stdin=ROUTE)
    for what in ("deploy/web", "ns/default", "svc/kubernetes", "cm/kube-root-ca.crt", "sa/default", "vs/carts"):
        out, _ = await cluster.kubectl("describe", what)
        assert what.split("/")[1] in out


async def test_permissions_are_told(cluster: Any) -> None:
    out, _ = await cluster.kubectl("auth", "whoami", "-o", "json")
    assert json.loads(out)["status"]["userInfo"]["username"] == "admin"
    assert (await cluster.kubectl("auth", "can-i", "delete", "pods"))[0] == "yes\n"
    out, _ = await cluster.kubectl("auth", "can-i", "get", "secrets", "--token=viewer-token", code=None)
    assert out.startswith("no")


async def test_events_have_their_own_view(cluster: Any, pod: Any) -> None:
    about = {"kind": "Pod", "name": "p", "namespace": "default", "uid": pod["metadata"]["uid"], "apiVersion": "v1"}
    times = {
        "firstTimestamp": pod["metadata"]["creationTimestamp"],
        "lastTimestamp": pod["metadata"]["creationTimestamp"],
    }
    event = {"type": "Normal", "reason": "Started", "message": "Started container app", "count": 1, **times}
    body = {"metadata": {"name": "p.1"}, "involvedObject": about, "source": {"component": "node"}, **event}
    await cluster.made("/api/v1/namespaces/default/events", body)
    out, _ = await cluster.kubectl("get", "events")
    assert out.splitlines()[0].split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert out.splitlines()[1].split()[1:4] == ["Normal", "Started", "pod/p"]
    out, _ = await cluster.kubectl("describe", "pod", "p")
    assert "Started container app" in out
    out, _ = await cluster.kubectl("events", "--for", "pod/p")
    assert "Started" in out


async def test_raw_and_resources(cluster: Any) -> None:
    assert (await cluster.kubectl("get", "--raw", "/readyz"))[0] == "ok"
    out, _ = await cluster.kubectl("api-resources", "--no-headers", "-o", "name")
    names = out.split()
    assert "virtualservices.networking.istio.io" in names
    assert len(names) == len(set(names))
    out, _ = await cluster.kubectl("api-versions")
    assert "apps/v1" in out.split()
    assert (await cluster.kubectl("cluster-info"))[0]
    _, err = await cluster.kubectl("version")
    assert ("exceeds the supported minor version skew" in err) == ("-1." in cluster.program.name)


async def test_debugging_the_machine_is_refused_and_nothing_is_left(cluster: Any) -> None:
    await cluster.made("/api/v1/nodes", {"metadata": {"name": "plait"}})
    _, err = await cluster.kubectl("debug", "node/plait", "--image=busybox", code=1)
    assert "no pod may see the whole of this machine" in err
    assert "`kubectl debug POD` can" in err
    assert (await cluster.kubectl("get", "pods"))[1] == "No resources found in default namespace.\n"
