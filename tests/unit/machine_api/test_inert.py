"""Fields without effect: whoever sets one is told, once, where it is and what happens instead."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plait.machine.api.inert import TABLE, WITHHELD, inert_fields
from plait.machine.api.schema import UNKNOWN
from plait.machine.node import security

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    named = [{"name": f"c{number}", "image": "x", **fields} for number, fields in enumerate(containers or ({},))]
    return {"metadata": {"name": "p"}, "spec": {**spec, "containers": named}}


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "x"}], **spec}}
    return {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template}}


def paths(obj: dict[str, Any], kind: str = "Pod", old: dict[str, Any] | None = None) -> list[str]:
    group = "apps" if kind == "Deployment" else ""
    return [said.split(":")[0] for said in inert_fields(group, kind, obj, old)]


def at(steps: list[str]) -> Any:
    """An object that has nothing but the field the steps lead to."""
    if not steps:
        return None
    inner = at(steps[1:])
    name = steps[0].removesuffix("[]")
    return {name: [inner] if steps[0].endswith("[]") else inner}


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind[1])
def test_every_row_names_a_field_of_its_kind(kind: tuple[str, str], schemas: Any) -> None:
    (served,) = (known for known in schemas.kinds if (known.group, known.kind) == kind)
    for row in TABLE[kind]:
        faults = schemas.strict(served, at(row.path.split(".")))
        assert not [fault for fault in faults if fault.reason == UNKNOWN], row.path


def test_every_kind_that_makes_pods_has_rows(schemas: Any) -> None:
    """Whoever lets a kind in that runs something says what of it has no effect."""
    body = {"spec": {"template": {"spec": {"hostNetwork": True}}}}
    for served in schemas.kinds:
        if served.custom or any(fault.reason == UNKNOWN for fault in schemas.strict(served, body)):
            continue
        assert (served.group, served.kind) in TABLE


def test_the_node_withholds_what_the_table_says() -> None:
    assert {name.lower() for name in WITHHELD} == security.WITHHELD | {"all"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"hostNetwork": True}, ["spec.hostNetwork"]),
        ({"hostNetwork": False, "tolerations": [], "priority": 0}, []),
        ({"schedulerName": "default-scheduler", "dnsPolicy": "ClusterFirst"}, []),
        ({"schedulerName": "mine", "dnsPolicy": "Default"}, ["spec.dnsPolicy", "spec.schedulerName"]),
        ({"hostUsers": False}, ["spec.hostUsers"]),
        ({"hostUsers": True}, []),
        ({"nodeSelector": {"kubernetes.io/os": "linux"}, "hostname": "h", "enableServiceLinks": False}, []),
        (
            {
                "affinity": {
                    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
                }
            },
            [],
        ),
        ({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "nfs": {"server": "s"}}]}, ["spec.volumes[1].nfs"]),
    ],
)
def test_what_a_pod_says_in_vain(fields: dict[str, Any], expected: list[str]) -> None:
    assert paths(pod(**fields)) == expected


def test_fields_of_containers_are_told_with_their_place() -> None:
    drop_all = {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    found = paths(
        pod({"securityContext": drop_all, "resources": {}}, {"terminationMessagePolicy": "FallbackToLogsOnError"})
    )
    assert found == ["spec.containers[1].terminationMessagePolicy"]
    assert paths(pod({"stdin": True, "stdinOnce": True, "tty": True})) == []
    add = {"securityContext": {"capabilities": {"add": ["CHOWN", "CAP_NET_ADMIN"]}}}
    assert paths(pod(add)) == ["spec.containers[0].securityContext.capabilities.add[1]"]


def test_a_field_of_many_containers_is_told_once() -> None:
    reserving = {"resources": {"requests": {"cpu": "1"}}}
    assert paths(pod(reserving, reserving, reserving)) == ["spec.containers[*].resources.requests"]


@pytest.mark.parametrize(
    ("kind", "place"),
    [(("", "Pod"), "spec."), (("apps", "Deployment"), "spec.template.spec."), (("batch", "Job"), "spec.template.spec."),
     (("batch", "CronJob"), "spec.jobTemplate.spec.template.spec.")],
)  # fmt: skip
def test_limits_are_told_where_the_machine_cannot_enforce_them(kind: tuple[str, str], place: str) -> None:
    """Which those are is found out when the mesh starts."""
    limits = {"memory": "64Mi", "cpu": "1"}
    obj: dict[str, Any] = {"containers": [{"name": "c", "resources": {"limits": limits}}]}
    for step in reversed(place.rstrip(".").split(".")):
        obj = {step: obj}
    assert inert_fields(*kind, obj, None) == ()
    said = inert_fields(*kind, obj, None, unlimited=(("cpu", "it is Monday"),))
    assert said == (
        f"{place}containers[0].resources.limits.cpu: is not enforced: it is Monday; plait doctor says what mends it",
    )
    assert inert_fields(*kind, obj, obj, unlimited=(("cpu", "it is Monday"),)) == ()
    proxy = json.loads(json.dumps(obj).replace('"c"', '"istio-proxy"'))
    assert inert_fields(*kind, proxy, None, unlimited=(("cpu", "it is Monday"),)) == ()


def test_other_limits_and_requests_are_told_everywhere() -> None:
    limits = {"memory": "64Mi", "cpu": "1", "ephemeral-storage": "1Gi"}
    found = paths(pod({"resources": {"limits": limits, "requests": {"memory": "1Mi"}}}))
    assert found == ["spec.containers[0].resources.limits.ephemeral-storage", "spec.containers[0].resources.requests"]


def test_an_update_tells_only_what_is_new() -> None:
    old = pod(hostPID=True)
    assert paths(pod(hostPID=True), old=old) == []
    assert paths(pod(hostPID=True, hostIPC=True), old=old) == ["spec.hostIPC"]


def test_a_controller_is_not_told_what_its_author_was() -> None:
    made = pod(hostPID=True)
    made["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "r", "controller": True}]
    assert paths(made) == []


def test_services_and_nodes() -> None:
    service = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "externalIPs": ["1.2.3.4"], "ports": []}}
    assert paths(service, "Service") == ["spec.externalIPs"]
    assert paths({"metadata": {"name": "s"}, "spec": {"type": "LoadBalancer"}}, "Service") == []
    assert paths({"metadata": {"name": "plait"}, "spec": {"unschedulable": True}}, "Node") == ["spec.unschedulable"]


async def test_the_answer_carries_the_warnings(cluster: Any) -> None:
    body = deployment(hostNetwork=True, priorityClassName="high")
    status, stored, answer = await cluster.ask("POST", DEPLOYMENTS, body)
    assert status == 201
    said = answer.headers.getall("Warning")
    assert [text.split(":")[0] for text in said] == [
        '299 - "spec.template.spec.hostNetwork',
        '299 - "spec.template.spec.priorityClassName',
    ]
    stored["metadata"]["labels"] = {"a": "b"}
    status, _, answer = await cluster.ask("PUT", f"{DEPLOYMENTS}/web", stored)
    assert status == 200
    assert "Warning" not in answer.headers
