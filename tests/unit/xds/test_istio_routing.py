"""Where calls end up, by Istio's rules: small worlds, each with the calls that tell whether a rule holds.

A row is a call and its end: `host port` of the destination, or the error. Worlds are asked as `plait dev conformance
routing` asks them.
"""

from __future__ import annotations

from typing import Any

import pytest

from plait.app.conformance.routing import answer

EDGE = {"type": "router", "namespace": "istio-system", "labels": {"istio": "edge"}}
SIDECAR = {"type": "sidecar", "namespace": "default", "labels": {"app": "a"}}


def istio(kind: str, name: str, spec: str, namespace: str = "default", annotations: str = "") -> str:
    metadata = f"{{name: {name}, namespace: {namespace}, annotations: {{{annotations}}}}}"
    return f"---\n{{apiVersion: networking.istio.io/v1, kind: {kind}, metadata: {metadata}, spec: {{{spec}}}}}\n"


#: Istio: a Sidecar's own TLS is for ports where no mutual TLS is spoken.
OPEN = istio("PeerAuthentication", "open", "mtls: {mode: DISABLE}").replace("networking", "security")


def gateway(name: str, *servers: str, namespace: str = "default") -> str:
    return istio("Gateway", name, f"selector: {{istio: edge}}, servers: [{', '.join(servers)}]", namespace)


def for_service(name: str, number: int, host: str, service: str) -> str:
    """A Gateway for the workloads of Services, as the Gateway API's are translated."""
    server = f"{{port: {{number: {number}, name: http, protocol: HTTP}}, hosts: [{host}]}}"
    named = f"internal.istio.io/gateway-service: '{service}'"
    return istio("Gateway", name, f"servers: [{server}]", "istio-system", named)


def http(number: int, host: str, more: str = "") -> str:
    return f"{{port: {{number: {number}, name: http-{number}, protocol: HTTP}}, hosts: [{host}]{more}}}"


def tls(host: str, mode: str = "PASSTHROUGH", name: str = "tls", more: str = "") -> str:
    protocol = "TLS" if mode == "PASSTHROUGH" else "HTTPS"
    port = f"{{number: 443, name: {name}, protocol: {protocol}}}"
    return f"{{port: {port}, hosts: [{host}], tls: {{mode: {mode}{more}}}}}"


def rule(name: str, hosts: str, to: str, *, gateways: str = "", match: str = "", namespace: str = "default") -> str:
    bound = f", gateways: [{gateways}]" if gateways else ""
    route = f"{{{match}route: [{{destination: {{host: {to}}}}}]}}"
    return istio("VirtualService", name, f"hosts: [{hosts}]{bound}, http: [{route}]", namespace)


def tcp_rule(name: str, host: str, to: str, match: str = "") -> str:
    return istio("VirtualService", name, f"hosts: [{host}], tcp: [{{{match}route: [{{destination: {{host: {to}}}}}]}}]")


def sni_rule(name: str, host: str, to: str, gateways: str, namespace: str = "default") -> str:
    route = f"{{match: [{{sniHosts: [{host}]}}], route: [{{destination: {{host: {to}}}}}]}}"
    return istio("VirtualService", name, f"hosts: [{host}], gateways: [{gateways}], tls: [{route}]", namespace)


def entry(name: str, host: str, ports: str, more: str = "resolution: DNS", namespace: str = "default") -> str:
    return istio("ServiceEntry", name, f"hosts: ['{host}'], ports: [{ports}], {more}", namespace)


def edge_entry(name: str, ports: str) -> str:
    """A ServiceEntry that lists the gateway's own address among its endpoints."""
    more = "resolution: STATIC, location: MESH_INTERNAL, endpoints: [{address: 1.1.1.1}]"
    return entry(name, f"{name}.istio-system.svc.cluster.local", ports, more, "istio-system")


def service(name: str, ports: str, ip: str, *, more: str = "", labels: str = "", namespace: str = "default") -> str:
    metadata = f"{{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}"
    spec = f"{{clusterIP: {ip}, ports: [{ports}]{more}}}"
    return f"---\n{{apiVersion: v1, kind: Service, metadata: {metadata}, spec: {spec}}}\n"


