"""What is known from an own write alone is asked for until a watch tells of it, or it is gone."""

from __future__ import annotations

from typing import Any

import pytest

from plait.kube.errors import NotFound
from plait.kube.kinds import POD
from plait.kube.reflect import Batch, Ref
from plait.machine.controllers.cache import Cache
from plait.machine.controllers.confirm import Confirmer
from plait.machine.controllers.writes import Writes

REF = Ref("shop", "a")


def pod(version: int, uid: str = "u1", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "namespace": "shop", "uid": uid, "resourceVersion": str(version), **more}}


class Api:
    """Has one pod or none."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods = list(pods)
        self.meanwhile = lambda: None

    async def get(self, _kind: Any, _name: str, _namespace: str | None = None) -> dict[str, Any]:
        answer = self.pods[-1] if self.pods else None
        self.meanwhile()
        if answer is None:
            raise NotFound({"code": 404})
        return answer


@pytest.fixture
def confirming():
    """A cache with an unconfirmed pod, its Confirmer, and the API."""
    api, cache = Api(pod(5)), Cache([POD])
    confirmer = Confirmer(cache=cache, writes=Writes(api, cache), patience=1e6)
    yield api, cache, confirmer
    confirmer.queue.close()


def told(*upserts: dict[str, Any], deletes: tuple[Ref, ...] = ()) -> Batch:
    return Batch(kind=POD, upserts=upserts, deletes=deletes, synced=False)


async def test_one_that_goes_after_it_was_asked_for_and_before_a_watch_knew_it_does_not_stay(confirming) -> None:
    api, cache, confirmer = confirming
    cache.learn(POD, pod(5))
    api.pods = [pod(6, deletionTimestamp="then")]
    assert await confirmer.reconcile((POD, REF)), "there, and no watch has said so"
    assert cache.get(POD, REF)["metadata"]["deletionTimestamp"] == "then"
    # The list that a broken watch begins again with is later than its end: it is news to nobody.
    api.pods = []
    assert await confirmer.reconcile((POD, REF)) is None
    assert cache.get(POD, REF) is None


async def test_one_that_a_watch_has_told_of_is_not_asked_for(confirming) -> None:
    api, cache, confirmer = confirming
    cache.learn(POD, pod(5))
    cache.apply(told(pod(5)))
    api.pods = []
    assert await confirmer.reconcile((POD, REF)) is None
    assert cache.get(POD, REF)


async def test_what_a_watch_says_meanwhile_counts(confirming) -> None:
    api, cache, confirmer = confirming
    cache.learn(POD, pod(5))
    api.meanwhile = lambda: cache.apply(told(deletes=(REF,)))
    await confirmer.reconcile((POD, REF))
    assert cache.get(POD, REF) is None, "the answer is older than the end of it"
    cache.learn(POD, pod(7))
    api.pods, api.meanwhile = [], lambda: cache.apply(told(pod(9, "u2")))
    await confirmer.reconcile((POD, REF))
    assert cache.get(POD, REF)["metadata"]["uid"] == "u2", "a namesake that was made since"


async def test_a_namesake_is_asked_for_in_its_turn(confirming) -> None:
    api, cache, confirmer = confirming
    cache.learn(POD, pod(5))
    api.pods = [pod(8, "u2")]
    await confirmer.reconcile((POD, REF))
    assert (cache.get(POD, REF)["metadata"]["uid"], cache.unconfirmed(POD, REF)) == ("u2", "u2")
