from __future__ import annotations

import pytest

from plait.kube.kinds import POD, SERVICE
from plait.kube.reflect import Batch, Ref
from plait.machine.controllers.cache import Cache

REF = Ref("shop", "a")


def pod(version: int, uid: str = "u1", *, name: str = "a", **labels: str) -> dict:
    meta = {"name": name, "namespace": "shop", "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": meta}


def batch(*upserts: dict, deletes: tuple[Ref, ...] = (), synced: bool = False) -> Batch:
    return Batch(kind=POD, upserts=upserts, deletes=deletes, synced=synced)


@pytest.fixture
def cache() -> Cache:
    return Cache([POD, SERVICE])


def test_a_late_watch_does_not_undo_an_own_write(cache):
    with cache.writing(POD) as flight:
        flight.put(pod(5))
    cache.apply(batch(pod(4)))
    assert cache.get(POD, REF)["metadata"]["resourceVersion"] == "5"
    cache.apply(batch(pod(6)))
    assert cache.get(POD, REF)["metadata"]["resourceVersion"] == "6"


def test_what_the_watch_saw_deleted_stays_deleted_when_the_answer_comes_later(cache):
    with cache.writing(POD) as flight:
        cache.apply(batch(deletes=(REF,)))
        flight.put(pod(5))
    assert cache.get(POD, REF) is None


def test_what_we_deleted_does_not_come_back_with_older_news(cache):
    cache.apply(batch(pod(1)))
    with cache.writing(POD) as flight:
        flight.gone(pod(1))
    cache.apply(batch(pod(2)))
    assert cache.get(POD, REF) is None
    cache.apply(batch(deletes=(REF,)))
    cache.apply(batch(pod(9, "u2")))
    assert cache.get(POD, REF)["metadata"]["uid"] == "u2"


def test_a_namesake_replaces_what_we_deleted(cache):
    cache.apply(batch(pod(1)))
    cache.bury(POD, pod(1))
    cache.apply(batch(pod(9, "u2")))
    assert cache.get(POD, REF)["metadata"]["uid"] == "u2"


def test_an_own_write_is_unconfirmed_until_a_watch_tells_of_it(cache):
    expected = []
    cache.on_unconfirmed = lambda _, ref: expected.append(ref)
    cache.learn(POD, pod(5))
    assert expected == [REF]
    assert cache.unconfirmed(POD, REF) == "u1"
    cache.lost(POD, REF, "u1")
    assert cache.get(POD, REF) is None
    cache.learn(POD, pod(6))
    cache.apply(batch(pod(6)))
    assert cache.unconfirmed(POD, REF) is None
    cache.lost(POD, REF, "u1")
    assert cache.get(POD, REF), "a watch has told of it meanwhile"


def test_pods_are_found_by_all_of_their_labels_as_they_are_now(cache):
    cache.apply(batch(pod(1, app="web", track="a"), pod(2, "u2", name="b", app="web")))

    def found(**labels: str) -> list[str]:
        return [each["metadata"]["name"] for each in cache.pods_labelled("shop", labels)]

    assert found(app="web") == ["a", "b"]
    assert found(app="web", track="a") == ["a"]
    cache.apply(batch(pod(3, app="web")))
    assert found(track="a") == []
    assert cache.pods_labelled("other", {"app": "web"}) == []


async def test_it_is_synced_when_every_kind_is(cache):
    cache.apply(batch(synced=True))
    assert not cache._synced.is_set()
    cache.apply(Batch(kind=SERVICE, upserts=(), deletes=(), synced=True))
    await cache.synced()
