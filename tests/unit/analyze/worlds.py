"""For each message a world that has it, and what mends that world: (code, object, world, replacements)."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """`mends` are (text, other text): with these replacements the message is gone."""

    code: str
    resource: str
    world: str
    mends: tuple[tuple[str, str], ...]


SERVICE = """
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop},
 spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, labels: {app: web, version: v1}},
 spec: {containers: [{name: web, image: web}, {name: istio-proxy, image: proxy}]}, status: {podIP: 10.1.0.1}}
"""
EDGE = """
---
{apiVersion: v1, kind: Service, metadata: {name: edge, namespace: istio-system},
 spec: {selector: {istio: edge}, ports: [{name: http, port: 80}, {name: https, port: 443}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: edge-1, namespace: istio-system, labels: {istio: edge}},
 spec: {containers: [{name: istio-proxy, image: proxy}]}}
"""
GATEWAY = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [web.example.com]}]}
"""


def istio(kind: str, name: str, spec: str, *, group: str = "networking", namespace: str = "shop") -> str:
    metadata = f"{{name: {name}, namespace: {namespace}}}"
    return f"\n---\napiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n"


def namespace(name: str, labels: str = "") -> str:
    return f"\n---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{{labels}}}}}}}\n"


def rule(name: str, http: str, *, hosts: str = "web", gateways: str = "") -> str:
    bound = f", gateways: [{gateways}]" if gateways else ""
    return istio("VirtualService", name, f"{{hosts: [{hosts}]{bound}, http: [{http}]}}")


def deployment(extra: str = "", containers: str = "{name: web, image: web}") -> str:
    return (
        "\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, "
        f"spec: {{template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{containers}]{extra}}}}}}}}}\n"
    )


def service(name: str, ports: str, more: str = "") -> str:
    return (
        f"\n---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, "
        f"spec: {{selector: {{app: web}}, ports: [{ports}]{more}}}}}\n"
    )


def patch(operation: str, target: str, more: str = "") -> str:
    body = f"applyTo: {target}, match: {{context: ANY{more}}}, patch: {{operation: {operation}, value: {{name: f}}}}"
    return f"{{{body}}}"


def filters(*patches: str, priority: int = 0) -> str:
    return istio("EnvoyFilter", "f", f"{{priority: {priority}, configPatches: [{', '.join(patches)}]}}")


def webhook(name: str, config: str, hook: str = "h.istio.io", kind: str = "Mutating") -> str:
    return (
        f"\n---\n{{apiVersion: admissionregistration.k8s.io/v1, kind: {kind}WebhookConfiguration, "
        f"metadata: {{name: {name}}}, webhooks: [{{name: {hook}, clientConfig: {config}, "
        "namespaceSelector: {matchLabels: {istio-injection: enabled}}}]}\n"
    )


def entry(name: str, protocol: str, more: str = "addresses: [240.0.0.9]") -> str:
    ports = f"{{number: 9000, name: p, protocol: {protocol}}}"
    return istio("ServiceEntry", name, f"{{hosts: [db.example.com], ports: [{ports}], resolution: STATIC, {more}}}")


MESH_NETWORKS = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {meshNetworks: "networks: {a: {endpoints: [{fromRegistry: elsewhere}]}}"}
"""
INJECTOR = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data:
  values: '{"global": {"hub": "h", "tag": "2", "proxy": {"image": "p"}},
            "sidecarInjectorWebhook": {"enableNamespacesByDefault": true}}'
"""
ROUTE = "{route: [{destination: {host: web}}]}"
POLICY = istio("AuthorizationPolicy", "p", "{selector: {matchLabels: {app: gone}}}", group="security")
SECRET_GATEWAY = GATEWAY.replace(
    "number: 80, name: http, protocol: HTTP}",
    "number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: cert}",
)
SECRET = """
---
{apiVersion: v1, kind: Secret, metadata: {name: cert, namespace: istio-system}, stringData: {tls.crt: x, tls.key: y}}
"""
EDGE_NAMED = "VirtualService shop/r"

ASKING = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - name: guard
      envoyExtAuthzHttp: {service: nobody.shop, port: 80}
"""
CASES: tuple[Case, ...] = (
    Case(
        "IST0002",
        EDGE_NAMED,
        SERVICE + rule("r", "{fault: {delay: {percent: 10, fixedDelay: 1s}}, route: [{destination: {host: web}}]}"),
        (("percent: 10", "percentage: {value: 10}"),),
    ),
    Case("IST0101", EDGE_NAMED, SERVICE + rule("r", ROUTE.replace("web", "gone")), (("host: gone", "host: web"),)),
    Case("IST0102", "Namespace shop", namespace("shop"), (("labels: {}", "labels: {istio-injection: disabled}"),)),
    Case(
        "IST0103",
        "Pod shop/web-1",
        namespace("shop", "istio-injection: enabled") + SERVICE.replace(", {name: istio-proxy, image: proxy}", ""),
        (("{name: web, image: web}", "{name: istio-proxy, image: proxy}"),),
    ),
    Case("IST0106", EDGE_NAMED, SERVICE + rule("r", ROUTE, hosts="'bad host'"), (("'bad host'", "web"),)),
    Case(
        "IST0107",
        "Service shop/web",
        SERVICE.replace(
            "name: web, namespace: shop}", "name: web, namespace: shop, annotations: {proxy.istio.io/config: '{}'}}", 1
        ),
        (("annotations: {proxy.istio.io/config: '{}'}", "annotations: {networking.istio.io/exportTo: .}"),),
    ),
    Case(
        "IST0108",
        "Namespace shop",
        "{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {networking.istio.io/exprot: x}}}",
        (("networking.istio.io/exprot", "example.com/exprot"),),
    ),
    Case("IST0109", "VirtualService shop/b", SERVICE + rule("a", ROUTE) + rule("b", ROUTE), (("name: b", "name: a"),)),
    Case(
        "IST0110",
        "Sidecar shop/b",
        SERVICE
        + istio("Sidecar", "a", "{workloadSelector: {labels: {app: web}}, egress: [{hosts: [./*]}]}")
        + istio("Sidecar", "b", "{workloadSelector: {labels: {version: v1}}, egress: [{hosts: [./*]}]}"),
        (("{version: v1}}, egress", "{version: v2}}, egress"),),
    ),
    Case(
        "IST0111",
        "Sidecar shop/b",
        SERVICE
        + istio("Sidecar", "a", "{egress: [{hosts: [./*]}]}")
        + istio("Sidecar", "b", "{egress: [{hosts: [./*]}]}"),
        (("name: b, namespace: shop", "name: b, namespace: bank"),),
    ),
    Case(
        "IST0112",
        EDGE_NAMED,
        SERVICE.replace("port: 80}", "port: 80}, {name: http-b, port: 81}") + rule("r", ROUTE),
        (("{host: web}", "{host: web, port: {number: 81}}"),),
    ),
    Case(
        "IST0116",
        "Deployment shop/web",
        namespace("shop", "istio-injection: enabled")
        + deployment()
        + service("a", "{name: http, port: 80}")
        + service("b", "{name: u, port: 80, protocol: UDP}"),
        (("protocol: UDP", "protocol: TCP"),),
    ),
    Case("IST0118", "Service shop/a", service("a", "{name: amq, port: 5672}"), (("name: amq", "name: tcp-amq"),)),
    Case(
        "IST0123",
        "Namespace shop",
        namespace("shop", "istio-injection: enabled, istio.io/rev: canary"),
        ((", istio.io/rev: canary", ""),),
    ),
    Case(
        "IST0125",
        "Pod shop/web-1",
        SERVICE.replace(
            "name: web-1, namespace: shop,",
            "name: web-1, namespace: shop, annotations: {status.sidecar.istio.io/port: many},",
        ),
        (("port: many", "port: '15020'"),),
    ),
    Case("IST0126", "ConfigMap istio-system/istio", MESH_NETWORKS, (("elsewhere", "Kubernetes"),)),
    Case("IST0127", "AuthorizationPolicy shop/p", SERVICE + POLICY, (("app: gone", "app: web"),)),
    Case(
        "IST0128",
        "DestinationRule shop/d",
        SERVICE + istio("DestinationRule", "d", "{host: web, trafficPolicy: {tls: {mode: SIMPLE}}}"),
        (("mode: SIMPLE", "mode: SIMPLE, caCertificates: /etc/ca.pem"),),
    ),
    Case(
        "IST0129",
        "DestinationRule shop/d",
        SERVICE
        + istio(
            "DestinationRule",
            "d",
            "{host: web, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}",
        ),
        (("mode: SIMPLE", "mode: DISABLE"),),
    ),
    Case("IST0130", EDGE_NAMED, SERVICE + rule("r", f"{ROUTE}, {ROUTE}"), ((f"{ROUTE}, {ROUTE}", ROUTE),)),
    Case(
        "IST0131",
        EDGE_NAMED,
        SERVICE
        + rule(
            "r",
            "{match: [{uri: {prefix: /a}}], route: [{destination: {host: web}}]}, "
            "{match: [{uri: {prefix: /a}}, {uri: {prefix: /b}}], route: [{destination: {host: web}}]}",
        ),
        (("[{uri: {prefix: /a}}, {uri: {prefix: /b}}]", "[{uri: {prefix: /b}}]"),),
    ),
    Case(
        "IST0132",
        EDGE_NAMED,
        SERVICE + EDGE + GATEWAY + rule("r", ROUTE, hosts="other.example.com", gateways="edge"),
        (("other.example.com", "web.example.com"),),
    ),
    Case(
        "IST0133",
        EDGE_NAMED,
        SERVICE + rule("r", "{fault: {abort: {percent: 10, httpStatus: 500}}, route: [{destination: {host: web}}]}"),
        (("percent: 10", "percentage: {value: 10}"),),
    ),
    Case(
        "IST0134",
        "ServiceEntry shop/a",
        entry("a", "TCP", "endpoints: [{address: 10.0.0.9}]"),
        (("protocol: TCP", "protocol: TLS"),),
    ),
    Case(
        "IST0135",
        "Pod shop/web-1",
        SERVICE.replace(
            "name: web-1, namespace: shop,",
            "name: web-1, namespace: shop, annotations: {sidecar.istio.io/inject: 'true'},",
        ),
        (("annotations: {sidecar.istio.io/inject: 'true'},", ""),),
    ),
    Case(
        "IST0136",
        "Pod shop/web-1",
        SERVICE.replace(
            "name: web-1, namespace: shop,",
            "name: web-1, namespace: shop, annotations: {sidecar.istio.io/logLevel: debug},",
        ),
        (("sidecar.istio.io/logLevel: debug", "proxy.istio.io/config: '{}'"),),
    ),
    Case(
        "IST0137",
        "Deployment shop/web",
        namespace("shop", "istio-injection: enabled")
        + deployment()
        + service("a", "{name: http, port: 80, targetPort: 8080}")
        + service("b", "{name: http, port: 90, targetPort: 8080}"),
        (("port: 90, targetPort: 8080", "port: 90, targetPort: 9090"),),
    ),
    Case(
        "IST0138",
        "Gateway shop/edge",
        EDGE + SECRET_GATEWAY + SECRET_GATEWAY.replace("name: edge, namespace", "name: edge2, namespace"),
        (("name: edge2, namespace", "name: edge, namespace"),),
    ),
    Case(
        "IST0139",
        "MutatingWebhookConfiguration i",
        webhook("i", "{service: {name: istiod, namespace: istio-system}}"),
        (("{service: {name: istiod, namespace: istio-system}}", "{url: 'https://istiod.example.com'}"),),
    ),
    Case(
        "IST0140",
        EDGE_NAMED,
        SERVICE
        + EDGE
        + GATEWAY
        + istio("DestinationRule", "d", "{host: web, subsets: [{name: v1, labels: {version: v1}}]}")
        + rule("inside", "{route: [{destination: {host: web, subset: v1}}]}")
        + rule("r", ROUTE, hosts="web.example.com", gateways="edge"),
        (("{route: [{destination: {host: web}}]}", "{route: [{destination: {host: web, subset: v1}}]}"),),
    ),
    Case("IST0144", "Deployment shop/web", deployment(", securityContext: {runAsUser: 1337}"), (("1337", "1338"),)),
    Case(
        "IST0145",
        "Gateway shop/edge",
        EDGE + GATEWAY + GATEWAY.replace("name: edge, namespace", "name: edge2, namespace"),
        (("name: edge2, namespace", "name: edge, namespace"),),
    ),
    Case(
        "IST0146",
        "Deployment shop/web",
        namespace("shop", "istio-injection: disabled")
        + webhook("i", "{url: 'https://istiod.example.com'}")
        + deployment(containers="{name: istio-proxy, image: auto}"),
        (("istio-injection: disabled", "istio-injection: enabled"),),
    ),
    Case(
        "IST0147",
        "Pod shop/web-1",
        SERVICE.replace("{name: istio-proxy, image: proxy}", "{name: istio-proxy, image: auto}"),
        (("image: auto", "image: proxy"),),
    ),
    Case("IST0148", "Namespace shop", namespace("shop") + INJECTOR, (('Default": true', 'Default": false'),)),
    Case(
        "IST0149",
        EDGE_NAMED,
        SERVICE
        + EDGE
        + GATEWAY
        + istio("RequestAuthentication", "a", "{}", group="security")
        + rule(
            "r",
            "{match: [{headers: {'@request.auth.claims.group': {exact: a}}}], route: [{destination: {host: web}}]}",
            hosts="web.example.com",
            gateways="edge",
        ),
        (("name: a, namespace: shop", "name: a, namespace: istio-system"),),
    ),
    Case(
        "IST0150",
        "Service shop/a",
        service("a", "{name: tcp, port: 9000}", ", type: ExternalName, externalName: a.example.com"),
        (("name: tcp", "name: http"),),
    ),
    Case(
        "IST0151",
        "EnvoyFilter shop/f",
        filters(patch("INSERT_BEFORE", "HTTP_FILTER")),
        (("priority: 0", "priority: 1"),),
    ),
    Case(
        "IST0152",
        "EnvoyFilter shop/f",
        filters(patch("REPLACE", "CLUSTER")),
        (("applyTo: CLUSTER", "applyTo: HTTP_FILTER"),),
    ),
    Case(
        "IST0153", "EnvoyFilter shop/f", filters(patch("ADD", "HTTP_ROUTE")), (("operation: ADD", "operation: MERGE"),)
    ),
    Case("IST0154", "EnvoyFilter shop/f", filters(patch("REMOVE", "HTTP_ROUTE")), (("HTTP_ROUTE", "HTTP_FILTER"),)),
    Case(
        "IST0155",
        "EnvoyFilter shop/f",
        filters(
            patch("ADD", "HTTP_FILTER", ", proxy: {proxyVersion: '^1'}"),
            patch("INSERT_AFTER", "HTTP_FILTER"),
        ),
        ((", proxy: {proxyVersion: '^1'}", ""),),
    ),
    Case(
        "IST0157",
        "Telemetry shop/t",
        istio("Telemetry", "t", "{accessLogging: [{filter: {expression: 'true'}}]}", group="telemetry"),
        (("filter: {expression: 'true'}", "providers: [{name: envoy}]"),),
    ),
    Case(
        "IST0158",
        "Namespace shop",
        namespace("shop", "istio-injection: enabled") + INJECTOR + SERVICE,
        (("image: proxy", "image: h/p:2"),),
    ),
    Case(
        "IST0159",
        "Telemetry shop/b",
        SERVICE
        + istio("Telemetry", "a", "{selector: {matchLabels: {app: web}}}", group="telemetry")
        + istio("Telemetry", "b", "{selector: {matchLabels: {version: v1}}}", group="telemetry"),
        (("matchLabels: {version: v1}", "matchLabels: {version: v2}"),),
    ),
    Case(
        "IST0160",
        "Telemetry shop/b",
        istio("Telemetry", "a", "{}", group="telemetry") + istio("Telemetry", "b", "{}", group="telemetry"),
        (("name: b, namespace: shop", "name: b, namespace: bank"),),
    ),
    Case("IST0161", "Gateway shop/edge", EDGE + SECRET_GATEWAY + SECRET, (("credentialName: cert", "privateKey: k"),)),
    Case(
        "IST0162",
        "Gateway shop/edge",
        EDGE + GATEWAY.replace("number: 80", "number: 81"),
        (("number: 81", "number: 80"),),
    ),
    Case(
        "IST0163",
        "MutatingWebhookConfiguration istio-sidecar-injector",
        webhook("istio-sidecar-injector", "{url: 'https://nowhere/inject'}"),
        (("https://nowhere/", "https://istiod.example.com/"),),
    ),
    Case(
        "IST0164",
        "ValidatingWebhookConfiguration istio-validator",
        webhook("istio-validator", "{url: 'https://192.0.2.1/validate'}", kind="Validating"),
        (("192.0.2.1", "istiod.example.com"),),
    ),
    Case(
        "IST0165",
        EDGE_NAMED,
        SERVICE + rule("r", ROUTE, gateways="shop/edge~istio-autogenerated-k8s-gateway~http"),
        (("shop/edge~istio-autogenerated-k8s-gateway~http", "mesh"),),
    ),
    Case(
        "IST0166",
        "AuthorizationPolicy shop/p",
        SERVICE.replace("version: v1}", "version: v1, gateway.networking.k8s.io/gateway-name: g}")
        + POLICY.replace("gone", "web"),
        ((", gateway.networking.k8s.io/gateway-name: g", ""),),
    ),
    Case(
        "IST0167",
        "Sidecar shop/a",
        namespace("shop", "istio.io/dataplane-mode: ambient") + istio("Sidecar", "a", "{egress: [{hosts: [./*]}]}"),
        (("istio.io/dataplane-mode: ambient", "istio-injection: enabled"),),
    ),
    Case(
        "IST0171",
        "ServiceEntry shop/a",
        "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: a, namespace: shop}, spec: "
        "{hosts: [a.example.com], ports: [{number: 80, name: h, protocol: HTTP}]}, "
        "status: {conditions: [{type: istio.io/WaypointBound, status: 'False', reason: R, message: m}]}}",
        (("status: 'False'", "status: 'True'"),),
    ),
    Case(
        "IST0173",
        "DestinationRule shop/d",
        SERVICE + istio("DestinationRule", "d", "{host: web, subsets: [{name: v2, labels: {version: v2}}]}"),
        (("labels: {version: v2}", "labels: {version: v1}"),),
    ),
    Case(
        "IST0174", "DestinationRule shop/d", SERVICE + istio("DestinationRule", "d", "{host: gone}"), (("gone", "web"),)
    ),
    Case(
        "IST0175",
        "Deployment istio-system/istiod",
        istio("RequestAuthentication", "a", "{}", group="security")
        + "\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: istiod, namespace: istio-system, labels: "
        "{app: istiod}}, spec: {template: {spec: {containers: [{name: d, env: [{name: X, value: 10.0.0.0/8}]}]}}}}",
        (("{name: X,", "{name: BLOCKED_CIDRS_IN_JWKS_URIS,"),),
    ),
    Case(
        "IST0176",
        "CustomResourceDefinition grpcroutes.gateway.networking.k8s.io",
        "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: "
        "grpcroutes.gateway.networking.k8s.io, annotations: {gateway.networking.k8s.io/bundle-version: v1.0.0}}}",
        (("v1.0.0", "v1.1.0"),),
    ),
    Case(
        "IST0177", "ServiceEntry shop/b", entry("a", "HTTP") + entry("b", "TLS"), (("protocol: TLS", "protocol: HTTP"),)
    ),
    Case(
        "PLT0001",
        EDGE_NAMED,
        SERVICE
        + rule(
            "r",
            "{match: [{uri: {prefix: /}}], route: [{destination: {host: web}}]}, "
            "{match: [{uri: {exact: /a}, method: {exact: GET}}], route: [{destination: {host: web}}]}",
        ),
        (("prefix: /}", "prefix: /b}"),),
    ),
    Case(
        "PLT0002",
        "DestinationRule shop/d",
        SERVICE
        + "\n---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {name: web-a, "
        "namespace: shop, labels: {kubernetes.io/service-name: web}}, endpoints: [{addresses: [10.1.0.1], conditions: "
        "{ready: true}, targetRef: {kind: Pod, name: web-1, namespace: shop}}], ports: [{name: http, port: 80}]}"
        + istio("DestinationRule", "d", "{host: web, subsets: [{name: v2, labels: {version: v2}}]}"),
        (("labels: {version: v2}", "labels: {version: v1}"),),
    ),
    Case(
        "PLT0003",
        EDGE_NAMED,
        SERVICE
        + rule("r", "{route: [{destination: {host: web}, weight: 100}, {destination: {host: web}, weight: 0}]}"),
        (("weight: 100", "weight: 50"), ("weight: 0", "weight: 50")),
    ),
    Case(
        "PLT0004",
        EDGE_NAMED,
        SERVICE + rule("r", "{route: [{destination: {host: web}, weight: 9}, {destination: {host: web}, weight: 1}]}"),
        (("weight: 9", "weight: 90"), ("weight: 1}", "weight: 10}")),
    ),
    Case(
        "PLT0005",
        "DestinationRule shop/d2",
        SERVICE
        + istio("DestinationRule", "d1", "{host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}}}")
        + istio("DestinationRule", "d2", "{host: web, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}"),
        (("name: d1", "name: d2"),),
    ),
    Case(
        "PLT0006",
        EDGE_NAMED,
        SERVICE.replace("name: http, port: 80", "name: tcp, port: 80") + rule("r", ROUTE),
        (("name: tcp", "name: http"),),
    ),
    Case(
        "PLT0007",
        EDGE_NAMED,
        SERVICE.replace("name: http, port: 80", "name: amq, port: 80") + rule("r", ROUTE),
        (("name: amq", "name: http"),),
    ),
    Case(
        "PLT0008",
        "Gateway shop/edge2",
        EDGE
        + GATEWAY
        + GATEWAY.replace("name: edge, namespace", "name: edge2, namespace").replace("protocol: HTTP", "protocol: TCP"),
        (("protocol: TCP", "protocol: HTTP"),),
    ),
    Case(
        "PLT0009",
        "DestinationRule shop/d",
        SERVICE
        + istio("PeerAuthentication", "p", "{mtls: {mode: STRICT}}", group="security")
        + istio("DestinationRule", "d", "{host: web, trafficPolicy: {tls: {mode: DISABLE}}}"),
        (("mode: STRICT", "mode: PERMISSIVE"),),
    ),
    Case(
        "PLT0010",
        EDGE_NAMED,
        SERVICE + rule("r", "{delegate: {name: gone}}", hosts="web.example.com"),
        (("{delegate: {name: gone}}", ROUTE),),
    ),
    Case(
        "PLT0010",
        "DestinationRule shop/d",
        SERVICE
        + istio(
            "DestinationRule",
            "d",
            "{host: web, trafficPolicy: {portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]}}",
        ),
        (("number: 81", "number: 80"),),
    ),
    *(
        Case(
            "PLT0010",
            EDGE_NAMED,
            SERVICE
            + rule("r", "{delegate: {name: d, namespace: team}}", hosts="web.example.com")
            + istio("VirtualService", "d", f"{{{wrong}, http: [{ROUTE}]}}", namespace="team"),
            ((f"{wrong}, ", ""),),
        )
        for wrong in ("exportTo: ['.', 'other']", "hosts: [web]")
    ),
    Case(
        "PLT0016",
        EDGE_NAMED,
        SERVICE
        + rule("r", "{match: [{uri: {prefix: /a}}], delegate: {name: d}}", hosts="web.example.com")
        + istio("VirtualService", "d", "{http: [{match: [{uri: {exact: /b}}], " + ROUTE[1:] + "]}"),
        (("exact: /b", "exact: /a/b"),),
    ),
    Case(
        "PLT0011",
        EDGE_NAMED,
        SERVICE + EDGE + GATEWAY + rule("r", ROUTE, hosts="web.example.com, other.example.com", gateways="edge"),
        ((", other.example.com", ""),),
    ),
    Case(  # sidecars use the rule for a host of the mesh, whatever the gateway serves
        "PLT0011",
        EDGE_NAMED,
        SERVICE + EDGE + GATEWAY + rule("r", ROUTE, hosts="web.example.com, web", gateways="edge"),
        (("gateways: [edge]", "gateways: [edge, mesh]"),),
    ),
    Case(
        "PLT0012",
        "DestinationRule shop/d",
        SERVICE
        + istio("DestinationRule", "d", "{host: web}")
        + rule("r", "{route: [{destination: {host: web, subset: v1}}]}"),
        (("{host: web}", "{host: web, subsets: [{name: v1, labels: {version: v1}}]}"),),
    ),
    Case(
        "PLT0014",
        "Gateway shop/edge2",
        EDGE
        + GATEWAY.replace("hosts: [web.example.com]", "hosts: ['*.example.com']")
        + GATEWAY.replace("name: edge, namespace", "name: edge2, namespace"),
        (("'*.example.com'", "'*.example.org'"),),
    ),
    Case(
        "PLT0018",
        "AuthorizationPolicy shop/p",
        SERVICE
        + ASKING
        + istio("AuthorizationPolicy", "p", "{action: CUSTOM, provider: {name: guard}, rules: [{}]}", group="security"),
        (("service: nobody.shop", "service: shop/web.shop.svc.cluster.local"),),
    ),
    *(
        Case(
            "PLT0021",
            f"ServiceEntry {where}/x",
            SERVICE
            + istio(
                "ServiceEntry",
                "x",
                "{hosts: [Web.shop.svc.cluster.local], ports: [{number: 80, name: http, protocol: HTTP}], "
                "resolution: STATIC, endpoints: [{address: 10.0.0.9}]}",
                namespace=where,
            ),
            (("[Web.shop.svc", "[web2.shop.svc"),),
        )
        for where in ("shop", "away")
    ),
)
