"""Whatever the order of events, and whatever gets lost, the world ends in the same state."""

from __future__ import annotations

import asyncio
import random

import pytest

from plait.kube.errors import Unreachable
from plait.kube.kinds import DEPLOYMENT, ENDPOINTSLICE, EVENT, POD, REPLICASET, SERVICE
from plait.kube.reflect import ref_of

IMAGES = ("web:1", "web:2", "web:3")


def active(api) -> list[dict]:
    return [
        pod
        for pod in api.all(POD)
        if not pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") != "Failed"
    ]


def never_one_too_many(api):
    """A ReplicaSet's pods never exceed the most it was ever asked for, nor a Deployment's what it allows."""
    asked: dict[str, int] = {}

    def check() -> None:
        for each in api.all(REPLICASET):
            uid = each["metadata"]["uid"]
            asked[uid] = max(asked.get(uid, 0), each["spec"]["replicas"])
            mine = [pod for pod in active(api) if pod["metadata"]["ownerReferences"][0]["uid"] == uid]
            assert len(mine) <= asked[uid], f"{ref_of(each)} has {len(mine)} pods, was asked for {asked[uid]}"

    return check


def steady(api, *, image: str, replicas: int) -> bool:
    deployment = api.find(DEPLOYMENT, "web")
    status = deployment.get("status") or {}
    if [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")] != [replicas] * 3:
        return False
    if status.get("observedGeneration") != deployment["metadata"]["generation"]:
        return False
    if {pod["spec"]["containers"][0]["image"] for pod in active(api)} != {image}:
        return False
    pods = [pod for pod in api.all(POD) if (pod.get("status") or {}).get("phase") != "Failed"]
    if len(pods) != replicas or not all((pod.get("status") or {}).get("podIP") for pod in pods):
        return False
    slices = api.all(ENDPOINTSLICE)
    found = [
        (endpoint["addresses"][0], endpoint["targetRef"]["uid"], endpoint["conditions"]["ready"])
        for each in slices
        for endpoint in each["endpoints"]
    ]
    wanted = [(pod["status"]["podIP"], pod["metadata"]["uid"], True) for pod in pods]
    return sorted(found) == sorted(wanted) and len(slices) == 1


async def disturb(api, chance: random.Random, deployment) -> tuple[str, int]:
    """A user, a scheduler and bad luck."""
    image, replicas = "web:1", 3
    for _ in range(chance.randint(4, 10)):
        for _ in range(chance.choice((0, 1, 3, 10, 60))):
            await asyncio.sleep(0)
        match chance.choice(("image", "image", "scale", "scale", "kill", "fail", "restart", "flap")):
            case "image":
                image = chance.choice(IMAGES)
                await api.edit(
                    DEPLOYMENT,
                    "web",
                    lambda obj, to=image: obj["spec"]["template"]["spec"]["containers"][0].update(image=to),
                )
            case "scale":
                replicas = chance.randint(1, 8)
                await api.edit(DEPLOYMENT, "web", lambda obj, to=replicas: obj["spec"].update(replicas=to))
            case "restart":
                await api.restart()
            case what:
                pods = [pod["metadata"]["name"] for pod in active(api)]
                if not pods:
                    continue
                name = chance.choice(pods)
                if what == "kill":
                    api._store(POD, api.find(POD, name), None)
                    await api._tell()
                elif what == "fail":
                    await api.set_status(POD, name, phase="Failed", conditions=[])
                elif (api.find(POD, name).get("status") or {}).get("conditions"):
                    await flap(api, name)
    return image, replicas


async def flap(api, name: str) -> None:
    before = api.find(POD, name)["status"]["conditions"]
    await api.set_status(POD, name, conditions=[before[0] | {"status": "False"}])
    await asyncio.sleep(0)
    if api.find(POD, name):
        await api.set_status(POD, name, conditions=before)


@pytest.mark.parametrize("seed", range(40))
async def test_any_order_of_events_ends_in_the_same_steady_state(cluster, deployment, service, seed):
    chance = random.Random(seed)
    async with cluster(seed=seed, conflicts=0.05) as api:
        api.checks.append(never_one_too_many(api))
        await api.create(SERVICE, service())
        await api.create(DEPLOYMENT, deployment())
        image, replicas = await disturb(api, chance, deployment)
        # It may look steady before the last disturbance is known to all, and be left again for a moment.
        await api.rest()
        assert steady(api, image=image, replicas=replicas)
        api.writes.clear()
        await api.rest()
        assert [write for write in api.writes if write[1] != EVENT] == [], "the steady state is not at rest"


@pytest.mark.parametrize("seed", range(15))
async def test_lost_answers_are_made_up_for(cluster, deployment, service, seed):
    chance = random.Random(seed)
    async with cluster(seed=seed, conflicts=0.05, lost_answers=0.05) as api:
        while not api.find(SERVICE, "web"):
            await try_create(api, SERVICE, service())
        while not api.find(DEPLOYMENT, "web"):
            await try_create(api, DEPLOYMENT, deployment())
        image, replicas = await disturb(api, chance, deployment)
        await api.until(lambda: steady(api, image=image, replicas=replicas))


async def try_create(api, kind, obj) -> None:
    try:
        await api.create(kind, obj)
    except Unreachable:
        return