def external(name: str, target: str) -> str:
    spec = f"{{type: ExternalName, externalName: {target}, ports: [{{name: http, port: 80}}]}}"
    return f"---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: default}}, spec: {spec}}}\n"


def request(host: str, port: int = 80, path: str = "/", **more: Any) -> dict[str, Any]:
    return {"port": port, "protocol": "http", "host_header": host, "path": path, **more}


def secure(host: str, port: int = 443, **more: Any) -> dict[str, Any]:
    return request(host, port, tls="tls", **more)


def tcp(port: int, address: str = "1.3.3.7", **more: Any) -> dict[str, Any]:
    return {"port": port, "protocol": "tcp", "address": address, **more}


def ends(proxy: dict[str, Any], config: str, *calls: dict[str, Any]) -> list[str]:
    case = {"kind": "traffic-simulation", "proxy": proxy, "config_yaml": config, "calls": list(calls)}
    return [_end(result) for result in answer(case)["calls"]]


def _end(result: dict[str, Any]) -> str:
    if result["error"]:
        return str(result["error"])
    destination = result["destination"]
    if isinstance(destination, str):
        return destination
    return f"{destination['host'] or destination['direction']} {destination['port']}"


LOCAL = "default.svc.cluster.local"
OWN = "own.istio-system.svc.cluster.local"
AT_GATEWAYS = {
    "nothing is bound": (gateway("g", http(80, "a.com")), [(request("a.com"), "no route")]),
    "a rule for another host": (
        gateway("g", http(80, "a.com")) + rule("r", "b.com", "b", gateways="g"),
        [(request("a.com"), "no route")],
    ),
    "a port without a server": (
        gateway("g", http(80, "a.com")) + rule("r", "a.com", "b", gateways="g"),
        [
            (request("a.com"), "b.default 80"),
            (request("x.com"), "no virtual host"),
            (request("a.com", 81), "no listener"),
        ],
    ),
    "a redirect needs no rule": (
        gateway("g", http(80, "a.com", ", tls: {httpsRedirect: true}")),
        [(request("a.com"), "tls redirect 301")],
    ),
    "requests after connections of one port": (
        gateway("g", "{port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}")
        + gateway("h", http(80, "a.com"))
        + istio("VirtualService", "r", "hosts: ['*'], gateways: [g], tcp: [{route: [{destination: {host: b}}]}]")
        + rule("s", "a.com", "c", gateways="h"),
        [(tcp(80), "b.default 80"), (request("a.com"), "b.default 80")],
    ),
    "TLS that ends here": (
        gateway("g", tls("a.com", "SIMPLE", more=", credentialName: c")) + rule("r", "a.com", "b", gateways="g"),
        [
            (secure("a.com"), "b.default 443"),
            (secure("x.com"), "no filter chain"),
            (request("a.com", 443), "no filter chain"),
        ],
    ),
    "TLS that passes goes by its name": (
        gateway("g", tls("'*.com'")) + sni_rule("r", "a.com", "b", "g") + sni_rule("s", "a.com", "c", "g"),
        [(secure("a.com"), "b.default 443"), (secure("x.com"), "no filter chain")],
    ),
    "each namespace may have its own names of one wildcard": (
        gateway("g", tls("one/*.com", name="one"), tls("two/*.com", name="two"))
        + sni_rule("r", "a.com", "a", "default/g", "one")
        + sni_rule("s", "b.com", "b", "default/g", "two")
        + sni_rule("t", "c.com", "c", "default/g", "three"),
        [
            (secure("a.com"), "a.one 443"),
            (secure("b.com"), "b.two 443"),
            (secure("c.com"), "no filter chain"),
        ],
    ),
    "a wildcard is the first Gateway's": (
        gateway("g", tls("'*.com'")) + gateway("h", tls("'*.com'")) + sni_rule("r", "a.com", "b", "h"),
        [(secure("a.com"), "no listener")],
    ),
    "a ServiceEntry says where the gateway listens": (
        gateway("g", http(80, "a.com"))
        + edge_entry("own", "{number: 80, targetPort: 8080, name: http, protocol: HTTP}")
        + rule("r", "a.com", "b", gateways="g"),
        [(request("a.com", 8080), "b.default 80"), (request("a.com"), "no listener")],
    ),
    "a Gateway that means the port itself is beside one that is led there": (
        gateway("g", http(80, "a.com"))
        + gateway("h", http(8080, "b.com"))
        + edge_entry("own", "{number: 80, targetPort: 8080, name: http, protocol: HTTP}")
        + rule("r", "a.com", "a", gateways="g")
        + rule("s", "b.com", "b", gateways="h"),
        [(request("a.com", 8080), "a.default 80"), (request("b.com", 8080), "b.default 8080")],
    ),
    "a Service that is for nobody's translation": (
        gateway("g", http(80, "a.com"))
        + service(
            "own", "{name: http, port: 80, targetPort: 8080}", "1.2.3.4", more=", selector: {istio: edge}",
            labels="experimental.istio.io/disable-gateway-port-translation: 'true'", namespace="istio-system",
        )
        + rule("r", "a.com", "b", gateways="g"),
        [(request("a.com"), "b.default 80"), (request("a.com", 8080), "no listener")],
    ),
    "a Gateway for a Service has its ports only": (
        for_service("g", 80, "a.com", OWN)
        + for_service("h", 82, "a.com", OWN)
        + edge_entry("own", "{number: 80, targetPort: 8080, name: http, protocol: HTTP}")
        + rule("r", "a.com", "b", gateways="istio-system/g, istio-system/h"),
        [
            (request("a.com", 8080), "b.default 80"),
            (request("a.com"), "no listener"),
            (request("a.com", 82), "no listener"),
        ],
    ),
    "a Gateway for several Services": (
        for_service("g", 80, "a.com", f"{OWN},two.istio-system.svc.cluster.local")
        + edge_entry("own", "{number: 80, targetPort: 8080, name: http, protocol: HTTP}")
        + edge_entry("two", "{number: 80, targetPort: 8081, name: http, protocol: HTTP}")
        + edge_entry("three", "{number: 80, targetPort: 8082, name: http, protocol: HTTP}")
        + rule("r", "a.com", "b", gateways="istio-system/g"),
        [
            (request("a.com", 8080), "b.default 80"),
            (request("a.com", 8081), "b.default 80"),
            (request("a.com", 8082), "no listener"),
        ],
    ),
    "ports that lead to one place share it": (
        for_service("g", 80, "a.com", OWN)
        + for_service("h", 81, "a.com", OWN)
        + edge_entry(
            "own",
            "{number: 80, targetPort: 8080, name: one, protocol: HTTP}, "
            "{number: 81, targetPort: 8080, name: two, protocol: HTTP}",
        )
        + rule("r", "a.com", "a", gateways="istio-system/g", match="match: [{uri: {prefix: /a}}], ")
        + rule("s", "a.com", "b", gateways="istio-system/h", match="match: [{uri: {prefix: /b}}], "),
        [(request("a.com", 8080, "/a"), "a.default 80"), (request("a.com", 8080, "/b"), "b.default 81")],
    ),
    "a server with TLS that names a host of an earlier one is passed over with all its hosts": (
        gateway("g", tls("a.com, b.com", "SIMPLE", more=", credentialName: c"))
        + gateway("h", tls("b.com, c.com", "SIMPLE", more=", credentialName: c"))
        + gateway("i", tls("c.com", "SIMPLE", more=", credentialName: c"))
        + rule("r", "a.com, b.com", "one", gateways="g")
        + rule("s", "b.com, c.com", "two", gateways="h")
        + rule("t", "c.com", "three", gateways="i"),
        [
            (secure("a.com"), "one.default 443"),
            (secure("b.com"), "one.default 443"),
            (secure("c.com"), "three.default 443"),
        ],
    ),
    "a redirect to https has its hosts as a server with TLS has": (
        gateway("g", http(80, "'*'", ", tls: {httpsRedirect: true}"))
        + gateway("h", http(80, "a.com, '*'", ", tls: {httpsRedirect: true}"))
        + gateway("i", http(80, "a.com"))
        + rule("r", "a.com", "one", gateways="h")
        + rule("s", "a.com", "two", gateways="i"),
        [(request("a.com"), "two.default 80"), (request("b.com"), "tls redirect 301")],
    ),
    "of the Services of a Gateway chosen by labels the first leads to its port": (
        gateway("g", http(80, "a.com"))
        + edge_entry("other", "{number: 80, targetPort: 8081, name: http, protocol: HTTP}")
        + edge_entry("own", "{number: 80, targetPort: 8080, name: http, protocol: HTTP}")
        + rule("r", "a.com", "b", gateways="g"),
        [(request("a.com", 8081), "b.default 80"), (request("a.com", 8080), "no listener")],
    ),
    "connections at a gateway go by port and name, not by addresses and callers": (
        gateway("g", "{port: {number: 90, name: tcp, protocol: TCP}, hosts: ['*']}", tls("'*'"))
        + istio(
            "VirtualService", "r",
            "hosts: ['*'], gateways: [g], tcp: ["
            "{match: [{port: 91}], route: [{destination: {host: w0}}]}, "
            "{match: [{destinationSubnets: [10.0.0.0/8], sourceLabels: {a: b}}], route: [{destination: {host: w1}}]}, "
            "{route: [{destination: {host: w2}}]}], tls: ["
            "{match: [{sniHosts: [a.com], destinationSubnets: [10.0.0.0/8]}], route: [{destination: {host: w3}}]}]",
        ),
        [(tcp(90), "w1.default 90"), (secure("a.com"), "w3.default 443")],
    ),
    "of names that are given away a later rule has none at all": (
        gateway("g", tls("'*'")) + gateway("h", tls("c.com", "SIMPLE", more=", credentialName: c"))
        + sni_rule("r", "a.com", "one", "g") + sni_rule("s", "a.com, b.com", "two", "g")
        + sni_rule("t", "c.com", "three", "g") + rule("u", "c.com", "four", gateways="h"),
        [
            (secure("a.com"), "one.default 443"),
            (secure("b.com"), "no filter chain"),
            (secure("c.com"), "four.default 443"),
        ],
    ),
    "mutual TLS that passes goes by the names of clusters": (
        gateway("g", tls("'*.local'", "AUTO_PASSTHROUGH").replace("HTTPS", "TLS"))
        + service("w", "{name: http, port: 80}", "1.2.3.4"),
        [
            (request("w", 443, tls="mtls", sni=f"outbound_.80_._.w.{LOCAL}"), f"w.{LOCAL} 80"),
            (request("w", 443, tls="tls", sni=f"outbound_.80_._.w.{LOCAL}"), "no filter chain"),
            (request("w", 443, tls="mtls", sni=f"outbound_.81_._.w.{LOCAL}"), "no filter chain"),
        ],
    ),
    "addresses are apart": (
        gateway("g", http(80, "a.com", ", bind: 10.0.0.1"))
        + gateway("h", "{bind: 10.0.0.2, port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}")
        + rule("r", "a.com", "a", gateways="g")
        + istio("VirtualService", "s", "hosts: ['*'], gateways: [h], tcp: [{route: [{destination: {host: b}}]}]"),
        [
            (request("a.com", address="10.0.0.1"), "a.default 80"),
            (tcp(80, "10.0.0.2"), "b.default 80"),
            (request("a.com"), "no listener"),
        ],
    ),
}  # fmt: skip
FILES = ", serverCertificate: cert.pem, privateKey: key.pem"
MUTUAL = f"mode: MUTUAL{FILES}, caCertificates: ca.pem"
MINE = {"mtls_secret_config_name": "file-cert:cert.pem~key.pem", "call_mode": "inbound"}
AT_SIDECARS = {
    "an entry without address takes the port": (
        entry("a", "a.com", "{number: 9999, name: tcp, protocol: TCP}")
        + entry("b", "b.com", "{number: 9999, name: tcp, protocol: TCP}"),
        [(tcp(9999), "a.com 9999"), (tcp(9998), "passthrough")],
    ),
    "ranges": (
        entry("a", "a.com", "{number: 443, name: tcp, protocol: TCP}", "addresses: [10.1.2.3/16], resolution: NONE")
        + entry("b", "b.com", "{number: 443, name: tcp, protocol: TCP}", "addresses: [10.1.9.9/16], resolution: NONE")
        + entry("c", "c.com", "{number: 443, name: tcp, protocol: TCP}", "addresses: [10.1.7.0/24], resolution: NONE"),
        [
            (tcp(443, "10.1.8.8"), "a.com 443"),
            (tcp(443, "10.1.7.7"), "c.com 443"),
            (tcp(443, "10.2.0.1"), "passthrough"),
        ],
    ),
    "TLS that no rule of its service is for is no call of the service": (
        service("w", "{name: tls, port: 92}", "1.2.3.4") + sni_rule("a", f"w.{LOCAL}", f"x.{LOCAL}", "mesh")
        + entry("b", "b.com", "{number: 443, name: tls, protocol: TLS}") + sni_rule("c", "'*.com'", "y.com", "mesh")
        + sni_rule("d", "b.com", "d.com", "mesh"),
        [
            (secure(f"w.{LOCAL}", 92, address="1.2.3.4"), "x.default 92"),
            (secure("other", 92, address="1.2.3.4"), "passthrough"),
            (tcp(92, "1.2.3.4"), "passthrough"),
            (secure("b.com"), "d.com 443"),
            (secure("b.org"), "passthrough"),
        ],
    ),
    "HTTP of undeclared ports without address goes by name, bytes to the first": (
        entry("a", "a.com", "{number: 81, name: some}") + entry("b", "b.com", "{number: 81, name: some}")
        + rule("r", "b.com", "c.com"),
        [
            (request("a.com", 81), "a.com 81"),
            (request("b.com", 81), "c.com 81"),
            (request("c.com", 81), "passthrough"),
            (tcp(81), "a.com 81"),
        ],
    ),
    "bytes are not for an undeclared port where an older service has HTTP": (
        entry("a", "a.com", "{number: 81, name: http, protocol: HTTP}")
        + entry("b", "b.com", "{number: 81, name: some}")
        + entry("c", "c.com", "{number: 82, name: some}")
        + entry("d", "d.com", "{number: 82, name: http, protocol: HTTP}"),
        [
            (request("b.com", 81), "b.com 81"),
            (tcp(81), "passthrough"),
            (request("d.com", 82), "d.com 82"),
            (tcp(82), "c.com 82"),
        ],
    ),
    "of names and ranges that overlap the first rule has what both name": (
        service("w", "{name: tcp, port: 90}", "1.2.3.4") + service("v", "{name: tcp, port: 90}", "11.0.0.1")
        + istio(
            "VirtualService", "r", "hosts: [w, v], tcp: ["
            "{match: [{destinationSubnets: [1.0.0.0/8]}], route: [{destination: {host: one.example}}]}, "
            "{match: [{destinationSubnets: [1.2.3.4/8, 11.0.0.0/8]}], route: [{destination: {host: two.example}}]}]",
        )
        + entry("a", "a.com", "{number: 443, name: tls, protocol: TLS}")
        + entry("b", "b.com", "{number: 443, name: tls, protocol: TLS}")
        + sni_rule("s", "a.com", "one.example", "mesh") + sni_rule("t", "a.com, b.com", "two.example", "mesh"),
        [
            (tcp(90, "1.2.3.4"), "one.example 90"),
            (tcp(90, "11.0.0.1"), "two.example 90"),
            (secure("a.com"), "one.example 443"),
            (secure("b.com"), "two.example 443"),
        ],
    ),
    "a rule of connections for all addresses": (
        service("w", "{name: tcp, port: 90}, {name: some, port: 91}", "1.2.3.4")
        + tcp_rule("r", "w", "one.example", "match: [{destinationSubnets: [0.0.0.0/0]}], "),
        [(tcp(90, "1.2.3.4"), "one.example 90"), (tcp(91, "1.2.3.4"), "one.example 91")],
    ),
    "addresses come before the protocol where nobody declared one": (
        service("w", "{name: some, port: 91}", "1.2.3.4")
        + tcp_rule("r", "w", "one.example", "match: [{destinationSubnets: [1.0.0.0/8]}], "),
        [(tcp(91, "1.2.3.4"), "one.example 91"), (request("w", 91, address="1.2.3.4"), "one.example 91")],
    ),
    "what selects workloads is called at their addresses": (
        entry(
            "e", "sel.example", "{number: 70, name: tcp, protocol: TCP}, {number: 81, name: some}, "
            "{number: 82, name: tls, protocol: TLS}, {number: 80, name: http, protocol: HTTP}",
            "resolution: NONE, workloadSelector: {labels: {app: old}}",
        )
        + istio("WorkloadEntry", "old", "address: 1.2.3.4, labels: {app: old}")
        + istio("WorkloadEntry", "named", "address: name.example, labels: {app: old}"),
        [
            (tcp(70, "1.2.3.4"), "sel.example 70"),
            (tcp(70, "1.2.3.5"), "passthrough"),
            (request("any", 81, address="1.2.3.4"), "sel.example 81"),
            (secure("any", 82, address="1.2.3.4"), "sel.example 82"),
            (secure("sel.example", 82), "passthrough"),
            (request("sel.example", 80), "sel.example 80"),
        ],
    ),
    "a host of TLS is asked for by its other names too": (
        external("alias", "b.com") + entry("b", "b.com", "{number: 443, name: tls, protocol: TLS}"),
        [
            (secure("alias"), "b.com 443"),
            (secure(f"alias.{LOCAL}"), "b.com 443"),
            (secure("other"), "passthrough"),
        ],
    ),
    "another name is there if the Sidecar imports it": (
        istio("Sidecar", "s", f"egress: [{{hosts: [./w.{LOCAL}, ./one.{LOCAL}]}}]")
        + external("one", f"w.{LOCAL}") + external("two", f"w.{LOCAL}")
        + service("w", "{name: http, port: 80}", "1.2.3.4"),
        [(request("one"), f"w.{LOCAL} 80"), (request("two"), "passthrough")],
    ),
    "a bound listener of HTTP takes nothing else, a captured one leaves the rest": (
        istio(
            "Sidecar", "s",
            "egress: [{port: {number: 90, protocol: HTTP, name: a}, bind: 127.0.0.1, captureMode: NONE, hosts: [./*]}, "
            "{port: {number: 91, protocol: HTTP, name: b}, hosts: [./*]}]",
        )
        + service("w", "{name: http, port: 90}, {name: http-more, port: 91}", "1.2.3.4"),
        [
            (request("w", 90, address="127.0.0.1"), f"w.{LOCAL} 90"),
            (tcp(90, "127.0.0.1"), "protocol error"),
            (secure("w", 90, address="127.0.0.1"), "protocol error"),
            (request("w", 91), f"w.{LOCAL} 91"),
            (tcp(91), "passthrough"),
        ],
    ),
    "a rule for an address": (
        service("w", "{name: http, port: 80}", "1.2.3.4") + rule("r", "'2001:db8::1'", f"w.{LOCAL}"),
        [(request("[2001:db8::1]"), f"w.{LOCAL} 80")],
    ),
    "ranges of undeclared ports": (
        entry("a", "a.com", "{number: 81, name: some}", "addresses: [10.1.0.0/16], resolution: NONE")
        + entry("b", "b.com", "{number: 81, name: http, protocol: HTTP}"),
        [
            (request("a.com", 81), "a.com 81"),
            (request("b.com", 81), "b.com 81"),
            (request("b.com", 81, address="10.1.0.1"), "a.com 81"),
            (tcp(81, "10.1.0.1"), "a.com 81"),
            (tcp(81, "10.2.0.1"), "passthrough"),
        ],
    ),
    "a host that looks like a Service's has the short forms of its name": (
        entry("any", f"api.{LOCAL}", "{number: 80, name: http, protocol: HTTP}", namespace="default")
        + entry("more", "web.other.svc.cluster.local", "{number: 80, name: http, protocol: HTTP}"),
        [
            (request("api"), "api.default 80"),
            (request("any"), "passthrough"),
            (request("web.other"), "web.other 80"),
            (request("web"), "passthrough"),
            (request("more"), "passthrough"),
        ],
    ),
    "names of TLS": (
        entry("a", "a.com", "{number: 443, name: tls, protocol: TLS}"),
        [(secure("a.com"), "a.com 443"), (secure("b.com"), "passthrough"), (tcp(443), "passthrough")],
    ),
    "another name for a Service": (
        external("alias", "real.default.svc.cluster.local") + service("real", "{name: http, port: 80}", "1.2.3.4"),
        [(request("alias"), "real.default.svc.cluster.local 80")],
    ),
    "names in a circle, and of nobody": (
        external("a", "b.default.svc.cluster.local")
        + external("b", "a.default.svc.cluster.local")
        + external("c", "example.com"),
        [(request("a"), "passthrough"), (request("c"), "passthrough")],
    ),
    "the proxy's own ports lead nowhere": (
        "",
        [(tcp(15001), "blackhole"), (tcp(15006, call_mode="inbound"), "blackhole")],
    ),
    "a name that only a rule has is served on 80, where anybody listens there": (
        rule("r", "example.com", "w") + service("w", "{name: http, port: 81}", "1.2.3.4"),
        [(request("example.com"), "passthrough"), (request("example.com", 81), "passthrough")],
    ),
    "hosts of one rule share their ports, and what is no Service is on 80 too": (
        rule("r", "example.com, w, v", f"w.{LOCAL}")
        + service("w", "{name: http, port: 80}", "1.2.3.4")
        + service("v", "{name: http, port: 90}", "1.2.3.5"),
        [
            (request("example.com"), f"w.{LOCAL} 80"),
            (request("example.com", 90), f"w.{LOCAL} 80"),
            (request(f"w.{LOCAL}", 90), f"w.{LOCAL} 80"),
            (request(f"v.{LOCAL}"), f"w.{LOCAL} 80"),
            (request("example.org", 90), "passthrough"),
        ],
    ),
    "what only a rule sends to is no host of its own": (
        istio("Sidecar", "s", f"egress: [{{hosts: [default/w.{LOCAL}]}}]")
        + rule("r", "w", f"v.{LOCAL}")
        + service("w", "{name: http, port: 80}", "1.2.3.4")
        + service("v", "{name: http, port: 80}, {name: http-more, port: 90}", "1.2.3.5"),
        [(request("w"), f"v.{LOCAL} 80"), (request("v"), "passthrough"), (request("v", 90), "passthrough")],
    ),
    "the own namespace's word on a host comes first": (
        entry("others", "api.example", "{name: http, number: 80, protocol: HTTP}", namespace="a")
        + entry("mine", "api.example", "{name: http, number: 90, protocol: HTTP}", namespace="default"),
        [(request("api.example"), "passthrough"), (request("api.example", 90), "api.example 90")],
    ),
    "a name in full is served on 80 where its Service has no such port": (
        service("x", "{name: http, port: 80}", "1.2.3.3")
        + service("w", "{name: http, port: 90}", "1.2.3.4")
        + rule("r", "w", f"w.{LOCAL}"),
        [
            (request(f"w.{LOCAL}"), f"w.{LOCAL} 90"),
            (request(f"x.{LOCAL}."), f"x.{LOCAL} 80"),
            (request(f"x.{LOCAL}.:80"), f"x.{LOCAL} 80"),
            (request("w"), "passthrough"),
        ],
    ),
    "of two rules for one host the first holds that has a route for the caller and the port": (
        service("w", "{name: http, port: 80}, {name: http-more, port: 90}", "1.2.3.4")
        + tcp_rule("a", "w", "tcp.example")
        + rule("b", "w", "others.example", match="match: [{sourceLabels: {app: b}}], ")
        + rule("c", "w", "of90.example", match="match: [{port: 90}], ")
        + rule("d", "w", "mine.example")
        + rule("e", "w", "late.example"),
        [(request("w"), "mine.example 80"), (request("w", 90), "of90.example 90")],
    ),
    "without a route in any rule for it a host is served as if there were none": (
        service("w", "{name: http, port: 80}", "1.2.3.4")
        + rule("a", "w", "others.example", match="match: [{sourceLabels: {app: b}}], ")
        + rule("b", "'*.cluster.local'", "wide.example"),
        [(request("w"), f"w.{LOCAL} 80")],
    ),
    "a match of connections may name gateways and callers at once": (
        service("w", "{name: tcp, port: 90}", "1.2.3.4")
        + tcp_rule("a", "w", f"x.{LOCAL}", "match: [{gateways: [mesh], sourceLabels: {app: b}}], ")
        + tcp_rule("b", "w", f"z.{LOCAL}", "match: [{gateways: [mesh], sourceLabels: {app: a}}], "),
        [(tcp(90, "1.2.3.4"), "z.default 90")],
    ),
    "connections are asked by all rules of a host, the oldest first": (
        service("w", "{name: tcp, port: 90}, {name: tcp-more, port: 91}, {name: tls, port: 92}", "1.2.3.4")
        + rule("a", "w", f"v.{LOCAL}")
        + tcp_rule("b", "w", f"x.{LOCAL}", "match: [{port: 90}], ")
        + tcp_rule("c", "'*.cluster.local'", f"z.{LOCAL}"),
        [
            (tcp(90, "1.2.3.4"), "x.default 90"),
            (tcp(91, "1.2.3.4"), "z.default 91"),
            (tcp(92, "1.2.3.4"), f"w.{LOCAL} 92"),
        ],
    ),
    "a namespace's own rules come before those for everybody, older ones too": (
        service("w", "{name: http, port: 80}, {name: tcp, port: 90}", "1.2.3.4")
        + rule("a", "w", "a.example", namespace="default")
        + tcp_rule("b", "w", f"x.{LOCAL}")
        + istio(
            "VirtualService", "z",
            "hosts: [w], exportTo: ['.'], http: [{route: [{destination: {host: mine.example}}]}], "
            f"tcp: [{{route: [{{destination: {{host: y.{LOCAL}}}}}]}}]",
        ),
        [(request("w"), "mine.example 80"), (tcp(90, "1.2.3.4"), "y.default 90")],
    ),
    "a destination without a port is the only port of its host, else the one that was called": (
        service("w", "{name: http, port: 80}, {name: tcp, port: 90}", "1.2.3.4")
        + service("one", "{name: http, port: 8080}", "1.2.3.5")
        + service("two", "{name: http, port: 80}, {name: http-more, port: 81}, {name: tcp, port: 90}", "1.2.3.6")
        + service("other", "{name: http, port: 81}, {name: http-more, port: 82}", "1.2.3.7")
        + istio(
            "VirtualService", "r",
            "hosts: [w], http: ["
            + "".join(
                f"{{match: [{{uri: {{exact: /{host}}}}}], route: [{{destination: {{host: {host}}}}}]}}, "
                for host in ("one", "two", "other")
            )
            + "{route: [{destination: {host: two, port: {number: 99}}}]}], "
            "tcp: [{route: [{destination: {host: two}}]}]",
        ),
        [
            (request("w", path="/one", address="1.2.3.4"), f"one.{LOCAL} 8080"),
            (request("w", path="/two", address="1.2.3.4"), f"two.{LOCAL} 80"),
            (request("w", path="/other", address="1.2.3.4"), f"other.{LOCAL} 80"),
            (request("w", path="/99", address="1.2.3.4"), f"two.{LOCAL} 99"),
            (tcp(90, "1.2.3.4"), f"two.{LOCAL} 90"),
        ],
    ),
    "of two rules for one SNI the first holds": (
        service("w", "{name: tls, port: 92}", "1.2.3.4")
        + sni_rule("a", f"w.{LOCAL}", f"x.{LOCAL}", "mesh")
        + sni_rule("b", f"w.{LOCAL}", f"z.{LOCAL}", "mesh"),
        [(secure(f"w.{LOCAL}", 92, address="1.2.3.4"), "x.default 92")],
    ),
    "TLS that ends at the sidecar": (
        OPEN + istio(
            "Sidecar", "s",
            f"ingress: [{{port: {{number: 90, protocol: HTTPS, name: a}}, tls: {{mode: SIMPLE{FILES}}}}}, "
            f"{{port: {{number: 91, protocol: HTTPS, name: b}}, tls: {{{MUTUAL}}}}}]",
        ),
        [
            (secure("a", 90, **MINE), "inbound 90"),
            (request("a", 90, tls="mtls", **MINE), "invalid mtls"),
            (request("a", 90, call_mode="inbound"), "no filter chain"),
            (secure("a", 91, **MINE), "invalid mtls"),
            (request("a", 91, tls="mtls", **MINE), "inbound 91"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("world", AT_GATEWAYS)
def test_calls_at_a_gateway(world: str) -> None:
    config, rows = AT_GATEWAYS[world]
    assert ends(EDGE, config, *(call for call, _ in rows)) == [end for _, end in rows]


@pytest.mark.parametrize("world", AT_SIDECARS)
def test_calls_at_a_sidecar(world: str) -> None:
    config, rows = AT_SIDECARS[world]
    assert ends(SIDECAR, config, *(call for call, _ in rows)) == [end for _, end in rows]
