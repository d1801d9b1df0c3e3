"""What is said of a RequestAuthentication as it is written, beyond what Istio refuses."""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.decode import decode
from plait.api.problem import Level

OCT = {"kty": "oct", "k": "YQ"}


def found(rule: dict[str, Any]) -> list[tuple[str, str, str]]:
    obj = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "tokens", "namespace": "shop"},
        "spec": {"jwtRules": [rule]},
    }
    return [(each.level.name, each.path, each.message) for each in decode(obj).problems]


@pytest.mark.parametrize(
    ("rule", "level", "path", "words"),
    [
        ({"issuer": "i", "jwks": "x"}, Level.ERROR, "jwks", "it is not JSON"),
        ({"issuer": "i", "jwks": "{}"}, Level.ERROR, "jwks", 'it has no list "keys"'),
        ({"issuer": "i", "jwks": '{"keys": [{}]}'}, Level.ERROR, "jwks", "a key without a type"),
        ({"issuer": "i", "jwks": '{"keys": [{"kty": "XX"}]}'}, Level.WARNING, "jwks", "every token is refused"),
        ({"issuer": "me@example.com"}, Level.WARNING, "issuer", "its keys cannot be found"),
        ({"issuer": "i", "jwksUri": "ftp://x"}, Level.ERROR, "jwksUri", "is not the URL of keys"),
        (
            {"issuer": "https://i", "fromHeaders": [{"name": "x\ny"}]},
            Level.ERROR, "fromHeaders[0].name", "ends a line",
        ),
        (
            {"issuer": "https://i", "fromHeaders": [{"name": "x", "prefix": "a\r"}]},
            Level.ERROR, "fromHeaders[0].prefix", "ends a line",
        ),
        ({"issuer": "https://i", "presence": "NEVER"}, Level.ERROR, "presence", "NEVER"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(rule: dict[str, Any], level: Level, path: str, words: str) -> None:
    ((name, where, message),) = found(rule)
    assert (name, where) == (level.name, f"spec.jwtRules[0].{path}")
    assert words in message


@pytest.mark.parametrize(
    "rule",
    [
        {"issuer": "https://i"},
        {"issuer": "i", "jwks": '{"keys": [{"kty": "oct", "k": "YQ"}]}'},
        {"issuer": "i", "jwks": '{"kty": "oct", "k": "YQ"}'},
        {"jwksUri": "http://issuer.auth/keys", "presence": "REQUIRED", "timeout": "1s"},
    ],
)
def test_what_is_right_is_not(rule: dict[str, Any]) -> None:
    assert found(rule) == []
