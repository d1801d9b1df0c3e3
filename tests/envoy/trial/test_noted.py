"""What filters have noted of a request, the claims of a token above all: RBAC is judged as Envoy judges it."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import pytest
from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from google.protobuf.json_format import MessageToDict

from plait.api.security import AuthorizationPolicy
from plait.proxy.envoy import run_envoy
from plait.simulate.rbac import Approach, judged
from plait.simulate.request import Request
from plait.xds.authorization.filters import rules_of
from plait.xds.encode import packed

pytestmark = pytest.mark.envoy

POLICIES: Final = 150
_JWT: Final = "envoy.filters.http.jwt_authn"
_TYPE: Final = "type.googleapis.com/envoy.extensions.filters"
NOTED: Final[dict[str, Any]] = {
    _JWT: {
        "payload": {
            "iss": "https://issuer.example/a", "sub": "jason", "aud": ["shop", "web"], "azp": "front",
            "groups": ["admin", "dev"], "realm": {"roles": ["reader", "writer"], "name": "main"},
            "level": 7, "on": True,
        }
    },
    "envoy.filters.http.lua": {"kind": "blue", "list": ["x", "yy"]},
}  # fmt: skip
_KEYS: Final = {
    "request.auth.principal": [
        "https://issuer.example/a/jason", "*", "*/jason", "https://issuer.example/a/*", "*.example/a/jason",
        "https://issuer.example/a/ja*", "jason", "*son", "https*",
    ],
    "request.auth.audiences": ["shop", "w*", "*b", "*", "none"],
    "request.auth.presenter": ["front", "f*", "*", "back"],
    "request.auth.claims[iss]": ["https://issuer.example/a", "https*", "*"],
    "request.auth.claims[groups]": ["admin", "ad*", "*v", "*", "root"],
    "request.auth.claims[realm][roles]": ["reader", "*er", "none"],
    "request.auth.claims[realm][name]": ["main", "*"],
    "request.auth.claims[realm]": ["main", "*"],
    "request.auth.claims[level]": ["7", "*"],
    "request.auth.claims[on]": ["true", "*"],
    "request.auth.claims[missing]": ["x", "*"],
    "experimental.envoy.filters.http.lua[kind]": ["blue", "b*", "*", "[blue]"],
    "experimental.envoy.filters.http.lua[list]": ["[x]", "[y*]", "x", "[*]"],
    "experimental.envoy.filters.http.none[kind]": ["blue", "*"],
}  # fmt: skip


def made_up(chance: random.Random) -> RBAC:
    """Rules of one policy."""

    def condition() -> dict[str, Any]:
        key = chance.choice(sorted(_KEYS))
        some = chance.sample(_KEYS[key], chance.randint(1, min(2, len(_KEYS[key]))))
        return {"key": key, ("values" if chance.random() < 0.7 else "notValues"): some}

    action = chance.choice(["ALLOW", "DENY"])
    rules = [{"when": [condition() for _ in range(chance.randint(1, 2))]} for _ in range(chance.randint(1, 2))]
    obj = {"metadata": {"name": "p", "namespace": "shop"}, "spec": {"action": action, "rules": rules}}
    found = rules_of([msgspec.convert(obj, AuthorizationPolicy)], obj["spec"]["action"], ("cluster.local",), tcp=False)
    assert found is not None
    return found


def bootstrap(folder: Path, policies: list[RBAC]) -> dict[str, Any]:
    """Each policy is for a path of its own."""
    routes = []
    for number, rules in enumerate(policies):
        own = http_rbac.RBACPerRoute(rbac=http_rbac.RBAC(rules=rules))
        routes.append(
            {
                "match": {"path": f"/{number}"},
                "direct_response": {"status": 200},
                "typed_per_filter_config": {"envoy.filters.http.rbac": MessageToDict(packed(own))},
            }
        )
    noted = [{"metadata_namespace": name, "value": value} for name, value in NOTED.items()]
    filters = [
        {"name": "noting", "typed_config": {"@type": f"{_TYPE}.http.set_metadata.v3.Config", "metadata": noted}},
        {"name": "envoy.filters.http.rbac", "typed_config": {"@type": f"{_TYPE}.http.rbac.v3.RBAC"}},
        {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}},
    ]
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "route_config": {"virtual_hosts": [{"name": "x", "domains": ["*"], "routes": routes}]},
        "http_filters": filters,
    }
    listener = {
        "name": "x",
        "address": {"pipe": {"path": str(folder / "x.sock")}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {
        "node": {"id": "x", "cluster": "x"},
        "admin": {"address": {"pipe": {"path": str(folder / "admin.sock")}}},
        "static_resources": {"listeners": [listener]},
    }


async def test_claims_and_notes_are_compared_as_envoy_compares_them() -> None:
    chance = random.Random(7)
    policies = [made_up(chance) for _ in range(POLICIES)]
    approach = Approach(
        address="10.0.0.1", port=80, direct="10.0.0.2", remote="10.0.0.2", metadata=NOTED,
        request=Request(method="GET", host="x", path="/", query=None, scheme="http"),
    )  # fmt: skip
    said = [200 if judged(each, approach).allowed else 403 for each in policies]
    with TemporaryDirectory(prefix="plait-noted-") as name:
        folder = Path(name)
        async with run_envoy(bootstrap(folder, policies), folder):
            reader, writer = await asyncio.open_unix_connection(str(folder / "x.sock"))
            seen = []
            for number in range(POLICIES):
                writer.write(f"GET /{number} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                seen.append(int(head.split()[1]))
                sizes = re.findall(rb"content-length: (\d+)", head)
                await reader.readexactly(int(sizes[0]) if sizes else 0)
            writer.close()
    wrong = [(policy, mine, its) for policy, mine, its in zip(policies, said, seen, strict=True) if mine != its]
    assert not wrong, f"{len(wrong)}: {wrong[0]}"
    assert {200, 403} == set(seen)
