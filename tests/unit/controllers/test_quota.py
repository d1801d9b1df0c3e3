"""What of a ResourceQuota is used."""

from __future__ import annotations

from typing import Any

import pytest

from plait.kube.kinds import CONFIGMAP, DEPLOYMENT, POD, RESOURCEQUOTA, SECRET, SERVICE
from plait.machine.controllers.quota_plan import quota_status


def pod(*containers: dict[str, Any], phase: str = "Running", **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"resources": each} for each in containers], **spec}, "status": {"phase": phase}}


def asks(cpu: str = "", memory: str = "", kind: str = "requests") -> dict[str, Any]:
    return {kind: {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}}


def used(hard: dict[str, str], *pods: dict[str, Any], services: Any = (), counts: Any = None, **spec: Any) -> Any:
    quota = {"spec": {"hard": hard, **spec}}
    status = quota_status(quota, pods=pods, services=services, counts=counts or {})
    assert status["hard"] == hard
    return status["used"]


INIT = [{"resources": asks("2")}, {"resources": asks("100m"), "restartPolicy": "Always"}, {"resources": asks("1")}]


@pytest.mark.parametrize(
    ("name", "pods", "amount"),
    [
        ("pods", [pod(), pod(phase="Pending"), pod(phase="Succeeded"), pod(phase="Failed")], "2"),
        ("requests.cpu", [pod(asks("500m"), asks("1")), pod(asks("0.25"))], "1750m"),
        ("cpu", [pod(asks("500m")), pod(asks("500m"))], "1"),
        ("requests.memory", [pod(asks(memory="64Mi")), pod(asks(memory="64Mi"))], "128Mi"),
        ("memory", [pod(asks(memory="1000"))], "1000"),
        ("requests.memory", [pod(asks(memory="1Gi")), pod()], "1Gi"),
        ("limits.cpu", [pod(asks("2", kind="limits")), pod(asks("3"))], "2"),
        ("limits.memory", [pod(asks(memory="1G", kind="limits"))], "1000000000"),
        ("requests.cpu", [pod(asks("1"), phase="Succeeded")], "0"),
        # An init container asks for more than what comes after it, beside the sidecar that was started before.
        ("requests.cpu", [pod(asks("500m"), initContainers=INIT)], "2"),
        ("requests.cpu", [pod(asks("3"), initContainers=INIT)], "3100m"),
    ],
)
def test_pods_and_what_they_ask_for(name: str, pods: Any, amount: str) -> None:
    assert used({name: "10"}, *pods) == {name: amount}


def test_objects_are_counted_by_kind() -> None:
    counts = {SECRET: 3, CONFIGMAP: 1, DEPLOYMENT: 2, SERVICE: 4}
    hard = {"secrets": "9", "configmaps": "9", "services": "9", "count/deployments.apps": "9", "count/jobs.batch": "9"}
    assert used(hard, counts=counts) == {
        "secrets": "3",
        "configmaps": "1",
        "services": "4",
        "count/deployments.apps": "2",
        "count/jobs.batch": "0",
    }


def test_services_that_take_ports_of_the_node_are_counted() -> None:
    ports = [{"port": 80}, {"port": 81}]
    services = [
        {"spec": {"type": "ClusterIP", "ports": ports}},
        {"spec": {"type": "NodePort", "ports": ports}},
        {"spec": {"type": "LoadBalancer", "ports": ports[:1]}},
    ]
    hard = {"services.loadbalancers": "1", "services.nodeports": "1"}
    assert used(hard, services=services) == {"services.loadbalancers": "1", "services.nodeports": "3"}


def test_what_is_not_counted_here_is_left_out() -> None:
    assert used({"requests.storage": "1Gi", "example.com/gpu": "1", "pods": "1"}) == {"pods": "0"}


@pytest.mark.parametrize(
    ("spec", "number"),
    [
        ({"scopes": ["BestEffort"]}, "1"),
        ({"scopes": ["NotBestEffort"]}, "2"),
        ({"scopes": ["Terminating"]}, "1"),
        ({"scopes": ["NotTerminating", "NotBestEffort"]}, "1"),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}, "1"),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["low"]}]
                }
            },
            "0",
        ),
    ],
)
def test_scopes_choose_pods(spec: Any, number: str) -> None:
    pods = [pod(), pod(asks("1"), priorityClassName="high"), pod(asks("1"), activeDeadlineSeconds=5)]
    pods[0]["spec"]["containers"] = [{}]
    assert used({"pods": "9"}, *pods, **spec) == {"pods": number}


async def test_the_status_follows_what_the_namespace_has(cluster: Any, deployment: Any) -> None:
    def status(api: Any) -> Any:
        return (api.find(RESOURCEQUOTA, "bounds").get("status") or {}).get("used")

    async with cluster() as api:
        hard = {"pods": "10", "configmaps": "10", "count/deployments.apps": "1"}
        body = {"metadata": {"name": "bounds", "namespace": "shop"}, "spec": {"hard": hard}}
        await api.create(RESOURCEQUOTA, body)
        await api.until(lambda: (status(api) or {}).get("pods") == "0")
        before = status(api)
        await api.create(DEPLOYMENT, deployment())
        await api.create(CONFIGMAP, {"metadata": {"name": "c", "namespace": "shop"}, "data": {}})
        await api.until(lambda: status(api)["pods"] == "3")
        await api.until(lambda: int(status(api)["configmaps"]) == int(before["configmaps"]) + 1)
        assert status(api)["count/deployments.apps"] == "1"
        written = [write for write in api.writes if write[1] == RESOURCEQUOTA]
        await api.rest()
        assert [write for write in api.writes if write[1] == RESOURCEQUOTA] == written
        await api.delete(POD, api.all(POD)[0]["metadata"]["name"], "shop")
        await api.until(lambda: len(api.all(POD)) == 3)
        await api.until(lambda: status(api)["pods"] == "3")
