"""Whatever objects pass our door, a real Envoy takes what is made of them: one bad rule would spoil everybody's routes.

Objects are drawn at random from texts and numbers that are likely to hurt; those that decoding refuses are drawn again.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from plait.api.decode import decode

TEXTS = [
    "a", "", "/", "/x y", "é", "%", "%%", "%REQ(x)%", "%NO_SUCH%", "x-h", ":path", ":authority", "host", "Host", "\n",
    "a" * 300, "*", "*.a", "a.b", "1", "503", "5xx,gateway-error", "\x7f", "<>", "#?", "\\1", "\\9", "(", "[a-z]+",
    "http", "https", "x|y", "%START_TIME(%s)%", "%REQ(:authority)%", "%UPSTREAM_HOST%", "a:80", "🙂", "²",
]  # fmt: skip
NUMBERS = [0, 1, 2, 80, 100, 503, -1, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63]
DURATIONS = ["1s", "0s", "1ms", "0.0001s", "100h", "-1s", "9000000000s", "1us", "32768s", "10000h"]
SHARES = [0, 1, 50.5, 100, 101, -1, 0.0001, 99.99999]


PROTOCOLS = ["HTTP", "TCP", "TLS", "HTTPS", "GRPC", "HTTP_PROXY", "MONGO"]
#: Worlds that are tried; `make fuzz` tries more.
WORLDS = int(os.environ.get("PLAIT_WORLDS", "30"))


class Draw:
    """Draws parts of objects."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.one = self.random.choice

    def some(self, **parts: Callable[[], Any]) -> dict[str, Any]:
        """Each part with a chance of two in five."""
        return {name: make() for name, make in parts.items() if self.random.random() < 0.4}

    def text(self) -> str:
        return self.one(TEXTS)

    def number(self) -> int:
        return self.one(NUMBERS)

    def duration(self) -> str:
        return self.one(DURATIONS)

    def share(self) -> dict[str, float]:
        return {"value": self.one(SHARES)}

    def comparison(self) -> dict[str, str]:
        return self.one([{}, {"exact": self.text()}, {"prefix": self.text()}, {"regex": self.text()}])

    def comparisons(self) -> dict[str, Any]:
        return {self.text(): self.comparison()}

    def headers(self) -> dict[str, Any]:
        def operations() -> dict[str, Any]:
            def pair() -> dict[str, str]:
                return {self.text(): self.text()}

            return self.some(set=pair, add=pair, remove=lambda: [self.text()])

        return self.some(request=operations, response=operations)

    def destination(self) -> dict[str, Any]:
        host = self.one(["web", "db", "nowhere", "a.b.c", self.text()])
        return {"host": host} | self.some(
            subset=lambda: self.one(["v1", self.text()]), port=lambda: {"number": self.number()}
        )

    def match(self) -> dict[str, Any]:
        one, many = self.comparison, self.comparisons
        conditions = self.some(uri=one, scheme=one, method=one, authority=one, headers=many, queryParams=many)
        return conditions | self.some(withoutHeaders=many, ignoreUriCase=lambda: True, port=self.number, name=self.text)

    def action(self) -> dict[str, Any]:
        text = self.text
        kind = self.random.random()
        if kind < 0.15:
            codes = [301, 302, 303, 307, 308, 200]
            parts = self.some(uri=text, authority=text, scheme=text, port=self.number, prefixRewrite=text)
            return {"redirect": parts | self.some(redirectCode=lambda: self.one(codes))}
        if kind < 0.3:
            body = self.one([{"string": text()}, {"bytes": "YQ=="}, {"bytes": "?"}])
            return {"directResponse": {"status": self.one([200, 418, 599, 600, 99])} | self.some(body=lambda: body)}

        def rewrite() -> dict[str, Any]:
            return self.some(uri=text, authority=text, uriRegexRewrite=lambda: {"match": text(), "rewrite": text()})

        shares = [{"destination": self.destination()} for _ in range(self.one([1, 1, 2]))]
        shares = [share | self.some(weight=lambda: self.one([1, 50, 100, self.number()])) for share in shares]
        shares = [share | self.some(headers=self.headers) for share in shares]
        return {"route": shares} | self.some(
            rewrite=rewrite,
            mirror=self.destination,
            mirrorPercentage=self.share,
            retries=self.retries,
            timeout=self.duration,
        )

    def retries(self) -> dict[str, Any]:
        tries = {"attempts": self.one([0, 1, 3, self.number()])}
        return tries | self.some(perTryTimeout=self.duration, retryOn=self.text, backoff=self.duration)

    def fault(self) -> dict[str, Any]:
        return self.some(
            delay=lambda: {"fixedDelay": self.duration(), "percentage": self.share()},
            abort=lambda: self.one(
                [
                    {"httpStatus": self.one([500, 99, 600, 200]), "percent": self.one([0, 100, 50])},
                    {"grpcStatus": self.one(["UNAVAILABLE", "OK", "14", ""])},
                ]
            ),
        )

    def cors(self) -> dict[str, Any]:
        def texts() -> list[str]:
            return [self.text()]

        return self.some(
            allowOrigins=lambda: [self.comparison()],
            allowOrigin=texts,
            allowMethods=lambda: [self.one(["GET", "*", self.text()])],
            allowHeaders=texts,
            exposeHeaders=texts,
            maxAge=self.duration,
            allowCredentials=lambda: True,
            unmatchedPreflights=lambda: self.one(["FORWARD", "IGNORE", "UNSPECIFIED"]),
        )

    def connections(self) -> dict[str, Any]:
        ranges = ["10.0.0.0/8", "10.1.2.3/8", "10.42.128.1", "::/0", "0.0.0.0/0", self.text()]
        subnet = lambda: self.one(ranges)  # noqa: E731
        match = self.some(
            destinationSubnets=lambda: [subnet() for _ in range(self.one([1, 2]))],
            sourceSubnet=subnet,
            port=lambda: self.one([3306, 81]),
        )
        return self.sent() | {"match": [match]}

    def names(self, hosts: list[str]) -> dict[str, Any]:
        asked = hosts[: self.one([1, 2])]
        subnets = lambda: [self.one(["10.0.0.0/8", "10.42.0.0/16"])]  # noqa: E731
        match = {"sniHosts": asked} | self.some(port=lambda: 443, destinationSubnets=subnets)
        return self.sent() | {"match": [match]}

    def sent(self) -> dict[str, Any]:
        shares = [{"destination": self.destination()} for _ in range(self.one([1, 2]))]
        return {"route": [share | self.some(weight=lambda: self.one([1, 99])) for share in shares]}

    def rule(self) -> dict[str, Any]:
        several = ["out.example", "b.example"]
        hosts = self.one([["web"], ["db"], ["out.example"], ["*.example"], several, several[::-1], [self.text()]])
        http = [
            self.action()
            | self.some(
                name=self.text,
                match=lambda: [self.match()],
                headers=self.headers,
                fault=self.fault,
                corsPolicy=self.cors,
            )
            for _ in range(self.one([1, 2]))
        ]
        gateways = self.one([["mesh"], ["edge"], ["mesh", "edge"]])
        return {"hosts": hosts, "http": http, "gateways": gateways} | self.some(
            tcp=lambda: [self.connections() for _ in range(self.one([1, 2]))],
            tls=lambda: [self.names(hosts) for _ in range(self.one([1, 2]))],
        )

    def policy(self) -> dict[str, Any]:
        number, duration = self.number, self.duration
        keepalive = lambda: {"time": duration(), "interval": duration(), "probes": self.one([0, 3, 128])}  # noqa: E731
        tcp = lambda: self.some(  # noqa: E731
            maxConnections=number, connectTimeout=duration, maxConnectionDuration=duration, tcpKeepalive=keepalive
        )
        http = lambda: self.some(  # noqa: E731
            http1MaxPendingRequests=number,
            http2MaxRequests=number,
            maxRequestsPerConnection=number,
            maxRetries=number,
            maxConcurrentStreams=number,
            idleTimeout=duration,
            h2UpgradePolicy=lambda: self.one(["UPGRADE", "DO_NOT_UPGRADE", "DEFAULT"]),
            useClientProtocol=lambda: True,
            http2KeepAlive=lambda: {"interval": duration(), "timeout": duration()},
        )
        outlier = lambda: self.some(  # noqa: E731
            consecutive5xxErrors=number,
            consecutiveGatewayErrors=number,
            consecutiveLocalOriginFailures=number,
            interval=duration,
            baseEjectionTime=duration,
            maxEjectionPercent=lambda: self.one([0, 50, 100, 101]),
            minHealthPercent=lambda: self.one([0, 50, 100, 101]),
            splitExternalLocalOriginErrors=lambda: True,
            outlierDetectionHttpErrorCodes=lambda: [self.one([500, 503, 99]), 502],
        )
        budget = lambda: self.some(percent=lambda: self.one(SHARES), minRetryConcurrency=number)  # noqa: E731
        return self.some(
            connectionPool=lambda: self.some(tcp=tcp, http=http),
            outlierDetection=outlier,
            loadBalancer=self.balancer,
            retryBudget=budget,
        )

    def balancer(self) -> dict[str, Any]:
        text = self.text
        cookie = {"name": text()} | self.some(ttl=self.duration, path=text, attributes=lambda: [{"name": text()}])
        what = self.one(
            [
                {"httpHeaderName": text()},
                {"httpCookie": cookie},
                {"useSourceIp": True},
                {"httpQueryParameterName": text()},
            ]
        )
        how = self.some(
            maglev=lambda: {"tableSize": self.one([0, 65537, 100, 5000011, -1])},
            ringHash=lambda: {"minimumRingSize": self.one([0, 1, 1024, 8388608, 8388609])},
        )
        warmup = {"duration": self.duration()} | self.some(
            aggression=lambda: self.one([0, 1, 1.5, 1e9]), minimumPercent=lambda: self.one([0, 0.5, 10, 101])
        )
        simple = {"simple": self.one(["RANDOM", "ROUND_ROBIN", "PASSTHROUGH", "LEAST_CONN", "LEAST_REQUEST"])}
        return self.one([simple | self.some(warmup=lambda: warmup), {"consistentHash": what | how}])

    def destination_rule(self) -> dict[str, Any]:
        subset = {"name": "v1", "labels": {"a": self.text()}, "trafficPolicy": self.policy()}
        return {"host": self.one(["web", "db"]), "trafficPolicy": self.policy(), "subsets": [subset]}

    def gateway(self) -> dict[str, Any]:
        text, one = self.text, self.one
        names = lambda: [one(["SECRET", "a", text()])]  # noqa: E731
        versions = ["TLS_AUTO", "TLSV1_0", "TLSV1_2", "TLSV1_3"]
        ciphers = ["ECDHE-ECDSA-AES256-GCM-SHA384", "AES128-SHA", text()]

        def secure() -> dict[str, Any]:
            return {"mode": one(["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "PASSTHROUGH"])} | self.some(
                credentialName=lambda: one(["a", text()]),
                credentialNames=names,
                serverCertificate=lambda: one(["/c.pem", text()]),
                privateKey=lambda: one(["/k.pem", text()]),
                caCertificates=lambda: one(["/ca.pem", text()]),
                subjectAltNames=lambda: [text()],
                verifyCertificateSpki=lambda: [one(["NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A=", text()])],
                verifyCertificateHash=lambda: [one(["ab" * 32, text()])],
                minProtocolVersion=lambda: one(versions),
                maxProtocolVersion=lambda: one(versions),
                cipherSuites=lambda: [one(ciphers)],
            )

        def server() -> dict[str, Any]:
            protocol = one(["HTTP", "HTTPS", "TLS", "TCP", "GRPC", "HTTP2", "MONGO"])
            port = {"number": one([80, 81, 443, 8443, self.number()]), "name": one(["a", "b", text()])}
            hosts = [one(["*", "*.example", "a.example", "./*", "shop/web.example", text()]) for _ in "ab"]
            made = {"port": port | {"protocol": protocol}, "hosts": hosts}
            if protocol in {"HTTPS", "TLS"}:
                made["tls"] = secure()
            elif self.random.random() < 0.2:
                made["tls"] = {"httpsRedirect": True}
            return made | self.some(bind=lambda: one(["0.0.0.0", "127.0.0.1", text()]), name=text)

        return {"selector": one([{}, {"app": "web"}]), "servers": [server() for _ in range(one([1, 3]))]}

    def service_entry(self) -> dict[str, Any]:
        text, one = self.text, self.one
        port = lambda: {"number": one([80, 443, 3306, self.number()]), "name": one(["p", text()])}  # noqa: E731
        protocols = ["HTTP", "TCP", "TLS", "HTTPS", "GRPC", "MONGO", "UDP", ""]
        ports = [port() | {"protocol": one(protocols)} | self.some(targetPort=self.number) for _ in range(one([1, 2]))]

        def place() -> dict[str, Any]:
            return {"address": one(["1.2.3.4", "a.example", "unix:///s", text()])} | self.some(
                locality=lambda: one(["a/b/c", text()]), weight=self.number, labels=lambda: {"v": text()}, network=text
            )

        kinds = ["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]
        hosts = one([["out.example"], ["*.out.example"], ["b.example"], ["out.example", "b.example"], [text()]])
        return {"hosts": hosts, "ports": ports, "resolution": one(kinds)} | self.some(
            workloadSelector=lambda: {"labels": {"app": "old"}},
            addresses=lambda: [one(["240.0.0.1", "10.0.0.0/8", "::1", text()])],
            endpoints=lambda: [place() for _ in range(one([1, 2]))],
            location=lambda: one(["MESH_INTERNAL", "MESH_EXTERNAL"]),
            subjectAltNames=lambda: [text()],
        )

    def sidecar(self) -> dict[str, Any]:
        text, one = self.text, self.one
        port = lambda: {"number": one([9080, 9443, self.number()]), "name": text(), "protocol": one(PROTOCOLS)}  # noqa: E731
        modes = ["DEFAULT", "IPTABLES", "NONE"]
        hosts = lambda: [one(["*/*", "./*", "shop/web.shop.svc.cluster.local", text()]), *one([[], [f"~{text()}"]])]  # noqa: E731

        def egress() -> dict[str, Any]:
            return {"hosts": hosts()} | self.some(
                port=port, bind=lambda: one(["127.0.0.1", "unix:///s", text()]), captureMode=lambda: one(modes)
            )

        ends = ["127.0.0.1:80", "0.0.0.0:80", "unix:///a", ":80", text()]

        def ingress() -> dict[str, Any]:
            return {"port": port(), "defaultEndpoint": one(ends)} | self.some(
                bind=lambda: one(["127.0.0.1", text()]), captureMode=lambda: one(modes), connectionPool=dict
            )

        return self.some(
            egress=lambda: [egress() for _ in range(one([1, 2]))],
            ingress=lambda: [ingress() for _ in range(one([1, 2]))],
            outboundTrafficPolicy=lambda: {"mode": one(["ALLOW_ANY", "REGISTRY_ONLY"])},
        )

    def accepted(self, kind: str, name: str, spec: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        while True:
            obj = istio(kind, name, spec())
            if decode(obj).value is not None:
                return obj

    def settings(self) -> dict[str, Any]:
        """Of the whole mesh; drawn again until they are accepted."""
        parts = ["%START_TIME(%s)%", "%REQ(x)%", "%RESP(:status?x)%", "%METADATA(ROUTE:a:b)%", "%%", "%A%", "x", "%"]
        parts += ["%START_TIME(%Y-%m-%d %H)%", "%TRAILER(é)%", "%DYNAMIC_METADATA(a:b):5%", "%BYTES_SENT:3%"]
        while True:
            fields = self.some(
                accessLogFile=lambda: self.one(["/dev/stdout", "/dev/stderr", "/dev/null", "log"]),
                accessLogFormat=lambda: "".join(self.one(parts) for _ in range(4)),
                connectTimeout=self.duration,
                protocolDetectionTimeout=self.duration,
                outboundTrafficPolicy=lambda: {"mode": self.one(["ALLOW_ANY", "REGISTRY_ONLY"])},
                defaultHttpRetryPolicy=lambda: {"attempts": self.number()},
            )
            metadata = {"name": "istio", "namespace": "istio-system"}
            data = {"mesh": json.dumps(fields)}
            obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            if decode(obj).value is not None:
                return obj

    def world(self) -> list[dict[str, Any]]:
        web = [{"name": self.one(["http", "grpc", "odd"]), "port": 80}]
        databases = [{"name": "tcp", "port": 3306}, {"name": "http", "port": 81}]
        hosts = self.one([["*"], ["*.example", "web.shop.svc.cluster.local"]])
        server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": hosts}
        tcp = {"port": {"number": 81, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}
        names = {"port": {"number": 443, "name": "tls", "protocol": "TLS"}, "hosts": [self.one(["*", "./*.example"])]}
        ending = {"mode": "SIMPLE", "serverCertificate": "/c.pem", "privateKey": "/k.pem"}
        https = {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["b.example"], "tls": ending}
        servers = [server, tcp, names | {"tls": {"mode": "PASSTHROUGH"}}, *([https] if self.one([0, 1]) else [])]
        return [
            service("web", web, "10.42.128.1"),
            service("db", databases, self.one(["None", "10.42.128.2"])),
            istio("Gateway", "edge", {"selector": {}, "servers": servers}),
            istio("WorkloadEntry", "old", {"address": "10.0.0.7", "labels": {"app": "old"}}),
            external("other", self.one(["out.example", "b.example", "web.shop.svc.cluster.local"])),
            self.settings(),
            *(self.accepted("VirtualService", f"rule-{n}", self.rule) for n in range(8)),
            *(self.accepted("DestinationRule", f"policy-{n}", self.destination_rule) for n in range(3)),
            *(self.accepted("Gateway", f"gate-{n}", self.gateway) for n in range(2)),
            *(self.accepted("ServiceEntry", f"out-{n}", self.service_entry) for n in range(4)),
            *(self.accepted("Sidecar", "default", self.sidecar) for _ in range(self.one([0, 1]))),
        ]


def service(name: str, ports: Any, address: str) -> dict[str, Any]:
    spec = {"clusterIP": address, "selector": {"app": name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def external(name: str, target: str) -> dict[str, Any]:
    spec = {"type": "ExternalName", "externalName": target}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def istio(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


@pytest.mark.envoy
@pytest.mark.parametrize("seed", range(WORLDS))
def test_envoy_takes_whatever_is_made_of_accepted_objects(
    seed: int, mesh: SimpleNamespace, accepted_by_envoy: Callable[[dict[str, Any]], None]
) -> None:
    objects = Draw(seed).world()
    for kind in ("sidecar", "router"):
        node = mesh.node(kind=kind, ip="10.42.0.2", pod="c", namespace="shop", labels=(("app", "web"),))
        accepted_by_envoy(mesh.proxy(objects, node).bootstrap())
