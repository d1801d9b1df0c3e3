"""Whatever AuthorizationPolicies and providers pass our door, a real Envoy takes what is made of them.

One that it would not take would keep all others from the workload's proxy, so that nobody would be refused any more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tests.envoy.xds.test_any_objects import TEXTS, Draw, service

from plait.api.decode import decode

WORLDS = int(os.environ.get("PLAIT_WORLDS", "30"))
_SEGMENTS = [
    "a",
    "{*}",
    "{**}",
    "b.c",
    "a=b",
    "~",
    "%20",
    "$&'()",
    "+,;",
    ":@",
    "a b",
    "é",
    "{x}",
    "**",
    "*",
    "",
    ".",
    "-",
]
_ADDRESSES = ["10.0.0.1", "10.0.0.0/8", "10.1.2.3/8", "::1", "fd00::/8", "0.0.0.0/0", "1.2.3.4/33", "a"]
_KEYS = [
    "request.headers[x-a]", "request.headers[:path]", "request.headers[X Y]", "request.headers[]",
    "request.headers[a]b]",
    "request.headers[é]", "request.headers[a\nb]", "request.headers[x_y]", "request.experimental.inline.headers[x-a]",
    "source.ip", "remote.ip", "source.namespace", "source.principal", "source.serviceAccount", "source.trustDomain",
    "request.auth.principal", "request.auth.audiences", "request.auth.presenter", "request.auth.claims[a]",
    "request.auth.claims[a][b]", "request.auth.claims[é]", "destination.ip", "destination.port", "connection.sni",
    "experimental.envoy.filters.a.b[c]", "experimental.envoy.filters.[c]", "experimental.envoy.filters.a[]", "nothing",
]  # fmt: skip


class Policies(Draw):
    """Draws policies, and whom they ask."""

    def words(self) -> list[str]:
        return [self.word() for _ in range(self.one([1, 1, 2]))]

    def word(self) -> str:
        return self.one(["*", "**", "*" + self.text(), self.text() + "*", self.one(TEXTS), f"[{self.text()}]"])

    def path(self) -> str:
        segments = (self.one(_SEGMENTS) for _ in range(self.one([1, 2, 3, 7])))
        return self.one(["/", "", "//"]) + "/".join(segments) + self.one(["", "", "/", "*"])

    def ports(self) -> list[str]:
        return [self.one(["0", "80", "65535", "65536", "-1", "a", ""])]

    def fields(self, **parts: Callable[[], Any]) -> dict[str, Any]:
        found = self.some(**parts)
        return {self.one([name, f"not{name[0].upper()}{name[1:]}"]): value for name, value in found.items()}

    def source(self) -> dict[str, Any]:
        block = lambda: [self.one(_ADDRESSES)]  # noqa: E731
        return self.fields(
            principals=self.words,
            requestPrincipals=self.words,
            namespaces=self.words,
            serviceAccounts=self.words,
            trustDomains=self.words,
            ipBlocks=block,
            remoteIpBlocks=block,
        )

    def operation(self) -> dict[str, Any]:
        paths = lambda: [self.one([self.path, self.word])() for _ in range(self.one([1, 2]))]  # noqa: E731
        return self.fields(hosts=self.words, methods=self.words, paths=paths, ports=self.ports)

    def condition(self) -> dict[str, Any]:
        values = self.one([self.words, self.ports, lambda: [self.one(_ADDRESSES)]])()
        return {"key": self.one(_KEYS), self.one(["values", "notValues"]): values}

    def access(self) -> dict[str, Any]:
        def rule() -> dict[str, Any]:
            return self.some(
                **{
                    "from": lambda: [{"source": self.source()}],
                    "to": lambda: [{"operation": self.operation()}],
                    "when": lambda: [self.condition()],
                }
            )

        spec: dict[str, Any] = {"action": self.one(["ALLOW", "DENY", "AUDIT", "CUSTOM"])}
        if spec["action"] == "CUSTOM":
            spec["provider"] = {"name": self.one(["guard", "nobody", self.text()])}
        return spec | self.some(rules=lambda: [rule() for _ in range(self.one([1, 2]))])

    def accepted_policy(self, name: str) -> dict[str, Any]:
        """Only one that says something hurtful, and is let in."""
        while True:
            annotations = self.one([{}, {}, {"istio.io/dry-run": "true"}])
            obj = policy(name, self.access(), annotations)
            if decode(obj).value is not None:
                return obj

    def providers(self) -> dict[str, Any]:
        """Of the mesh's settings; drawn again until they are accepted."""
        text = self.text

        def common() -> dict[str, Any]:
            service = self.one(["web.shop.svc.cluster.local", "shop/web.shop.svc.cluster.local", text()])
            return {"service": service, "port": self.one([80, 80, self.number()])} | self.some(
                timeout=self.duration,
                failOpen=lambda: True,
                clearRouteCache=lambda: True,
                statusOnError=lambda: self.one(["403", "503", "100", "0", text()]),
                includeRequestBodyInCheck=lambda: (
                    {"maxRequestBytes": self.number()} | self.some(packAsBytes=lambda: True)
                ),
            )

        def http() -> dict[str, Any]:
            return common() | self.some(
                pathPrefix=lambda: self.one(["/check", text()]),
                includeRequestHeadersInCheck=self.words,
                includeHeadersInCheck=self.words,
                includeAdditionalHeadersInCheck=lambda: {text(): text()},
                headersToUpstreamOnAllow=self.words,
                headersToDownstreamOnDeny=self.words,
                headersToDownstreamOnAllow=self.words,
            )

        while True:
            kind = self.one([{"envoyExtAuthzHttp": http()}, {"envoyExtAuthzGrpc": common()}])
            data = {"mesh": json.dumps({"extensionProviders": [{"name": self.one(["guard", "guard", text()])} | kind]})}
            metadata = {"name": "istio", "namespace": "istio-system"}
            obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            if decode(obj).value is not None:
                return obj


def policy(name: str, spec: dict[str, Any], annotations: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "annotations": annotations}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}


@pytest.mark.envoy
@pytest.mark.parametrize("seed", range(WORLDS))
def test_envoy_takes_whatever_is_made_of_accepted_policies(
    seed: int, mesh: SimpleNamespace, accepted_by_envoy: Callable[[dict[str, Any]], None]
) -> None:
    draw = Policies(seed)
    ports = [{"name": "http", "port": 80}, {"name": "tcp", "port": 90}]
    objects = [service("web", ports, "10.42.128.1"), draw.providers()]
    objects += [draw.accepted_policy(f"p{number}") for number in range(40)]
    node = mesh.node(
        kind="sidecar", ip="10.42.0.2", pod="c", namespace="shop", labels=(("app", "web"),), certificates=True
    )
    accepted_by_envoy(mesh.proxy(objects, node).bootstrap())
