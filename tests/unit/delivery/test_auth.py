"""Who a proxy may be."""

from __future__ import annotations

import base64
import datetime as dt
import json
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from plait.citadel.authority import Authority, make_pems
from plait.delivery.auth import (
    AuthenticationUnavailableError,
    Identity,
    Prover,
    TokenReviewer,
    UnauthenticatedError,
    bearer,
    check,
)
from plait.kit.certificates import new_key
from plait.kube.errors import Unreachable
from plait.mesh.node import ProxyNode

NODE = ProxyNode(kind="sidecar", ip="10.0.0.1", pod="a-1", namespace="shop", service_account="seller")


class Api:
    """Answers TokenReviews from a table and counts them."""

    def __init__(self, **users):
        self.users, self.asked, self.away = users, 0, False
        self.audiences = None

    async def create(self, kind, obj):
        assert (kind.kind, obj["kind"], obj["apiVersion"]) == ("TokenReview", "TokenReview", "authentication.k8s.io/v1")
        self.asked += 1
        self.audiences = obj["spec"].get("audiences")
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


# tokens for the mesh's authority


def jwt(audiences) -> str:
    parts = ({"alg": "ES256"}, {"aud": audiences, "sub": "x"})
    return ".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts) + ".sig"


@pytest.mark.parametrize(
    ("audiences", "asked"),
    [
        (["istio-ca"], ["istio-ca"]),
        ("istio-ca", ["istio-ca"]),
        (["vault", "istio-ca"], ["istio-ca"]),
        (["https://kubernetes.default.svc"], None),
        (["vault"], None),
        (5, None),
    ],
)
async def test_a_token_is_reviewed_for_the_audience_it_is_made_for(audiences, asked):
    token = jwt(audiences)
    good = {"authenticated": True, "user": account("shop:seller"), "audiences": ["istio-ca"]}

    class Answering(Api):
        async def create(self, kind, obj):
            await super().create(kind, obj)
            return obj | {"status": good}

    api = Answering()
    assert await TokenReviewer(api).identify(token) == Identity(namespace="shop", service_account="seller")
    assert api.audiences == asked


async def test_a_server_that_knows_no_audiences_has_not_said_yes():
    api = Api(**{jwt("istio-ca"): account("shop:seller")})
    with pytest.raises(UnauthenticatedError, match="not accepted for the audience istio-ca"):
        await TokenReviewer(api).identify(jwt("istio-ca"))


@pytest.mark.parametrize("token", ["rubbish", "a.b.c", "..", "a.W10.c"])
async def test_what_is_no_token_of_kubernetes_is_left_to_the_api(token):
    api = Api()
    with pytest.raises(UnauthenticatedError, match="bad signature"):
        await TokenReviewer(api).identify(token)
    assert api.audiences is None


# certificates

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
AUTHORITY = Authority.load(make_pems("cluster.local", NOW), NOW)


def shown(uri="spiffe://cluster.local/ns/shop/sa/seller") -> bytes:
    return AUTHORITY.certify(new_key().public_key(), uri, now=NOW).public_bytes(Encoding.DER)


@dataclass
class Stream:
    peer_certificate: bytes | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class Nobody:
    async def identify(self, token):  # noqa: ARG002
        raise AssertionError("nobody is to be asked")


async def test_a_certificate_is_proof_without_a_question():
    prover = Prover(Nobody(), now=lambda: NOW)
    stream = Stream(shown(), {"authorization": "Bearer whatever"})
    assert await prover.identify(stream) == Identity(namespace="shop", service_account="seller")
    prover.domains = frozenset({"new.example", "old.example"})
    assert await prover.identify(Stream(shown("spiffe://old.example/ns/a/sa/b"))) == Identity(
        namespace="a", service_account="b"
    )


SERVER = AUTHORITY.certify_server(new_key().public_key(), ["istiod.istio-system.svc"], [], now=NOW)


@pytest.mark.parametrize(
    ("certificate", "later", "says"),
    [
        (shown("spiffe://other.example/ns/shop/sa/seller"), 0, "trust domains here: cluster.local"),
        (shown("spiffe://cluster.local/gateway"), 0, "must name one workload"),
        (shown(), 25, "has ended: connect with a newer one"),
        (SERVER.public_bytes(Encoding.DER), 0, "must name one workload"),
        (b"rubbish", 0, "must name one workload"),
    ],
    ids=["strange trust domain", "no workload", "ended", "a server", "rubbish"],
)
async def test_a_certificate_that_will_not_do_leaves_it_to_the_token(certificate, later, says):
    prover = Prover(TokenReviewer(Api(t=account("shop:seller"))), now=lambda: NOW + dt.timedelta(hours=later))
    with pytest.raises(UnauthenticatedError, match=says):
        await prover.identify(Stream(certificate))
    assert (await prover.identify(Stream(certificate, {"authorization": "Bearer t"}))).service_account == "seller"


async def test_who_shows_nothing_proves_nothing():
    with pytest.raises(UnauthenticatedError, match="no bearer token"):
        await Prover(Nobody()).identify(Stream())
