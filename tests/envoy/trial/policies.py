"""AuthorizationPolicies of all kinds, and calls that they may be about; the same seed makes the same ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from plait.api.mesh_settings import KEY
from plait.api.problem import Level
from plait.mesh.config import MeshConfig
from plait.mesh.node import ProxyNode
from plait.simulate.call import Call
from plait.simulate.configuration import Configuration
from plait.xds.engine import Change, Engine, Upsert
from plait.xds.fragments import VIEW_TYPES

ADDRESS: Final = "10.42.0.9"
LABELS: Final = {"app": "web", "version": "v1"}
HTTP, AUTO, BYTES, UNKNOWN = 8000, 7000, 3306, 9999
_ADDRESSES: Final = ["10.1.2.3", "10.1.9.9", "192.168.7.7", "172.16.0.1"]
_BLOCKS: Final = ["10.1.2.3", "10.1.0.0/16", "192.168.0.0/16", "0.0.0.0/0", "fd00::/8"]
_HOSTS: Final = ["web.shop", "web.shop:80", "a.example", "b.example", "A.Example"]
_PATHS: Final = ["/", "/a", "/a/b", "/a/b/c", "/a?x=1", "/a/b?x=/c", "/x/b", "/a//b", "/a/%62", "/a/./b", "/a/b.c",
                 "/a/*/c", "/a/b=c;d", "/v1/items/7/parts", "/A"]  # fmt: skip
_METHODS: Final = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]
_PEERS: Final = [
    "spiffe://cluster.local/ns/shop/sa/front", "spiffe://cluster.local/ns/shop/sa/back",
    "spiffe://old.example/ns/shop/sa/front", "spiffe://cluster.local/ns/other/sa/front", "spiffe://cluster.local/ns/shop2/sa/x",
]  # fmt: skip
_HEADERS: Final = [
    ("x-user", "jason"),
    ("x-user", "jane"),
    ("x-token", "abc-1"),
    ("x-list", "one, two"),
    ("x-list", "two,three"),
    ("origin", "http://a.example"),
]
_SOURCES: Final[dict[str, list[str]]] = {
    "principals": ["cluster.local/ns/shop/sa/front", "*", "*/ns/shop/sa/back", "cluster.local/ns/shop/*", "*/sa/front",
                   "old.example/ns/shop/sa/front", "td/ns/shop/sa/front"],
    "namespaces": ["shop", "other", "sho*", "*er", "*"],
    "serviceAccounts": ["front", "other/front", "shop/back"],
    "trustDomains": ["cluster.local", "old*", "*.example", "*"],
    "ipBlocks": _BLOCKS,
    "remoteIpBlocks": _BLOCKS,
}  # fmt: skip
_OPERATIONS: Final[dict[str, list[str]]] = {
    "hosts": ["web.shop", "*.example", "a.*", "*", "WEB.SHOP"],
    "methods": ["GET", "POST", "P*", "*T", "*"],
    "paths": [
        "/a",
        "/a/*",
        "*/b",
        "*",
        "/a/{*}",
        "/{**}/b",
        "/v1/{*}/{*}/parts",
        "/a/{**}",
        "/{*}",
        "/a/{*}/c",
        "//{*}",
        "{*}",
    ],
    "ports": [str(HTTP), str(AUTO), str(BYTES), str(UNKNOWN)],
}
_CONDITIONS: Final[dict[str, list[str]]] = {
    "request.headers[x-user]": ["jason", "*", "ja*", "*n"],
    "request.headers[X-Token]": ["abc-1", "abc*"],
    "request.experimental.inline.headers[x-list]": ["one", "t*", "*e", "*"],
    "source.ip": _BLOCKS,
    "remote.ip": _BLOCKS,
    "source.namespace": _SOURCES["namespaces"],
    "source.principal": _SOURCES["principals"],
    "source.serviceAccount": _SOURCES["serviceAccounts"],
    "source.trustDomain": _SOURCES["trustDomains"],
    "destination.ip": [ADDRESS, "10.42.0.0/24", "1.2.3.4"],
    "destination.port": _OPERATIONS["ports"],
    "connection.sni": ["outbound_.80_._.web.shop.svc.cluster.local", "*.local", "a.example", "*"],
    "request.auth.claims[iss]": ["me"],
    "request.auth.principal": ["*", "iss/sub"],
}


class Policies:
    """A generator of policies for the workload, and of calls that reach it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def world(self, *, gateway: bool = False) -> Configuration:
        """What the proxy of a workload with some policies has; the workload may be a gateway."""
        engine = Engine(MeshConfig())
        changes: list[Change] = [Upsert(each) for each in (*_gateway(), *_services(self.chance.randrange(3)))]
        changes += [Upsert(self._policy(number)) for number in range(self.chance.randint(1, 4))]
        engine.apply(changes)
        node = ProxyNode(
            kind="router" if gateway else "sidecar",
            ip=ADDRESS,
            pod="web-1",
            namespace="shop",
            labels=tuple(sorted(LABELS.items())),
            certificates=True,
        )
        views = engine.attach(node)
        engine.take()
        wrong = [each for found in engine.problems().values() for each in found if each.level is Level.ERROR]
        assert not wrong, wrong
        return Configuration.of(
            each for view in views for type_url in VIEW_TYPES for each in engine.resources(view, type_url)
        )

    def call(self, *, gateway: bool = False) -> Call:
        """One that may be refused or not."""
        pick, chance = self.chance.choice, self.chance.random
        port = pick([80, 9000] if gateway else [HTTP, HTTP, AUTO, BYTES, UNKNOWN])
        mutual = not gateway and chance() < 0.7
        raw = port in {BYTES, 9000} or (port not in {HTTP, 80} and chance() < 0.3)
        protocol = "tcp" if raw else pick(["http", "http2"])
        alpn = {"tcp": ("istio",), "http": ("istio-http/1.1", "http/1.1"), "http2": ("istio-h2", "h2")}[protocol]
        headers: dict[str, tuple[str, ...]] = {}
        for name, value in self.chance.sample(_HEADERS, self.chance.randrange(3)):
            headers[name] = (*headers.get(name, ()), value)
        if chance() < 0.4:
            headers["x-forwarded-for"] = (pick(["10.1.2.3", "192.168.7.7", "10.1.9.9, 172.16.0.1", "nonsense"]),)
        return Call(
            port=port,
            address=ADDRESS,
            protocol=protocol,
            tls="mtls" if mutual else "plaintext",
            alpn=alpn if mutual else (),
            sni=pick(["outbound_.80_._.web.shop.svc.cluster.local", "a.example"]) if mutual else "",
            host=pick(_HOSTS),
            method=pick(_METHODS),
            path=pick(_PATHS),
            headers=headers,
            inbound=not gateway,
            source=pick(_ADDRESSES),
            peer=pick(_PEERS),
        )

    def _policy(self, number: int) -> dict[str, Any]:
        action = self.chance.choice(["ALLOW", "ALLOW", "DENY", "AUDIT"])
        spec: dict[str, Any] = {"action": action}
        if action != "ALLOW" or self.chance.random() < 0.9:
            spec["rules"] = [self._rule() for _ in range(self.chance.randint(1, 3))]
        if self.chance.random() < 0.3:
            spec["selector"] = {"matchLabels": dict(self.chance.sample(sorted(LABELS.items()), 1))}
        metadata: dict[str, Any] = {"name": f"p{number}", "namespace": self.chance.choice(["shop", "istio-system"])}
        if action != "AUDIT" and self.chance.random() < 0.15:
            metadata["annotations"] = {"istio.io/dry-run": "true"}
        return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}

    def _rule(self) -> dict[str, Any]:
        rule: dict[str, Any] = {}
        if self.chance.random() < 0.6:
            rule["from"] = [{"source": self._source()} for _ in range(self.chance.randint(1, 2))]
        if self.chance.random() < 0.6:
            rule["to"] = [{"operation": self._fields(_OPERATIONS)} for _ in range(self.chance.randint(1, 2))]
        if self.chance.random() < 0.3:
            key = self.chance.choice(sorted(_CONDITIONS))
            wanted = {"values": self._some(_CONDITIONS[key])} if self.chance.random() < 0.7 else {}
            others = {"notValues": self._some(_CONDITIONS[key])} if not wanted or self.chance.random() < 0.2 else {}
            rule["when"] = [{"key": key, **wanted, **others}]
        return rule

    def _source(self) -> dict[str, list[str]]:
        """Accounts exclude principals and namespaces."""
        if self.chance.random() < 0.25:
            return self._fields({"serviceAccounts": _SOURCES["serviceAccounts"], "ipBlocks": _BLOCKS})
        return self._fields({name: values for name, values in _SOURCES.items() if name != "serviceAccounts"})

    def _fields(self, given: dict[str, list[str]]) -> dict[str, list[str]]:
        names = self.chance.sample(sorted(given), self.chance.randint(1, min(2, len(given))))
        return {self._maybe_not(name): self._some(given[name]) for name in names}

    def _maybe_not(self, name: str) -> str:
        return name if self.chance.random() < 0.75 else f"not{name[0].upper()}{name[1:]}"

    def _some(self, values: list[str]) -> list[str]:
        return self.chance.sample(values, self.chance.randint(1, min(3, len(values))))


