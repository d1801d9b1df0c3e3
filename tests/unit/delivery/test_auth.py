"""Who a proxy may be."""

from __future__ import annotations

import pytest

from plait.delivery.auth import (
    AuthenticationUnavailableError,
    Identity,
    TokenReviewer,
    UnauthenticatedError,
    bearer,
    check,
)
from plait.kube.errors import Unreachable
from plait.mesh.node import ProxyNode

NODE = ProxyNode(kind="sidecar", ip="10.0.0.1", pod="a-1", namespace="shop", service_account="seller")


class Api:
    """Answers TokenReviews from a table and counts them."""

    def __init__(self, **users):
        self.users, self.asked, self.away = users, 0, False

    async def create(self, kind, obj):
        assert (kind.kind, obj["kind"], obj["apiVersion"]) == ("TokenReview", "TokenReview", "authentication.k8s.io/v1")
        self.asked += 1
        if self.away:
            raise Unreachable.because("api", OSError("refused"), sent=False)
        user = self.users.get(obj["spec"]["token"])
        status = {"authenticated": True, "user": user} if user else {"error": "bad signature"}
        return obj | {"status": status}


def account(name, pod=None):
    extra = {"authentication.kubernetes.io/pod-name": [pod]} if pod else {}
    return {"username": f"system:serviceaccount:{name}", "extra": extra}


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


async def test_accepted_tokens_are_asked_about_once_a_while():
    api, clock = Api(t=account("shop:seller", "a-1")), Clock()
    reviewer = TokenReviewer(api, keep=60, clock=clock)
    expected = Identity(namespace="shop", service_account="seller", pod="a-1")
    assert [await reviewer.identify("t") for _ in range(3)] == [expected] * 3
    assert api.asked == 1
    clock.now += 61
    await reviewer.identify("t")
    assert api.asked == 2


async def test_refused_tokens_are_forgotten_soon():
    api, clock = Api(), Clock()
    reviewer = TokenReviewer(api, keep_refused=2, clock=clock)
    for _ in range(3):
        with pytest.raises(UnauthenticatedError, match="bad signature"):
            await reviewer.identify("t")
    assert api.asked == 1
    clock.now += 3
    api.users["t"] = account("shop:seller")
    assert (await reviewer.identify("t")).service_account == "seller"


async def test_people_are_not_proxies():
    with pytest.raises(UnauthenticatedError, match="'admin', not of a service account"):
        await TokenReviewer(Api(t={"username": "admin"})).identify("t")


async def test_an_api_that_is_away_is_not_a_refusal():
    api = Api(t=account("shop:seller"))
    api.away = True
    reviewer = TokenReviewer(api)
    with pytest.raises(AuthenticationUnavailableError):
        await reviewer.identify("t")
    api.away = False
    assert await reviewer.identify("t")


@pytest.mark.parametrize("metadata", [{}, {"authorization": "Basic x"}, {"authorization": "Bearer "}])
def test_no_bearer_token(metadata):
    with pytest.raises(UnauthenticatedError, match="no bearer token"):
        bearer(metadata)


def test_bearer_token():
    assert bearer({"authorization": "Bearer abc"}) == "abc"


@pytest.mark.parametrize(
    "identity",
    [
        Identity(namespace="other", service_account="seller"),
        Identity(namespace="shop", service_account="default"),
        Identity(namespace="shop", service_account="seller", pod="b-1"),
    ],
)
def test_a_proxy_cannot_be_somebody_else(identity):
    with pytest.raises(UnauthenticatedError, match=r"a-1\.shop"):
        check(identity, NODE)


def test_a_proxy_can_be_itself():
    check(Identity(namespace="shop", service_account="seller", pod="a-1"), NODE)
    check(Identity(namespace="shop", service_account="seller"), NODE)
