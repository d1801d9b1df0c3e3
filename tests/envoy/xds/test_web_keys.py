"""Keys that plait hands to Envoy are those that Envoy takes: a set of none would have it refuse the listener."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import JwtAuthentication
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from google.protobuf.json_format import MessageToDict
from tests.tokens import SigningKey, encoded

from plait.api.web_keys import usable_set
from plait.xds.encode import packed
from plait.xds.http_connection import http_connection_manager
from plait.xds.tokens import FILTER, NO_KEYS

pytestmark = pytest.mark.envoy

RSA, EC, OKP, OCT = (SigningKey(name, "k").public for name in ("RS256", "ES256", "EdDSA", "HS256"))
SMALL = encoded(rsa.generate_private_key(65537, 1024).public_key().public_numbers().n.to_bytes(128, "big"))


def without(key: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in key.items() if name not in names}


GOOD: dict[str, Any] = {
    **{name: SigningKey(name, "k").public for name in ("RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS384")},
    "no algorithm": without(RSA, "alg"),
    "another of its family": {**RSA, "alg": "PS384"},
    "an algorithm that is a number": {**RSA, "alg": 5},
    "a name that is a number": {**RSA, "kid": 5},
    "short": {"kty": "RSA", "n": SMALL, "e": "AQAB"},
    "padded": {**RSA, "n": RSA["n"] + "=="},
    "a curve by its algorithm": without(EC, "crv"),
    "a curve by nothing": without(EC, "crv", "alg"),
    "a point without an algorithm": without(EC, "alg"),
    "Edwards without an algorithm": without(OKP, "alg"),
    "a secret without an algorithm": without(OCT, "alg"),
    "a padded secret": {**OCT, "k": "YQ=="},
    "for encryption": {**RSA, "use": "enc"},
    "nobody's": json.loads(NO_KEYS)["keys"][0],
}
BAD: dict[str, Any] = {
    "no kind": without(RSA, "kty"),
    "another kind": {"kty": "XX"},
    "a text": "key",
    "another family": {**RSA, "alg": "ES256"},
    "a modulus that is a number": {**RSA, "n": 5},
    "a tiny modulus": {**RSA, "n": "AQAB"},
    "an even modulus": {**RSA, "n": encoded(b"\xff" * 255 + b"\x02")},
    "an even exponent": {**RSA, "e": "Ag"},
    "an exponent of one": {**RSA, "e": "AQ"},
    "a large exponent": {**RSA, "e": encoded(b"\x01" * 9)},
    "ordinary base64": {**RSA, "n": "+/" + RSA["n"][2:]},
    "no exponent": without(RSA, "e"),
    "a point beside the curve": {**EC, "x": EC["y"]},
    "another curve": {**EC, "crv": "P-224"},
    "another curve than the algorithm's": {**EC, "alg": "ES384"},
    "a short point of Edwards": {**OKP, "x": "AAAA"},
    "Edwards 448": {**OKP, "crv": "Ed448"},
    "Edwards with another algorithm": {**OKP, "alg": "ES256"},
    "an empty secret": {**OCT, "k": ""},
    "a secret with another algorithm": {**OCT, "alg": "RS256"},
}


def bootstrap(*sets: str) -> dict[str, Any]:
    config = JwtAuthentication()
    for number, text in enumerate(sets):
        config.providers[str(number)].local_jwks.inline_string = text
    tokens = HttpFilter(name=FILTER, typed_config=packed(config))
    listener = Listener(name="tokens")
    listener.address.socket_address.address = "127.0.0.1"
    listener.address.socket_address.port_value = 0
    routes = RouteConfiguration(name="r")
    manager = http_connection_manager("inbound", stat_prefix="x", routes=routes, access=(tokens,))
    listener.filter_chains.add().filters.append(manager)
    return {
        "node": {"id": "test", "cluster": "test"},
        "static_resources": {"listeners": [MessageToDict(listener)]},
    }


def test_envoy_takes_what_it_is_given(accepted_by_envoy: Callable[[dict[str, Any]], None]) -> None:
    sets = {name: usable_set(json.dumps({"keys": [BAD["another kind"], key]})) for name, key in GOOD.items()}
    assert [name for name, text in sets.items() if not text] == []
    accepted_by_envoy(bootstrap(*sets.values()))


@pytest.mark.parametrize("name", BAD)
def test_envoy_would_not_take_what_it_is_not_given(
    name: str, accepted_by_envoy: Callable[[dict[str, Any]], None]
) -> None:
    text = json.dumps({"keys": [BAD[name]]})
    assert usable_set(text) == ""
    with pytest.raises(AssertionError, match="invalid local jwks"):
        accepted_by_envoy(bootstrap(text))


def test_private_halves_go_nowhere() -> None:
    text = usable_set(json.dumps({"keys": [{**RSA, "d": "AQAB", "p": "AQAB"}]}))
    assert json.loads(text) == {"keys": [RSA]}
