from __future__ import annotations

import copy

from plait.machine.controllers.slices import FULL, plan_slices


def pod(name: str, *, ready: bool = True, ip: str | None = None, port: int = 8080, **meta: object) -> dict:
    number = int(name.strip("p") or 0)
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": {"app": "web"}} | meta,
        "spec": {
            "nodeName": "plait",
            "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}],
        },
        "status": {
            "phase": "Running",
            "podIP": ip if ip is not None else f"10.42.{number // 250}.{number % 250 + 2}",
            "conditions": [
                {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            ],
        },
    }


def service(**spec: object) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop", "uid": "s", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]} | spec,
    }


class Slices:
    """Applies plans, and counts what they wrote."""

    def __init__(self) -> None:
        self.now: dict[str, dict] = {}
        self.made = 0

    def plan(self, svc: dict, pods: list[dict]) -> tuple[int, int, int]:
        changes = plan_slices(svc, pods, copy.deepcopy(list(self.now.values())))
        for each in changes.update:
            self.now[each["metadata"]["name"]] = each
        for each in changes.create:
            self.made += 1
            name = f"web-{self.made}"
            self.now[name] = each | {"metadata": each["metadata"] | {"name": name}}
        for each in changes.delete:
            del self.now[each["metadata"]["name"]]
        again = plan_slices(svc, pods, list(self.now.values()))
        assert (again.update, again.create, again.delete) == ((), (), ()), "a plan carried out leaves nothing to do"
        return len(changes.update), len(changes.create), len(changes.delete)

    @property
    def endpoints(self) -> list[dict]:
        return [endpoint for each in self.now.values() for endpoint in each["endpoints"]]


def test_an_endpoint_says_where_it_is_and_whether_it_serves():
    slices = Slices()
    slices.plan(service(), [pod("p1"), pod("p2", ready=False), pod("p3", deletionTimestamp="x")])
    conditions = [tuple(endpoint["conditions"].values()) for endpoint in slices.endpoints]
    assert conditions == [(True, True, False), (False, False, False), (False, True, True)]
    assert slices.endpoints[0] == {
        "addresses": ["10.42.0.3"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": "plait",
        "targetRef": {"kind": "Pod", "namespace": "shop", "name": "p1", "uid": "uid-p1"},
    }
    (each,) = slices.now.values()
    assert each["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert each["metadata"]["ownerReferences"][0]["controller"] is True


def test_pods_without_address_or_at_their_end_are_no_endpoints():
    slices = Slices()
    ended = pod("p2")
    ended["status"]["phase"] = "Succeeded"
    slices.plan(service(), [pod("p1", ip=""), ended])
    assert slices.endpoints == []
    assert len(slices.now) == 1


def test_named_ports_are_found_pod_by_pod():
    slices = Slices()
    slices.plan(service(), [pod("p1"), pod("p2", port=9090), pod("p3")])
    assert sorted((each["ports"][0]["port"], len(each["endpoints"])) for each in slices.now.values()) == [
        (8080, 2),
        (9090, 1),
    ]
    numbered = service(ports=[{"port": 80, "targetPort": "absent"}, {"name": "x", "port": 81, "targetPort": 7000}])
    slices.plan(numbered, [pod("p1")])
    assert [each["ports"] for each in slices.now.values()] == [[{"name": "x", "port": 7000, "protocol": "TCP"}]]


def test_readiness_is_one_update():
    slices = Slices()
    slices.plan(service(), [pod("p1"), pod("p2")])
    assert slices.plan(service(), [pod("p1", ready=False), pod("p2")]) == (1, 0, 0)
    assert slices.plan(service(), [pod("p1", ready=False), pod("p2")]) == (0, 0, 0)


def test_the_last_slice_stays_empty_and_is_used_again():
    slices = Slices()
    assert slices.plan(service(), []) == (0, 1, 0)
    assert slices.plan(service(), [pod("p1")]) == (1, 0, 0)
    assert slices.plan(service(), []) == (1, 0, 0)
    assert slices.plan(service(ports=[{"port": 9, "targetPort": 9}]), [pod("p1")]) == (1, 0, 0)
    assert slices.made == 1


def test_slices_hold_a_hundred_and_are_touched_only_where_something_changed():
    slices = Slices()
    pods = [pod(f"p{number}") for number in range(250)]
    assert slices.plan(service(), pods) == (0, 3, 0)
    assert sorted(len(each["endpoints"]) for each in slices.now.values()) == [50, FULL, FULL]
    del pods[20]
    assert slices.plan(service(), pods) == (1, 0, 0)
    pods.append(pod("p900"))
    assert slices.plan(service(), pods) == (1, 0, 0)
    slices.plan(service(), pods[:3])
    assert len(slices.endpoints) == 3
    assert all(each["endpoints"] for each in slices.now.values())


def test_a_slice_too_many_is_emptied_into_the_others():
    slices = Slices()
    slices.plan(service(), [pod("p1"), pod("p2")])
    (first,) = slices.now.values()
    other = copy.deepcopy(first)
    other["metadata"]["name"] = "web-lost"
    first["endpoints"] = first["endpoints"][:1]
    slices.now["web-lost"] = other
    assert slices.plan(service(), [pod("p1"), pod("p2")]) == (1, 0, 1)
    assert len(slices.endpoints) == 2


def test_headless_services_and_unready_addresses():
    slices = Slices()
    headless = service(clusterIP="None", publishNotReadyAddresses=True, ports=[])
    member = pod("p1", ready=False)
    member["spec"] |= {"hostname": "db-0", "subdomain": "web"}
    slices.plan(headless, [member])
    (each,) = slices.now.values()
    assert each["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert each["endpoints"][0]["conditions"] == {"ready": True, "serving": False, "terminating": False}
    assert each["endpoints"][0]["hostname"] == "db-0"
    assert each["ports"] == []