def _services(trusted: int) -> Iterator[dict[str, Any]]:
    """In a mesh with so many trusted proxies in front of its gateways."""
    ports = [
        {"name": "http", "port": 80, "targetPort": HTTP},
        {"name": "other", "port": AUTO},
        {"name": "tcp-db", "port": BYTES},
    ]
    yield _object("v1", "Service", "web", {"clusterIP": "10.42.128.9", "selector": {"app": "web"}, "ports": ports})
    settings = _object("v1", "ConfigMap", "istio", {})
    settings["metadata"]["namespace"] = "istio-system"
    topology = f"defaultConfig: {{gatewayTopology: {{numTrustedProxies: {trusted}}}}}\n"
    yield {**settings, "data": {KEY: f"trustDomainAliases: [old.example]\n{topology}"}}


def _gateway() -> Iterator[dict[str, Any]]:
    servers = [
        {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
        {"port": {"number": 9000, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]},
    ]
    api = "networking.istio.io/v1"
    yield _object(api, "Gateway", "edge", {"selector": {"app": "web"}, "servers": servers})
    route = [{"destination": {"host": "web", "port": {"number": 80}}}]
    database = [{"destination": {"host": "web", "port": {"number": BYTES}}}]
    tcp = [{"match": [{"port": 9000}], "route": database}]
    rule = {"hosts": ["*"], "gateways": ["edge"], "http": [{"route": route}], "tcp": tcp}
    yield _object(api, "VirtualService", "edge", rule)


def _object(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
