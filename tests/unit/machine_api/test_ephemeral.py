"""`pods/ephemeralcontainers`: what `kubectl debug` writes, and nothing else may."""

from __future__ import annotations

from typing import Any

import pytest

PODS = "/api/v1/namespaces/default/pods"
STRATEGIC = {"Content_Type": "application/strategic-merge-patch+json"}


def adding(**container: Any) -> dict[str, Any]:
    return {"spec": {"ephemeralContainers": [{"name": "d", "image": "busybox", **container}]}}


@pytest.fixture
async def pod(cluster: Any) -> Any:
    """An API with a pod `p` of one container `a`."""
    volumes = [{"name": "v", "emptyDir": {}}]
    await cluster.made(
        PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}], "volumes": volumes}}
    )
    return cluster


async def test_one_is_added_and_the_rest_stays(pod: Any) -> None:
    body = {**adding(targetContainerName="a"), "metadata": {"labels": {"not": "here"}}}
    status, made, _ = await pod.ask("PATCH", f"{PODS}/p/ephemeralcontainers", body, **STRATEGIC)
    assert status == 200, made
    (added,) = made["spec"]["ephemeralContainers"]
    assert (added["name"], added["targetContainerName"], added["imagePullPolicy"]) == ("d", "a", "Always")
    assert "labels" not in made["metadata"]
    assert made["metadata"]["generation"] == 2
    _, seen, _ = await pod.ask("GET", f"{PODS}/p/ephemeralcontainers")
    assert seen["spec"] == made["spec"]
    # Somebody else's write of the pod neither needs to name it nor can take it away.
    _, labelled, _ = await pod.ask("PATCH", f"{PODS}/p", {"metadata": {"labels": {"a": "b"}}}, **STRATEGIC)
    assert labelled["spec"] == made["spec"]
    del labelled["spec"]["ephemeralContainers"]
    _, kept, _ = await pod.ask("PUT", f"{PODS}/p", labelled)
    assert kept["spec"]["ephemeralContainers"] == [added]


@pytest.mark.parametrize(
    ("container", "says"),
    [
        ({"name": "a"}, 'spec.ephemeralContainers[0].name: Duplicate value: "a"'),
        ({"image": ""}, "spec.ephemeralContainers[0].image: Required value"),
        ({"targetContainerName": "b"}, 'spec.ephemeralContainers[0].targetContainerName: Not found: "b"'),
        ({"ports": [{"containerPort": 1}]}, "ports: Forbidden: field not allowed for Ephemeral Containers"),
        ({"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}, "lifecycle: Forbidden: field not allowed"),
        ({"volumeMounts": [{"name": "w", "mountPath": "/w"}]}, 'volumeMounts[0].name: Not found: "w"'),
        ({"volumeMounts": [{"name": "v", "mountPath": "/w", "subPath": "x"}]}, "subPath: Forbidden: cannot be set"),
    ],
)
async def test_what_makes_no_sense_is_refused(pod: Any, container: dict[str, Any], says: str) -> None:
    status, answer, _ = await pod.ask("PATCH", f"{PODS}/p/ephemeralcontainers", adding(**container), **STRATEGIC)
    assert status == 422, answer
    assert says in answer["message"]


async def test_none_changes_or_goes(pod: Any) -> None:
    _, made, _ = await pod.ask("PATCH", f"{PODS}/p/ephemeralcontainers", adding(), **STRATEGIC)
    status, answer, _ = await pod.ask("PATCH", f"{PODS}/p/ephemeralcontainers", adding(image="other"), **STRATEGIC)
    assert (status, "may not be changed" in answer["message"]) == (422, True)
    del made["spec"]["ephemeralContainers"]
    status, answer, _ = await pod.ask("PUT", f"{PODS}/p/ephemeralcontainers", made)
    assert (status, "may not be removed" in answer["message"]) == (422, True)


async def test_nothing_else_writes_them(pod: Any) -> None:
    status, answer, _ = await pod.ask("PATCH", f"{PODS}/p", adding(), **STRATEGIC)
    assert (status, "only through a subresource" in answer["message"]) == (422, True)
    new = {"metadata": {"name": "q"}, "spec": {"containers": [{"name": "a", "image": "x"}], **adding()["spec"]}}
    status, answer, _ = await pod.ask("POST", PODS, new)
    assert (status, "cannot be set on create" in answer["message"]) == (422, True)


async def test_rights_that_nobody_gets_are_told(pod: Any) -> None:
    powers = {"capabilities": {"add": ["SYS_PTRACE"]}}
    body = adding(securityContext=powers)
    _, _, response = await pod.ask("PATCH", f"{PODS}/p/ephemeralcontainers", body, **STRATEGIC)
    assert "spec.ephemeralContainers[0].securityContext.capabilities.add[0]" in response.headers["Warning"]
