"""Tokens as Envoy reads them: time, audience, and which key may verify which token."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.tokens import SigningKey, key_set

from plait.api.web_keys import usable_keys
from plait.simulate.jwt import TokenError, by_keys, for_audience, in_time, read_token

NOW = 1_800_000_000.0
KEY = SigningKey("ES256", "k")


@pytest.mark.parametrize(
    ("claims", "verdict"),
    [
        ({}, "valid"),
        ({"exp": NOW}, "valid"),
        ({"exp": NOW - 60}, "valid"),
        ({"exp": NOW - 61}, "expired"),
        ({"nbf": NOW + 60}, "valid"),
        ({"nbf": NOW + 61}, "not yet valid"),
        ({"nbf": NOW + 61, "exp": NOW - 61}, "not yet valid"),
        ({"exp": 0}, "valid"),
    ],
)
def test_clocks_may_differ_by_a_minute(claims: dict[str, float], verdict: str) -> None:
    assert in_time(read_token(KEY.sign(claims)), NOW) == verdict


@pytest.mark.parametrize(
    ("aud", "wanted", "holds"),
    [
        ("a", [], True),
        (None, [], True),
        (None, ["a"], False),
        ("a", ["a"], True),
        (["x", "a"], ["b", "a"], True),
        ("https://a/", ["a"], True),
        ("a", ["http://a/"], True),
        ("https://a/b", ["a"], False),
        ("A", ["a"], False),
    ],
)
def test_audiences_are_compared_without_scheme_and_slash(aud: object, wanted: list[str], holds: bool) -> None:
    claims = {} if aud is None else {"aud": aud}
    assert for_audience(read_token(KEY.sign(claims)), wanted) is holds


MALFORMED = {
    "empty": "",
    "one part": "a",
    "no JSON": "a.b.c",
    "empty parts": "..",
    "no algorithm": "e30.e30.",
    "four parts": f"{KEY.sign({})}.x",
    "an issuer that is a number": KEY.sign({"iss": 5}),
    "a time that is a truth": KEY.sign({"exp": True}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_token_is_told_so(name: str) -> None:
    with pytest.raises(TokenError, match="malformed"):
        read_token(MALFORMED[name])


def test_a_key_is_found_by_its_name_where_both_have_one() -> None:
    other = SigningKey("ES256", "other")
    token = read_token(KEY.sign({}))
    assert by_keys(token, usable_keys(key_set(other, KEY))) == "valid"
    assert by_keys(token, usable_keys(key_set(other))) == "unknown key"
    nameless = SigningKey("ES256")
    assert by_keys(token, usable_keys(key_set(nameless))) == "wrong signature"
    assert by_keys(token, usable_keys(key_set(nameless, KEY))) == "valid"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS1", "ES256K"])
def test_an_algorithm_that_is_none_is_refused_before_any_key_is_asked(algorithm: str) -> None:
    with pytest.raises(TokenError, match="unknown algorithm"):
        read_token(KEY.sign({"iss": "i"}, alg=algorithm))
    with pytest.raises(TokenError, match="unknown algorithm"):
        read_token(KEY.sign({"iss": "i"}, alg=algorithm).rpartition(".")[0] + ".")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_what_a_key_publishes_is_no_secret_that_signs(algorithm: str) -> None:
    key = SigningKey(algorithm, names_algorithm=False)
    forger = SigningKey("HS256")
    public = key.key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)):
        forger.key = secret
        assert by_keys(read_token(forger.sign({})), usable_keys(key_set(key))) == "wrong signature"
    assert by_keys(read_token(key.sign({})), usable_keys(key_set(key))) == "valid"


def test_nothing_of_a_token_or_a_secret_is_in_their_words() -> None:
    secret = SigningKey("HS256")
    token = read_token(secret.sign({"sub": "jane"}))
    assert secret.sign({"sub": "jane"}).rpartition(".")[2] not in repr(token)
    (key,) = usable_keys(key_set(secret))
    assert "secret" not in repr(key)
