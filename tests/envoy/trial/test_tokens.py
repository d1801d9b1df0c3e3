"""Tokens: the simulator says of them what a real Envoy does, and what it says is right."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
from tests.tokens import SigningKey, encoded, key_set

from plait.api.problem import Level
from plait.mesh.node import ProxyNode
from plait.simulate.call import Call
from plait.simulate.configuration import Configuration
from plait.simulate.jwt import ALGORITHMS
from plait.simulate.simulate import simulate
from plait.trial.agreement import expected
from plait.trial.trial import Trial, trial
from plait.xds.engine import Engine, Upsert
from plait.xds.fragments import VIEW_TYPES

pytestmark = pytest.mark.envoy

NOW = time.time()
HOUR = 3600
ISSUER, OTHER = "https://issuer.example", "other@example.com"
KEYS = {name: SigningKey(name, f"key of {name}") for name in sorted(ALGORITHMS)}
UNNAMED = SigningKey("RS256", names_algorithm=False)
STRANGER = SigningKey("RS256", "key of RS256")
UNKNOWN = SigningKey("ES256", "nobody knows it")
AUDIENCE = {"iss": ISSUER, "sub": "jane", "aud": "shop", "exp": NOW + HOUR}
SERVICE = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"clusterIP": "10.42.128.1", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
}  # fmt: skip


def policy(*rules: dict[str, Any], namespace: str = "shop") -> dict[str, Any]:
    metadata = {"name": "tokens", "namespace": namespace}
    spec = {"jwtRules": list(rules)}
    return {
        "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": metadata, "spec": spec,
    }  # fmt: skip


def configuration(*objects: dict[str, Any], node: ProxyNode) -> Configuration:
    engine = Engine()
    engine.apply(Upsert(obj) for obj in objects)
    assert not [problem for found in engine.problems().values() for problem in found if problem.level is Level.ERROR]
    views = engine.attach(node)
    engine.take()
    resources = (each for view in views for type_url in VIEW_TYPES for each in engine.resources(view, type_url))
    return Configuration.of(resources)


WEB = ProxyNode(kind="sidecar", ip="10.42.0.9", pod="web", namespace="shop", labels=(("app", "web"),))
EDGE = ProxyNode(
    kind="router", ip="10.42.0.8", pod="edge", namespace="istio-system", labels=(("istio", "ingressgateway"),)
)


@dataclass(frozen=True)
class Case:
    headers: dict[str, str]
    status: int
    verdict: str
    path: str = "/"
    method: str = "GET"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


RULES = (
    {"issuer": ISSUER, "audiences": ["shop", "https://shop.example/"], "jwks": key_set(*KEYS.values())},
    {
        "issuer": OTHER,
        "jwks": key_set(KEYS["EdDSA"]),
        "fromHeaders": [{"name": "x-token", "prefix": "Token "}, {"name": "x-plain"}],
        "fromParams": ["token"],
        "fromCookies": ["session"],
        "forwardOriginalToken": True,
    },
)
RS = KEYS["RS256"]
OF_OTHER = KEYS["EdDSA"].sign({"iss": OTHER, "exp": NOW + HOUR})


def altered(token: str) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{encoded(json.dumps({**AUDIENCE, 'sub': 'root'}).encode())}.{signature}"


CASES = {
    **{f"signed by {name}": Case(bearer(key.sign(AUDIENCE)), 0, "valid") for name, key in KEYS.items()},
    "no token": Case({}, 0, "missing"),
    "another scheme": Case({"authorization": "Basic eDp5"}, 0, "missing"),
    "without a name of a key": Case(bearer(UNNAMED.sign(AUDIENCE)), 401, "wrong signature"),
    "of somebody else": Case(bearer(STRANGER.sign(AUDIENCE)), 401, "wrong signature"),
    "of a key that nobody knows": Case(bearer(UNKNOWN.sign(AUDIENCE)), 401, "unknown key"),
    "changed": Case(bearer(altered(RS.sign(AUDIENCE))), 401, "wrong signature"),
    "expired": Case(bearer(RS.sign({**AUDIENCE, "exp": NOW - HOUR})), 401, "expired"),
    "not yet valid": Case(bearer(RS.sign({**AUDIENCE, "nbf": NOW + HOUR})), 401, "not yet valid"),
    "for another audience": Case(bearer(RS.sign({**AUDIENCE, "aud": ["bank"]})), 403, "wrong audience"),
    "for one of several audiences": Case(bearer(RS.sign({**AUDIENCE, "aud": ["a", "shop"]})), 0, "valid"),
    "an audience by another scheme": Case(bearer(RS.sign({**AUDIENCE, "aud": "http://shop.example"})), 0, "valid"),
    "for nobody": Case(bearer(RS.sign({"iss": ISSUER})), 403, "wrong audience"),
    "of an issuer without a rule": Case(bearer(RS.sign({**AUDIENCE, "iss": "https://x"})), 401, "wrong issuer"),
    "of nobody": Case(bearer(RS.sign({"aud": "shop"})), 401, "wrong issuer"),
    "no algorithm": Case(bearer(RS.sign(AUDIENCE, alg="none")), 401, "unknown algorithm"),
    "another algorithm": Case(bearer(RS.sign(AUDIENCE, alg="RS384")), 401, "unknown key"),
    "no token at all": Case(bearer("abc"), 401, "malformed"),
    "two parts": Case(bearer("a.b"), 401, "malformed"),
    "a time that is a text": Case(bearer(RS.sign({**AUDIENCE, "exp": "soon"})), 401, "malformed"),
    "a time before all time": Case(bearer(RS.sign({**AUDIENCE, "exp": -5})), 401, "malformed"),
    "an audience that is a number": Case(bearer(RS.sign({**AUDIENCE, "aud": 7})), 401, "malformed"),
    "a name of a key that is a number": Case(bearer(RS.sign(AUDIENCE, kid=7)), 401, "malformed"),
    "an empty one": Case({"authorization": "Bearer "}, 0, "missing"),
    "in the usual parameter": Case({}, 0, "valid", path=f"/?access_token={RS.sign(AUDIENCE)}"),
    "an expired one in the parameter": Case(
        {}, 401, "expired", path=f"/?access_token={RS.sign({**AUDIENCE, 'exp': 1})}"
    ),
    "in a header of its own": Case({"x-token": f"Token {OF_OTHER}"}, 0, "valid"),
    "in a header of its own without its prefix": Case({"x-token": OF_OTHER}, 0, "missing"),
    "in a header without a prefix": Case({"x-plain": OF_OTHER}, 0, "valid"),
    "in a parameter of its own": Case({}, 0, "valid", path=f"/a?x=1&token={OF_OTHER}"),
    "in a cookie": Case({"cookie": f"a=b; session={OF_OTHER}"}, 0, "valid"),
    "a bad one in a cookie": Case({"cookie": f'session="{OF_OTHER}x"'}, 401, "wrong signature"),
    "in the place of another issuer": Case(bearer(OF_OTHER), 401, "wrong issuer"),
    "a good one and a bad one elsewhere": Case({**bearer(RS.sign(AUDIENCE)), "x-plain": "bad"}, 0, "valid"),
    "a preflight with a bad one": Case(
        {**bearer("bad"), "origin": "http://a", "access-control-request-method": "GET"}, 0, "", method="OPTIONS"
    ),
}


def call(case: Case, **more: Any) -> Call:
    headers = {name: (value,) for name, value in case.headers.items()}
    given = {"port": 80, "address": WEB.ip, "inbound": True, **more}
    return Call(
        protocol="http", host="web.example", method=case.method, path=case.path, headers=headers, now=NOW, **given
    )  # fmt: skip


async def check(
    scratch: Trial, made: Configuration, cases: dict[str, Case], *, gateway: bool = False, **more: Any
) -> None:
    calls = [call(case, **more) for case in cases.values()]
    places = await scratch.ask(calls)
    wrong = []
    for name, asked, place in zip(cases, calls, places, strict=True):
        case, met = cases[name], simulate(made, asked, gateway=gateway)
        verdict = met.tokens.decisive.verdict if met.tokens is not None else ""
        if place not in expected(made, asked, gateway=gateway) or (place.status, verdict) != (
            case.status,
            case.verdict,
        ):
            wrong.append(f"{name}: {verdict} {met.status}, and Envoy {place}")
    assert not wrong, "\n".join(wrong)


async def test_tokens_at_a_workload() -> None:
    made = configuration(SERVICE, policy(*RULES), node=WEB)
    async with trial(made) as scratch:
        await check(scratch, made, CASES)
        await check(scratch, made, {name: CASES[name] for name in ("signed by RS256", "expired", "in a cookie")})


async def test_one_rule_alone() -> None:
    made = configuration(SERVICE, policy(RULES[0]), node=WEB)
    names = ("no token", "signed by ES256", "expired", "for another audience", "of nobody", "an empty one")
    async with trial(made) as scratch:
        await check(scratch, made, {name: CASES[name] for name in names})


async def test_a_key_without_name_and_algorithm_is_tried_for_every_token() -> None:
    made = configuration(SERVICE, policy({**RULES[0], "jwks": key_set(UNNAMED)}), node=WEB)
    cases = {
        "without a name": Case(bearer(UNNAMED.sign(AUDIENCE)), 0, "valid"),
        "with any name": Case(bearer(UNNAMED.sign(AUDIENCE, kid="x")), 0, "valid"),
        "of another algorithm": Case(bearer(KEYS["ES256"].sign(AUDIENCE)), 401, "wrong signature"),
    }
    async with trial(made) as scratch:
        await check(scratch, made, cases)


async def test_a_token_that_must_be_there() -> None:
    made = configuration(SERVICE, policy({**RULES[0], "presence": "REQUIRED"}, RULES[1]), node=WEB)
    cases = {
        "none": Case({}, 401, "missing"),
        "its own": CASES["signed by PS256"],
        "that of another rule": Case({"x-plain": OF_OTHER}, 401, "missing"),
    }
    async with trial(made) as scratch:
        await check(scratch, made, cases)


@pytest.mark.parametrize("presence", ["OPTIONAL", "REQUIRED"])
async def test_a_client_cannot_write_what_a_rule_writes_whichever_is_asked(presence: str) -> None:
    first = {**RULES[0], "presence": presence}
    second = {**RULES[1], "outputClaimToHeaders": [{"header": "x-user", "claim": "sub"}]}
    admins = {
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": "admins", "namespace": "shop"},
        "spec": {"rules": [{"when": [{"key": "request.headers[x-user]", "values": ["admin"]}]}]},
    }  # fmt: skip
    forged = {**bearer(RS.sign(AUDIENCE)), "x-user": "admin"}
    for rules, status, verdict in (
        ((first, RULES[1]), 0, "valid"),
        # The first rule's token ends the asking; what the second would write is taken away all the same.
        ((first, second), 403, "valid"),
        ((second,), 403, "missing"),
    ):
        made = configuration(SERVICE, policy(*rules), admins, node=WEB)
        async with trial(made) as scratch:
            await check(scratch, made, {"forged": Case(forged, status, verdict)})


async def test_keys_that_have_not_come_are_those_of_nobody() -> None:
    made = configuration(SERVICE, policy({"issuer": ISSUER, "jwksUri": "https://issuer.example/keys"}), node=WEB)
    nobody = SigningKey("EdDSA", "nobody")
    cases = {
        "no token": Case({}, 0, "missing"),
        "a token": Case(bearer(RS.sign(AUDIENCE)), 401, "no keys"),
        "one that says it is of nobody": Case(bearer(nobody.sign(AUDIENCE)), 401, "no keys"),
    }
    async with trial(made) as scratch:
        await check(scratch, made, cases)


GATEWAY = [
    {**SERVICE, "spec": {**SERVICE["spec"], "selector": {}}},
    {
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "edge", "namespace": "shop"},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    },
    {
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "hosts": ["web.example"], "gateways": ["edge"],
            "http": [
                *(
                    {"match": [{"headers": {name: {kind: value}}}], "redirect": {"uri": where}}
                    for name, kind, value, where in (
                        ("@request.auth.claims.groups", "exact", "admin", "/admin"),
                        ("@request.auth.claims[nested][team]", "regex", "a|b", "/team"),
                        ("@request.auth.claims.scope", "exact", "write", "/write"),
                        ("@request.auth.claims.roles", "exact", "boss", "/boss"),
                        ("x-team", "exact", "blue", "/blue"),
                    )
                ),
                {"match": [{"withoutHeaders": {"@request.auth.claims.sub": {}}}], "redirect": {"uri": "/nobody"}},
                {"route": [{"destination": {"host": "web"}}]},
            ],
        },
    },
]  # fmt: skip
CLAIMS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "no token": (None, "/nobody"),
    "nothing special": ({"sub": "a"}, ""),
    "a text": ({"groups": "admin"}, "/admin"),
    "one of a list": ({"groups": ["user", "admin"]}, "/admin"),
    "another text": ({"sub": "a", "groups": "administrator"}, ""),
    "a nested one": ({"nested": {"team": "b"}}, "/team"),
    "a nested one of another form": ({"sub": "a", "nested": ["team"]}, ""),
    "words": ({"scope": "read write"}, "/write"),
    "words of a claim that is not one of words": ({"sub": "a", "groups": "x admin"}, ""),
    "words of a claim that the rule names": ({"roles": "clerk boss"}, "/boss"),
    "a header of the token's": ({"team": "blue"}, "/blue"),
    "a number": ({"sub": "a", "groups": 5}, ""),
    "without a subject": ({"x": 1}, "/nobody"),
}


async def test_routes_by_claims_at_a_gateway() -> None:
    rule = {
        **RULES[0],
        "audiences": [],
        "outputClaimToHeaders": [{"header": "x-team", "claim": "team"}],
        "spaceDelimitedClaims": ["roles"],
    }
    made = configuration(*GATEWAY, policy(rule, namespace="istio-system"), node=EDGE)
    async with trial(made, gateway=True) as scratch:
        for name, (claims, wanted) in CLAIMS.items():
            headers = bearer(RS.sign({"iss": ISSUER, **claims})) if claims is not None else {}
            # Who says by himself what a token would say is not believed, where there is one.
            asked = call(Case({**headers, "x-team": "blue" if claims else ""}, 0, ""), inbound=False, address="1.2.3.4")
            met = simulate(made, asked, gateway=True)
            (place,) = await scratch.ask([asked])
            assert place in expected(made, asked, gateway=True), name
            assert met.redirect.removeprefix("http://web.example") == wanted, name
        bad = call(Case(bearer("bad"), 401, "malformed"), inbound=False, address="1.2.3.4")
        (place,) = await scratch.ask([bad])
        assert place in expected(made, bad, gateway=True)
        assert place.status == 401
