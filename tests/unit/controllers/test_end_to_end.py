"""The controllers over an API in memory, from Deployment to endpoints."""

from __future__ import annotations

import pytest

from plait.kube.errors import Forbidden, Invalid
from plait.kube.kinds import (
    CONFIGMAP,
    DEPLOYMENT,
    ENDPOINTSLICE,
    EVENT,
    INGRESS,
    NAMESPACE,
    POD,
    REPLICASET,
    SERVICE,
    SERVICEACCOUNT,
)
from plait.machine.controllers.templates import template_hash


def image(obj: dict) -> str:
    return obj["spec"]["template"]["spec"]["containers"][0]["image"]


def set_image(value: str):
    def change(obj: dict) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = value

    return change


def progress(api, name="web") -> str:
    conditions = (api.find(DEPLOYMENT, name).get("status") or {}).get("conditions") or ()
    return next((item["reason"] for item in conditions if item["type"] == "Progressing"), "")


def settled(api, name="web", *, on=None, replicas=3) -> bool:
    """As kubectl rollout status sees it."""
    obj = api.find(DEPLOYMENT, name)
    status = (obj or {}).get("status") or {}
    return (
        obj is not None
        and status.get("observedGeneration") == obj["metadata"]["generation"]
        and [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")] == [replicas] * 3
        and progress(api, name) == "NewReplicaSetAvailable"
        and (on is None or {pod["spec"]["containers"][0]["image"] for pod in api.all(POD)} == {on})
    )


def endpoints(api, name="web") -> dict[str, bool]:
    return {
        endpoint["targetRef"]["name"]: endpoint["conditions"]["ready"]
        for each in api.all(ENDPOINTSLICE)
        if each["metadata"]["labels"]["kubernetes.io/service-name"] == name
        for endpoint in each["endpoints"]
    }


async def test_a_deployment_becomes_ready_pods_behind_its_service(cluster, deployment, service):
    async with cluster() as api:
        await api.create(SERVICE, service())
        await api.create(DEPLOYMENT, deployment())
        await api.until(lambda: settled(api) and len(endpoints(api)) == 3 and all(endpoints(api).values()))
        (each,) = api.all(REPLICASET)
        template = each["spec"]["template"]
        digest = template["metadata"]["labels"]["pod-template-hash"]
        assert each["metadata"]["name"] == f"web-{digest}"
        assert template["metadata"] == {"labels": {"app": "web", "pod-template-hash": digest}}
        assert api.find(DEPLOYMENT, "web")["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
        (one,) = api.all(ENDPOINTSLICE)
        assert one["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        await api.until(lambda: len([each for each in api.all(EVENT) if each["reason"] == "SuccessfulCreate"]) == 3)


async def test_a_rollout_replaces_all_pods_and_undo_brings_them_back(cluster, deployment):
    async with cluster() as api:
        await api.create(DEPLOYMENT, deployment())
        await api.until(lambda: settled(api))
        await api.edit(DEPLOYMENT, "web", set_image("web:2"))
        await api.until(lambda: settled(api, on="web:2"))
        await api.edit(DEPLOYMENT, "web", set_image("web:1"))
        await api.until(lambda: settled(api, on="web:1"))
        revisions = {
            image(each): each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
            for each in api.all(REPLICASET)
        }
        assert revisions == {"web:1": "3", "web:2": "2"}
        history = next(each for each in api.all(REPLICASET) if image(each) == "web:1")["metadata"]["annotations"]
        assert history["deployment.kubernetes.io/revision-history"] == "1"
        await api.until(
            lambda: api.find(DEPLOYMENT, "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        )


async def test_a_rollout_that_fails_leaves_the_old_pods_serving(cluster, deployment, service):
    async with cluster() as api:
        await api.create(SERVICE, service())
        await api.create(DEPLOYMENT, deployment(replicas=4, progressDeadlineSeconds=1))
        await api.until(lambda: settled(api, replicas=4))
        await api.edit(DEPLOYMENT, "web", set_image("bad:2"))
        await api.until(lambda: progress(api) == "ProgressDeadlineExceeded")
        # Whole seconds are all that a stamp holds: the deadline may be over before the rollout has come to its stop.
        await api.rest()
        # 25% of 4: one more, one fewer.
        sizes = {image(each): each["spec"]["replicas"] for each in api.all(REPLICASET)}
        assert sizes == {"web:1": 3, "bad:2": 2}
        assert sorted(endpoints(api).values()) == [False, False, True, True, True]
        await api.edit(DEPLOYMENT, "web", set_image("web:1"))
        await api.until(lambda: settled(api, replicas=4, on="web:1"))


async def test_scaling_in_the_middle_of_a_rollout_keeps_the_shares(cluster, deployment):
    async with cluster() as api:
        await api.create(DEPLOYMENT, deployment(replicas=8))
        await api.until(lambda: settled(api, replicas=8))
        await api.edit(DEPLOYMENT, "web", set_image("bad:2"))
        await api.until(lambda: {e["spec"]["replicas"] for e in api.all(REPLICASET)} == {6, 4})
        await api.edit(DEPLOYMENT, "web", lambda obj: obj["spec"].update(replicas=16))

        def sizes():
            return {image(each): each["spec"]["replicas"] for each in api.all(REPLICASET)}

        await api.until(lambda: sizes() == {"web:1": 12, "bad:2": 8})


async def test_recreate_waits_until_the_last_old_pod_is_gone(cluster, deployment):
    async with cluster() as api:
        api.kubelet.holds_deletions = True
        await api.create(DEPLOYMENT, deployment(strategy={"type": "Recreate"}))
        await api.until(lambda: settled(api))
        overlap = []
        api.checks.append(
            lambda: overlap.append(len({pod["spec"]["containers"][0]["image"] for pod in api.all(POD)}) > 1)
        )
        await api.edit(DEPLOYMENT, "web", set_image("web:2"))
        await api.until(lambda: all(pod["metadata"].get("deletionTimestamp") for pod in api.all(POD)))
        api.kubelet.holds_deletions = False
        await api._tell()
        await api.until(lambda: settled(api, on="web:2"))
        assert not any(overlap)


async def test_a_paused_deployment_scales_but_does_not_roll(cluster, deployment):
    async with cluster() as api:
        await api.create(DEPLOYMENT, deployment())
        await api.until(lambda: settled(api))
        await api.edit(DEPLOYMENT, "web", lambda obj: (obj["spec"].update(paused=True), set_image("web:2")(obj)))
        await api.until(lambda: progress(api) == "DeploymentPaused")
        await api.edit(DEPLOYMENT, "web", lambda obj: obj["spec"].update(replicas=5))
        await api.until(lambda: api.find(DEPLOYMENT, "web")["status"].get("availableReplicas") == 5)
        assert {image(pod_set) for pod_set in api.all(REPLICASET)} == {"web:1"}
        await api.edit(DEPLOYMENT, "web", lambda obj: obj["spec"].pop("paused"))
        await api.until(lambda: settled(api, replicas=5, on="web:2"))


async def test_history_is_kept_within_its_limit(cluster, deployment):
    async with cluster() as api:
        await api.create(DEPLOYMENT, deployment(replicas=1, revisionHistoryLimit=2))
        for number in range(1, 6):
            await api.edit(DEPLOYMENT, "web", set_image(f"web:{number}"))
            await api.until(lambda n=number: settled(api, replicas=1, on=f"web:{n}"))
        await api.until(lambda: {image(each) for each in api.all(REPLICASET)} == {"web:3", "web:4", "web:5"})


async def test_a_pod_that_fails_or_is_deleted_is_replaced(cluster, deployment):
    async with cluster() as api:
        await api.create(DEPLOYMENT, deployment())
        await api.until(lambda: settled(api))
        first, second, _ = [pod["metadata"]["name"] for pod in api.all(POD)]
        await api.set_status(POD, first, phase="Failed", conditions=[])
        await api.delete(POD, second, "shop")
        await api.until(lambda: len(api.all(POD)) == 4 and settled(api))
        assert api.find(POD, first) is not None


async def test_matching_orphans_are_adopted_and_strangers_released(cluster, deployment):
    async with cluster() as api:
        orphan = {
            "metadata": {"name": "loner", "namespace": "shop", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "web:1"}]},
        }
        await api.create(POD, orphan)
        selector = {"matchLabels": {"app": "web"}}
        await api.create(
            REPLICASET,
            {
                "metadata": {"name": "rs", "namespace": "shop"},
                "spec": {"replicas": 2, "selector": selector, "template": deployment()["spec"]["template"]},
            },
        )
        await api.until(lambda: (api.find(REPLICASET, "rs").get("status") or {}).get("readyReplicas") == 2)
        assert len(api.all(POD)) == 2
        assert api.find(POD, "loner")["metadata"]["ownerReferences"][0]["name"] == "rs"
        await api.edit(POD, "loner", lambda pod: pod["metadata"]["labels"].update(app="other"))
        await api.until(lambda: len(api.all(POD)) == 3 and not api.find(POD, "loner")["metadata"]["ownerReferences"])


async def test_a_refused_pod_shows_in_status_and_events(cluster, deployment):
    async with cluster() as api:

        def refuse(verb, kind, obj):
            if verb == "create" and kind == POD:
                return Invalid({"code": 422, "reason": "Invalid", "message": "Pod is invalid: spec.x"})
            return None

        api.refuse = refuse
        await api.create(DEPLOYMENT, deployment())

        def reasons():
            return {item["reason"] for item in (api.find(DEPLOYMENT, "web").get("status") or {}).get("conditions", ())}

        await api.until(lambda: "FailedCreate" in reasons())
        await api.until(lambda: any("Error creating: Pod is invalid" in each["message"] for each in api.all(EVENT)))
        api.refuse = lambda *_: None
        await api.until(lambda: settled(api) and "FailedCreate" not in reasons())


async def test_deleting_a_deployment_takes_everything_of_it_along(cluster, deployment, service):
    async with cluster() as api:
        await api.create(SERVICE, service())
        await api.create(DEPLOYMENT, deployment())
        await api.until(lambda: settled(api) and len(endpoints(api)) == 3)
        await api.delete(DEPLOYMENT, "web", "shop")
        await api.until(lambda: not api.all(REPLICASET) and not api.all(POD) and not endpoints(api))
        assert len(api.all(ENDPOINTSLICE)) == 1
        await api.delete(SERVICE, "web", "shop")
        await api.until(lambda: not api.all(ENDPOINTSLICE))


async def test_an_object_keeps_its_living_owners(cluster, make_api):
    async with cluster() as api:
        owners = []
        for name in ("one", "two"):
            made = await api.create(CONFIGMAP, {"metadata": {"name": name, "namespace": "shop"}})
            owners.append({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": made["metadata"]["uid"]})
        await api.create(CONFIGMAP, {"metadata": {"name": "child", "namespace": "shop", "ownerReferences": owners}})
        await api.delete(CONFIGMAP, "one", "shop")
        await api.until(lambda: len(api.find(CONFIGMAP, "child")["metadata"]["ownerReferences"]) == 1)
        await api.delete(CONFIGMAP, "two", "shop")
        await api.until(lambda: api.find(CONFIGMAP, "child") is None)


async def test_owners_that_went_while_nobody_looked_are_noticed(cluster, make_api):
    api = make_api()
    await api.create(NAMESPACE, {"metadata": {"name": "shop"}})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "long-ago"}
    await api.create(CONFIGMAP, {"metadata": {"name": "child", "namespace": "shop", "ownerReferences": [owner]}})
    # What bears the owner's name by now is another object.
    await api.create(CONFIGMAP, {"metadata": {"name": "namesake", "namespace": "shop"}})
    of_namesake = [owner | {"name": "namesake"}]
    await api.create(CONFIGMAP, {"metadata": {"name": "heir", "namespace": "shop", "ownerReferences": of_namesake}})
    foreign = owner | {"apiVersion": "unknown.example/v1", "kind": "Thing", "uid": "elsewhere"}
    await api.create(CONFIGMAP, {"metadata": {"name": "kept", "namespace": "shop", "ownerReferences": [foreign]}})
    async with cluster(api=api):
        await api.until(lambda: api.find(CONFIGMAP, "child") is None and api.find(CONFIGMAP, "heir") is None)
        assert api.find(CONFIGMAP, "kept") is not None


async def test_a_namespace_ends_when_it_is_empty(cluster, deployment, service):
    async with cluster() as api:
        await api.create(SERVICE, service())
        await api.create(DEPLOYMENT, deployment())
        await api.create(CONFIGMAP, {"metadata": {"name": "held", "namespace": "shop", "finalizers": ["x.io/wait"]}})
        await api.until(lambda: settled(api))
        before = len(api.writes)
        await api.delete(NAMESPACE, "shop")
        await api.until(lambda: [ref.name for kind, ref in api.objects if kind not in {EVENT, NAMESPACE}] == ["held"])

        def explained():
            conditions = (api.find(NAMESPACE, "shop").get("status") or {}).get("conditions") or ()
            return any("x.io/wait in 1 resource instances" in item["message"] for item in conditions)

        await api.until(explained)
        deleted = [kind for verb, kind, _ in api.writes[before:] if verb == "delete" and kind not in {NAMESPACE, EVENT}]
        pods = [kind for kind in deleted if kind == POD]
        assert pods
        assert deleted[: len(pods)] == pods, "what runs ends first"
        await api.edit(CONFIGMAP, "held", lambda obj: obj["metadata"].pop("finalizers"))
        await api.until(lambda: not api.objects)


async def test_every_namespace_has_a_default_service_account(cluster):
    async with cluster() as api:
        await api.until(lambda: api.find(SERVICEACCOUNT, "default"))
        await api.delete(SERVICEACCOUNT, "default", "shop")
        await api.until(lambda: api.find(SERVICEACCOUNT, "default"))


async def test_the_ingress_gateway_has_a_load_balancer_and_the_node_gives_the_others_theirs(cluster, service):
    async with cluster() as api:
        await api.create(NAMESPACE, {"metadata": {"name": "istio-system"}})
        gateway = service("istio-ingressgateway", type="LoadBalancer")
        gateway["metadata"]["namespace"] = "istio-system"
        await api.create(SERVICE, gateway)
        await api.create(SERVICE, service("other", type="LoadBalancer"))
        await api.set_status(SERVICE, "other", loadBalancer={"ingress": [{"ip": "127.42.0.7"}]})

        def ingress():
            status = api.find(SERVICE, "istio-ingressgateway", "istio-system").get("status") or {}
            return (status.get("loadBalancer") or {}).get("ingress")

        await api.until(lambda: ingress() == [{"ip": "127.0.0.1", "ipMode": "VIP"}])
        assert api.find(SERVICE, "other")["status"]["loadBalancer"] == {"ingress": [{"ip": "127.42.0.7"}]}
        await api.edit(
            SERVICE, "istio-ingressgateway", lambda obj: obj["spec"].update(type="ClusterIP"), "istio-system"
        )
        await api.until(lambda: not ingress())


async def test_an_ingress_gets_the_gateways_address_as_the_meshs_settings_say_whose_it_is(cluster, service):
    async with cluster() as api:
        await api.create(NAMESPACE, {"metadata": {"name": "istio-system"}})
        gateway = service("istio-ingressgateway", type="LoadBalancer")
        gateway["metadata"]["namespace"] = "istio-system"
        await api.create(SERVICE, gateway)
        await api.create(INGRESS, {"metadata": {"name": "web", "namespace": "shop"}, "spec": {}})

        def address():
            status = api.find(INGRESS, "web").get("status") or {}
            return (status.get("loadBalancer") or {}).get("ingress")

        settings = {"metadata": {"name": "istio", "namespace": "istio-system"}}
        await api.create(CONFIGMAP, {**settings, "data": {"mesh": "ingressControllerMode: DEFAULT"}})
        await api.until(lambda: address() == [{"ip": "127.0.0.1"}])
        await api.edit(CONFIGMAP, "istio", lambda obj: obj["data"].update(mesh="ingressService: x"), "istio-system")
        await api.until(lambda: not address())


async def test_one_write_tells_of_an_endpoint_that_is_no_longer_ready(cluster, deployment, service):
    async with cluster() as api:
        await api.create(SERVICE, service())
        await api.create(DEPLOYMENT, deployment())
        await api.until(lambda: settled(api) and len(endpoints(api)) == 3 and all(endpoints(api).values()))
        name = api.all(POD)[0]["metadata"]["name"]
        api.writes.clear()
        await api.set_status(POD, name, conditions=[{"type": "Ready", "status": "False"}])
        await api.until(lambda: endpoints(api)[name] is False)
        assert [verb for verb, kind, _ in api.writes if kind == ENDPOINTSLICE] == ["replace"]


async def test_a_taken_name_of_a_replica_set_leads_to_another_hash(cluster, deployment, make_api):
    api = make_api()
    await api.create(NAMESPACE, {"metadata": {"name": "shop"}})
    template = deployment()["spec"]["template"]
    other = {"matchLabels": {"app": "stranger"}}
    stranger = {
        "metadata": {"name": f"web-{template_hash(template, 0)}", "namespace": "shop"},
        "spec": {"replicas": 0, "selector": other, "template": {"metadata": {"labels": {"app": "stranger"}}}},
    }
    await api.create(REPLICASET, stranger)
    async with cluster(api=api):
        await api.create(DEPLOYMENT, deployment())
        await api.until(lambda: settled(api))
        assert api.find(DEPLOYMENT, "web")["status"]["collisionCount"] == 1


async def test_a_namespace_that_ends_is_not_filled_again(cluster, deployment):
    async with cluster() as api:
        refused = []

        def refuse(verb, kind, obj):
            if verb == "create" and kind == POD:
                refused.append(obj)
                return Forbidden({"code": 403, "reason": "Forbidden", "message": "it is being terminated"})
            return None

        api.refuse = refuse
        await api.create(DEPLOYMENT, deployment())
        await api.until(lambda: refused)
        attempts = len(refused)
        await api.create(CONFIGMAP, {"metadata": {"name": "later", "namespace": "shop"}})
        await api.rest()
        assert len(refused) <= attempts + 1


@pytest.mark.parametrize("when", ["before", "during"])
async def test_a_restart_of_the_api_is_survived(cluster, deployment, service, when):
    async with cluster() as api:
        if when == "before":
            await api.restart()
        await api.create(SERVICE, service())
        await api.create(DEPLOYMENT, deployment(replicas=6))
        if when == "during":
            await api.until(lambda: len(api.all(POD)) >= 2)
            await api.restart()
        await api.until(lambda: settled(api, replicas=6) and sum(endpoints(api).values()) == 6)
        assert len(api.all(POD)) == 6
