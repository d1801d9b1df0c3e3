"""The words kubectl prints: statuses, ages, ports."""

from __future__ import annotations

from typing import Any

import pytest

from plait.machine.api.selectors import selector_text
from plait.machine.api.tables.jsonpath import find_all
from plait.machine.api.tables.networking import endpoint_slice, service
from plait.machine.api.tables.workloads import node, pod
from plait.machine.api.times import age, human_duration, timestamp

NOW = 1_000_000_000.0


def pod_with(*states: dict[str, Any], init: list[dict[str, Any]] | None = None, **status: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": f"c{index}"} for index in range(max(len(states), 1))]}
    if init is not None:
        spec["initContainers"] = [
            {"name": f"i{index}", **({"restartPolicy": "Always"} if item.get("started") is not None else {})}
            for index, item in enumerate(init)
        ]
        status["initContainerStatuses"] = [{"name": f"i{index}", **item} for index, item in enumerate(init)]
    status["containerStatuses"] = [{"name": f"c{index}", **item} for index, item in enumerate(states)]
    return {"metadata": {"name": "p", "creationTimestamp": timestamp(NOW - 90)}, "spec": spec, "status": status}


RUNNING: dict[str, Any] = {"ready": True, "state": {"running": {}}}
DONE: dict[str, Any] = {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}


def waiting(reason: str, restarts: int = 0) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason}}, "restartCount": restarts}


@pytest.mark.parametrize(
    ("obj", "ready", "status"),
    [
        (pod_with(phase="Pending"), "0/1", "Pending"),
        (pod_with(RUNNING, RUNNING, phase="Running"), "2/2", "Running"),
        (pod_with(RUNNING, waiting("CrashLoopBackOff"), phase="Running"), "1/2", "CrashLoopBackOff"),
        (pod_with(waiting("ImagePullBackOff"), phase="Pending"), "0/1", "ImagePullBackOff"),
        (pod_with(waiting("PodInitializing"), init=[{"state": {"running": {}}}], phase="Pending"), "0/1", "Init:0/1"),
        (pod_with(waiting("PodInitializing"), init=[DONE, waiting("ErrImagePull")]), "0/1", "Init:ErrImagePull"),
        (pod_with(init=[{"state": {"terminated": {"exitCode": 3}}}]), "0/1", "Init:ExitCode:3"),
        (pod_with(init=[{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]), "0/1", "Init:Signal:9"),
        (pod_with(RUNNING, init=[DONE], phase="Running"), "1/1", "Running"),
        (pod_with(RUNNING, init=[{**RUNNING, "started": True}], phase="Running"), "2/2", "Running"),
        (pod_with(DONE, phase="Succeeded"), "0/1", "Completed"),
        (pod_with(DONE, RUNNING, phase="Running"), "1/2", "NotReady"),
        (pod_with({"state": {"terminated": {"exitCode": 2}}}, phase="Failed"), "0/1", "ExitCode:2"),
        (pod_with({"state": {"terminated": {"exitCode": 2, "reason": "Error"}}}, phase="Failed"), "0/1", "Error"),
        (pod_with(phase="Failed", reason="Evicted"), "0/1", "Evicted"),
    ],
)
def test_pod_status(obj: dict[str, Any], ready: str, status: str) -> None:
    assert pod(obj, NOW)[1:3] == [ready, status]


def test_a_pod_being_deleted_is_terminating() -> None:
    obj = pod_with(RUNNING, phase="Running")
    obj["metadata"]["deletionTimestamp"] = timestamp(NOW)
    assert pod(obj, NOW)[2] == "Terminating"


def test_restarts_say_when() -> None:
    last = {"lastState": {"terminated": {"finishedAt": timestamp(NOW - 75)}}}
    obj = pod_with({**RUNNING, "restartCount": 2, **last}, {**RUNNING, "restartCount": 1}, phase="Running")
    assert pod(obj, NOW)[3:5] == ["3 (75s ago)", "90s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 120, "3h2m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (50 * 3600, "2d2h"),
        (9 * 86400, "9d"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_unknown_ages() -> None:
    assert age(None, NOW) == "<unknown>"
    assert age("yesterday", NOW) == "<unknown>"


@pytest.mark.parametrize(
    ("spec", "status", "cells"),
    [
        (
            {"type": "ClusterIP", "clusterIP": "10.42.129.1", "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]},
            {},
            ["ClusterIP", "10.42.129.1", "<none>", "80/TCP,53/UDP"],
        ),
        ({"clusterIP": "None"}, {}, ["ClusterIP", "None", "<none>", "<none>"]),
        ({"type": "ExternalName", "externalName": "a.b"}, {}, ["ExternalName", "<none>", "a.b", "<none>"]),
        (
            {"type": "LoadBalancer", "clusterIP": "10.42.129.2", "ports": [{"port": 80, "nodePort": 30080}]},
            {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
            ["LoadBalancer", "10.42.129.2", "127.0.0.1", "80:30080/TCP"],
        ),
        (
            {"type": "LoadBalancer", "clusterIP": "10.42.129.2"},
            {},
            ["LoadBalancer", "10.42.129.2", "<pending>", "<none>"],
        ),
    ],
)
def test_services(spec: dict[str, Any], status: dict[str, Any], cells: list[str]) -> None:
    obj = {"metadata": {"name": "s"}, "spec": spec, "status": status}
    assert service(obj, NOW)[1:5] == cells


def test_endpoint_slices_show_three() -> None:
    obj = {
        "metadata": {"name": "e"},
        "addressType": "IPv4",
        "ports": [{"port": 80}],
        "endpoints": [{"addresses": [f"10.0.0.{number}"]} for number in range(5)],
    }
    assert endpoint_slice(obj, NOW)[1:4] == ["IPv4", "80", "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more..."]
    assert endpoint_slice({"metadata": {"name": "e"}}, NOW)[2:4] == ["<unset>", "<unset>"]


def test_nodes() -> None:
    obj = {
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1"}},
    }
    assert node(obj, NOW)[1:5] == ["Ready,SchedulingDisabled", "control-plane", "<unknown>", "v1"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.host", ["h"]),
        ("{.spec.hosts[*]}", ["a", "b"]),
        (".spec.hosts[-1]", ["b"]),
        (".metadata.annotations.a\\.b/c", ["x"]),
        (".metadata.annotations['a.b/c']", ["x"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".nothing.here", []),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    obj = {
        "spec": {"host": "h", "hosts": ["a", "b"]},
        "metadata": {"annotations": {"a.b/c": "x"}},
        "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]},
    }
    assert find_all(obj, path) == found


def test_a_path_that_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="cannot read"):
        find_all({}, ".a[")


def test_no_selector_is_no_text() -> None:
    assert selector_text({}) == ""
