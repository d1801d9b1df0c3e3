"""What Istio takes, warns of and refuses, rule by rule: each row is a smallest object about one rule."""

from __future__ import annotations

from typing import Any

import pytest

from plait.api.decode import problems_of
from plait.api.problem import Level
from plait.api.yaml import objects, read_yaml

TAKEN, WARNED, REFUSED = "taken", "warned", "refused"

#: A whole spec, in which {} is where the row's text goes.
FRAMES = {
    "route": (
        "VirtualService",
        "{{hosts: [shop.example.com], http: [{{route: [{{destination: {{host: a.b}}}}], {}}}]}}",
    ),
    "answer": ("VirtualService", "{{hosts: [shop.example.com], http: [{{{}}}]}}"),
    "rule": ("VirtualService", "{{{}, http: [{{route: [{{destination: {{host: a.b}}}}]}}]}}"),
    "whole": ("VirtualService", "{{{}}}"),
    "server": ("Gateway", "{{servers: [{{{}}}]}}"),
    "tls": ("Gateway", "{{servers: [{{hosts: ['*'], port: {{number: 443, name: s, protocol: HTTPS}}, tls: {{{}}}}}]}}"),
    "policy": ("DestinationRule", "{{host: a.b, trafficPolicy: {{{}}}}}"),
    "entry": ("ServiceEntry", "{{{}}}"),
    "workload": ("WorkloadEntry", "{{{}}}"),
    "sidecar": ("Sidecar", "{{{}}}"),
    "egress": ("Sidecar", "{{egress: [{{{}}}]}}"),
    "ingress": ("Sidecar", "{{ingress: [{{{}}}]}}"),
    "authz": ("AuthorizationPolicy", "{{{}}}"),
    "jwt": ("RequestAuthentication", "{{jwtRules: [{{issuer: a, {}}}]}}"),
    "filter": ("EnvoyFilter", "{{configPatches: [{{{}}}]}}"),
    "gw": ("Gateway", "{{{}}}"),
    "dr": ("DestinationRule", "{{{}}}"),
    "group": ("WorkloadGroup", "{{{}}}"),
    "ra": ("RequestAuthentication", "{{{}}}"),
    "peer": ("PeerAuthentication", "{{{}}}"),
    "telemetry": ("Telemetry", "{{{}}}"),
    "pc": ("ProxyConfig", "{{{}}}"),
    "ef": (
        "EnvoyFilter",
        ("{{configPatches: [{{applyTo: CLUSTER, patch: {{operation: MERGE, value: {{connect_timeout: 1s}}}}}}], {}}}"),
    ),
    "wasm": ("WasmPlugin", "{{{}}}"),
    "ext": ("TrafficExtension", "{{{}}}"),
}
GROUPS = {
    "AuthorizationPolicy": "security.istio.io/v1",
    "RequestAuthentication": "security.istio.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
    "EnvoyFilter": "networking.istio.io/v1alpha3",
    "ProxyConfig": "networking.istio.io/v1beta1",
    "Telemetry": "telemetry.istio.io/v1",
    "WasmPlugin": "extensions.istio.io/v1alpha1",
    "TrafficExtension": "extensions.istio.io/v1alpha1",
}
HTTP = "hosts: [a.example.com], port: {number: 80, name: h, protocol: HTTP}"
CA = "serverCertificate: /c, privateKey: /k"


def framed(frame: str, text: str, **metadata: Any) -> dict[str, Any]:
    kind, spec = FRAMES[frame]
    (value,) = objects(read_yaml(spec.format(text)))
    return {
        "apiVersion": GROUPS.get(kind, "networking.istio.io/v1"),
        "kind": kind,
        "metadata": {"name": "x", "namespace": "shop", **metadata},
        "spec": value,
    }


def judge(frame: str, text: str, **metadata: Any) -> tuple[str, list[str]]:
    problems = problems_of(framed(frame, text, **metadata))
    levels = {problem.level for problem in problems}
    verdict = REFUSED if Level.ERROR in levels else WARNED if levels else TAKEN
    return verdict, [f"{problem.path}: {problem.message}" for problem in problems]


ROWS = [
    # --- VirtualService: hosts and gateways
    (REFUSED, "rule", "hosts: ['*.example.com', a.example.com]"),
    (REFUSED, "rule", "hosts: [a.example.com, a.example.com]"),
    (REFUSED, "rule", "hosts: ['*']"),
    (TAKEN, "rule", "hosts: ['*'], gateways: [web]"),
    (REFUSED, "rule", "hosts: ['*'], gateways: [web, mesh]"),
    (TAKEN, "rule", "hosts: [10.0.0.7]"),
    (REFUSED, "rule", "hosts: [a.example.com], gateways: ['shop/*']"),
    (WARNED, "rule", "hosts: [a.example.com], gateways: [web.shop.svc.cluster.local]"),
    (TAKEN, "whole", ("hosts: [outbound_.80_._.a.b], gateways: [g], "
     "tls: [{match: [{sniHosts: [outbound_.80_._.a.b]}], route: [{destination: {host: a.b}}]}]")),
    (REFUSED, "whole", ("hosts: [outbound_.80_._.a.b], "
     "tls: [{match: [{sniHosts: [outbound_.80_._.a.b]}], route: [{destination: {host: a.b}}]}]")),
    (REFUSED, "whole", "hosts: [a.b], tls: [{match: [{sniHosts: [c.b]}], route: [{destination: {host: a.b}}]}]"),
    (WARNED, "whole", "hosts: [a.b], tls: [{match: [{sniHosts: [10.0.0.1]}], route: [{destination: {host: a.b}}]}]"),
    (WARNED, "whole", "hosts: ['*.b'], tls: [{match: [{sniHosts: ['*x.b']}], route: [{destination: {host: a.b}}]}]"),
    (REFUSED, "whole", ("hosts: [a.b], tls: [{match: [{sniHosts: [a.b], gateways: ['x y']}], "
     "route: [{destination: {host: a.b}}]}]")),
    (REFUSED, "whole", "hosts: [a.b], tcp: [{match: [{port: 5}]}]"),
    # --- VirtualService: matches
    (TAKEN, "route", "match: [{uri: {prefix: ''}}]"),
    (TAKEN, "route", "match: [{uri: {}}]"),
    (REFUSED, "route", "match: [{uri: {regex: ''}}]"),
    (REFUSED, "route", "match: [{method: {prefix: ''}}]"),
    (REFUSED, "route", "match: [{headers: {x-a: {prefix: ''}}}]"),
    (REFUSED, "route", "match: [{headers: {x-a: {regex: '*'}}}]"),
    (TAKEN, "route", "match: [{withoutHeaders: {x-a: {regex: '*'}}}]"),
    (TAKEN, "route", "match: [{headers: {':authority': {exact: a}, 'odd!$#_': {}}}]"),
    (REFUSED, "route", "match: [{headers: {'::': {exact: a}}}]"),
    (REFUSED, "route", "match: [{queryParams: {q: {regex: '['}}}]"),
    (REFUSED, "route", "match: [{sourceNamespace: not_a_namespace}]"),
    (REFUSED, "route", "match: [{sourceLabels: {'a b': c}}]"),
    # --- VirtualService: what is done
    (REFUSED, "answer", "fault: {abort: {httpStatus: 500}}, directResponse: {status: 200}"),
    (REFUSED, "answer", "rewrite: {uri: /}, directResponse: {status: 200}"),
    (TAKEN, "answer", "directResponse: {status: 200}"),
    (REFUSED, "answer", "directResponse: {status: 601}"),
    (REFUSED, "answer", "directResponse: {status: 199}"),
    (WARNED, "route", "fault: {abort: {httpStatus: 600}}"),
    (REFUSED, "route", "fault: {abort: {httpStatus: 601}}"),
    (REFUSED, "route", "fault: {}"),
    (WARNED, "route", "fault: {abort: {percentage: {value: 5}}}"),
    (REFUSED, "route", "fault: {abort: {httpStatus: 500, percentage: {value: 0.00001}}}"),
    (TAKEN, "route", "fault: {abort: {httpStatus: 500, percentage: {value: 0.0001}}}"),
    (REFUSED, "route", "fault: {delay: {exponentialDelay: 1s}}"),
    (REFUSED, "route", "corsPolicy: {allowMethods: [get]}"),
    (TAKEN, "route", "corsPolicy: {allowHeaders: ['*'], exposeHeaders: [x-a]}"),
    (REFUSED, "route", "corsPolicy: {exposeHeaders: ['']}"),
    (REFUSED, "route", "corsPolicy: {allowOrigins: [{}]}"),
    (REFUSED, "route", "corsPolicy: {allowOrigins: [{exact: ''}]}"),
    (REFUSED, "route", "corsPolicy: {maxAge: 1500ms}"),
    (REFUSED, "answer", "redirect: {redirectCode: 301}"),
    (REFUSED, "answer", "redirect: {uri: /a, redirectCode: 299}"),
    (REFUSED, "answer", "redirect: {uri: /a, redirectCode: 400}"),
    (WARNED, "answer", "redirect: {uri: /a, redirectCode: 304}"),
    (TAKEN, "answer", "redirect: {authority: a.b, redirectCode: 308}"),
    (REFUSED, "route", "rewrite: {}"),
    (REFUSED, "route", "rewrite: {uriRegexRewrite: {match: a}}"),
    (REFUSED, "route", "rewrite: {uriRegexRewrite: {rewrite: a}}"),
    (REFUSED, "route", "rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}"),
    (TAKEN, "route", "retries: {attempts: 2, retryOn: '503,connect-failure'}"),
    (REFUSED, "route", "retries: {attempts: 2, retryOn: '503, connect-failure'}"),
    (REFUSED, "route", "retries: {attempts: 2, retryOn: '599'}"),
    (REFUSED, "route", "retries: {attempts: 0, retryRemoteLocalities: false}"),
    (REFUSED, "route", "retries: {attempts: 2, backoff: 999ns}"),
    (TAKEN, "route", "headers: {request: {set: {':authority': a}}}"),
    (WARNED, "route", "headers: {request: {add: {host: a}}}"),
    (REFUSED, "route", "headers: {response: {set: {host: a}}}"),
    (REFUSED, "route", "headers: {request: {set: {host: a}}}, rewrite: {authority: b}"),
    (REFUSED, "route", "headers: {request: {set: {host: a}, add: {':authority': b}}}"),
    (TAKEN, "route", "headers: {request: {set: {x-a: '%DOWNSTREAM_PEER_CERT_V_END(%b %d %H:%M:%S %Y %Z)%'}}}"),
    (TAKEN, "route", "headers: {response: {add: {x-a: 'at %START_TIME% of 100%%'}}}"),
    (TAKEN, "route", "headers: {response: {add: {x-a: '%DYNAMIC_METADATA(com.acme.filter)%'}}}"),
    (REFUSED, "route", "headers: {response: {add: {x-a: '%START_TIME%%'}}}"),
    (REFUSED, "route", "mirror: {host: a.b}, mirrors: [{destination: {host: a.b}}]"),
    (REFUSED, "route", "mirrors: [{destination: {host: a.b}, percentage: {value: 101}}]"),
    (WARNED, "route", "mirror: {host: a.b}, mirrorPercent: 5"),
    # --- Gateway
    (REFUSED, "server", "hosts: [web], port: {number: 80, name: h, protocol: HTTP}"),
    (REFUSED, "server", "hosts: ['*web.com'], port: {number: 80, name: h, protocol: HTTP}"),
    (REFUSED, "server", "hosts: [a.*.com], port: {number: 80, name: h, protocol: HTTP}"),
    (REFUSED, "server", "hosts: ['~/a.com'], port: {number: 80, name: h, protocol: HTTP}"),
    (TAKEN, "server", "hosts: [10.0.0.1, ./a.com, '*/b.com'], port: {number: 80, name: Any Name, protocol: http}"),
    (REFUSED, "server", "hosts: [a.com], port: {number: 80, name: h, protocol: HTTP, targetPort: 8080}"),
    (REFUSED, "server", "hosts: [a.com], port: {number: 80, name: h, protocol: KAFKA}"),
    (TAKEN, "server", f"{HTTP}, tls: {{}}"),
    (TAKEN, "server", f"{HTTP}, tls: {{httpsRedirect: true}}"),
    (REFUSED, "server", f"{HTTP}, tls: {{mode: SIMPLE, credentialName: c}}"),
    (WARNED, "tls", "mode: SIMPLE, credentialName: c, httpsRedirect: true"),
    (TAKEN, "tls", f"mode: SIMPLE, {CA}, caCertificates: /ca"),
    (REFUSED, "tls", f"mode: SIMPLE, {CA}, credentialName: c"),
    (TAKEN, "tls", "mode: SIMPLE, privateKey: /k, credentialName: c"),
    (REFUSED, "tls", f"mode: MUTUAL, {CA}"),
    (REFUSED, "tls", "mode: SIMPLE, credentialName: c, tlsCertificates: [{serverCertificate: /c, privateKey: /k}]"),
    (WARNED, "tls", "mode: SIMPLE, credentialNames: [a, b, c]"),
    (WARNED, "tls", "mode: SIMPLE, credentialName: c, caCrl: /crl"),
    (REFUSED, "tls", f"mode: SIMPLE, {CA}, caCrl: /crl"),
    (WARNED, "tls", "mode: PASSTHROUGH, caCrl: /crl"),
    (WARNED, "tls", "mode: SIMPLE, credentialName: c, cipherSuites: [none-such]"),
    (REFUSED, "tls", "mode: MUTUAL, credentialName: c, verifyCertificateHash: [abcd]"),
    (REFUSED, "tls", "mode: OPTIONAL_MUTUAL, credentialName: c, verifyCertificateSpki: [abcd]"),
    (TAKEN, "tls", f"mode: MUTUAL, credentialName: c, verifyCertificateHash: [{'ab' * 32}, '{':'.join(['AB'] * 32)}']"),
    (TAKEN, "tls", f"mode: MUTUAL, credentialName: c, verifyCertificateSpki: [{'A' * 43}=]"),
    (TAKEN, "tls", "mode: SIMPLE, credentialName: c, verifyCertificateHash: [abcd]"),
    (TAKEN, "tls", "mode: SIMPLE, credentialName: c, cipherSuites: ['-ECDHE-ECDSA-AES128-SHA', ALL]"),
    # --- DestinationRule
    (REFUSED, "policy", ""),
    (REFUSED, "policy", "portLevelSettings: [{port: {number: 80}}]"),
    (REFUSED, "policy", "portLevelSettings: [{loadBalancer: {simple: RANDOM}}]"),
    (REFUSED, "policy", "connectionPool: {}"),
    (TAKEN, "policy", "connectionPool: {tcp: {idleTimeout: 0s}}"),
    (REFUSED, "policy", "tls: {mode: SIMPLE, credentialName: c, insecureSkipVerify: true}"),
    (TAKEN, "policy", "tls: {mode: MUTUAL, credentialName: c, insecureSkipVerify: true}"),
    (REFUSED, "policy", "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}"),
    (REFUSED, "policy", "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 5000011}}}"),
    (REFUSED, "policy", "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 1000}}}"),
    (TAKEN, "policy", "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 1009}}}"),
    (WARNED, "policy", "loadBalancer: {consistentHash: {maglev: {tableSize: 1009}}}"),
    (REFUSED, "policy", "loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 9, ringHash: {}}}"),
    (WARNED, "policy", ("loadBalancer: {simple: RANDOM, localityLbSetting: "
     "{distribute: [{from: a, to: {b: 100}}], failoverPriority: [x]}}")),
    (REFUSED, "policy", "loadBalancer: {simple: RANDOM, localityLbSetting: {distribute: [{from: a}]}}"),
    (WARNED, "policy", "loadBalancer: {consistentHash: {useSourceIp: true}, zoneAwareLbSetting: {minClusterSize: 2}}"),
    (TAKEN, "policy", "loadBalancer: {simple: RANDOM, zoneAwareLbSetting: {minClusterSize: 2}}"),
    (WARNED, "policy", "loadBalancer: {zoneAwareLbSetting: {failover: [{from: a, to: b}]}}"),
    # --- ServiceEntry, WorkloadEntry
    (REFUSED, "workload", "address: 10.0.0.1, weight: -1"),
    (WARNED, "entry", "hosts: [a.com], resolution: NONE, workloadSelector: {labels: {a: b}}"),
    (TAKEN, "entry", "hosts: [a.com], resolution: DNS, workloadSelector: {labels: {a: b}}"),
    (WARNED, "entry", "hosts: [a.com], resolution: DNS, workloadSelector: {}"),
    (WARNED, "entry", ("hosts: [a.com, b.com], addresses: [10.0.0.1], resolution: DNS, "
     "ports: [{number: 443, name: s, protocol: HTTPS}]")),
    (REFUSED, "entry", ("hosts: [a.com], resolution: DNS, ports: [{number: 80, name: h, protocol: HTTP}], "
     "endpoints: [{address: 'unix:///a/b'}]")),
    (WARNED, "entry", ("hosts: [a.com], resolution: STATIC, ports: [{number: 80, name: h, protocol: HTTP}], "
     "endpoints: [{network: other}]")),
    (WARNED, "entry", "hosts: ['*.a.com'], resolution: STATIC, ports: [{number: 80, name: t, protocol: TCP}]"),
    (WARNED, "workload", "network: other"),
    (REFUSED, "workload", "serviceAccount: a"),
    # --- Sidecar
    (TAKEN, "egress", "port: {number: 8080, protocol: HTTP}, hosts: ['*/*']"),
    (TAKEN, "egress", "port: {number: 8080}, hosts: ['*/*']"),
    (REFUSED, "egress", "port: {number: 8080, targetPort: 1, protocol: HTTP}, hosts: ['*/*']"),
    (REFUSED, "egress", "hosts: [./web]"),
    (REFUSED, "egress", "hosts: [./10.0.0.1]"),
    (REFUSED, "egress", "hosts: ['shop/*web.com']"),
    (WARNED, "egress", "hosts: ['./*', shop/a.com]"),
    (WARNED, "group", "template: {serviceAccount: 'A B'}"),
    (WARNED, "group", "template: {serviceAccount: a}, metadata: {annotations: {'x y': z}}"),
    (TAKEN, "group", "template: {serviceAccount: a}, metadata: {annotations: {example.com/x: z}}"),
    (WARNED, "policy", "loadBalancer: {simple: PASSTHROUGH, zoneAwareLbSetting: {}}"),
    (WARNED, "whole", ("hosts: [a.b], gateways: [g], http: [{match: [{gateways: [other]}], "
     "route: [{destination: {host: a.b}}]}]")),
    (WARNED, "whole", "hosts: [a.b], tcp: [{match: [{gateways: [other]}], route: [{destination: {host: a.b}}]}]"),
    (WARNED, "whole", ("hosts: [a.b], gateways: [g], tcp: [{match: [{destinationSubnets: [10.0.0.0/8]}], "
                       "route: [{destination: {host: a.b}}]}]")),
    (WARNED, "whole", ("hosts: [a.b], gateways: [g, mesh], tls: [{match: [{sniHosts: [a.b], sourceNamespace: x, "
                       "gateways: [g]}], route: [{destination: {host: a.b}}]}]")),
    (TAKEN, "whole", ("hosts: [a.b], gateways: [g, mesh], tcp: [{match: [{sourceLabels: {app: a}}], "
                      "route: [{destination: {host: a.b}}]}]")),
    (TAKEN, "whole", ("hosts: [a.b], gateways: [g, mesh], http: [{match: [{gateways: [mesh]}, {gateways: [shop/g]}], "
     "route: [{destination: {host: a.b}}]}]")),
    (WARNED, "ef", "targetRefs: [{kind: Service, group: '', name: a}]"),
    (TAKEN, "ef", "targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: a}]"),
    (WARNED, "pc", "environmentVariables: {A=B: x}"),
    (WARNED, "policy", ("portLevelSettings: [{port: {number: 1}, loadBalancer: {simple: RANDOM}}, "
     "{port: {number: 1}, loadBalancer: {simple: ROUND_ROBIN}}]")),
    (WARNED, "pc", "environmentVariables: {'': x}"),
    (TAKEN, "pc", "environmentVariables: {a-b.c: x}"),
    (WARNED, "sidecar", "workloadSelector: {}, egress: [{hosts: ['*/*']}]"),
    (REFUSED, "sidecar", "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.b}}"),
    (TAKEN, "sidecar", "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.b, port: {number: 1}}}"),
    (REFUSED, "ingress", f"port: {{number: 90, protocol: TLS}}, tls: {{mode: SIMPLE, tlsCertificates: [{{{CA}}}]}}"),
    # --- what Istio takes, and what does not do what it says
    (WARNED, "egress", "bind: 127.0.0.1, hosts: ['./*']"),
    (WARNED, "group", "template: {address: 'a b'}"),
    (WARNED, "group", "template: {}, probe: {httpGet: {port: 80, path: ' '}}"),
    (WARNED, "group", "template: {}, probe: {httpGet: {port: 80, host: 'a b'}}"),
    (TAKEN, "group", "template: {}, probe: {httpGet: {port: 80, path: /, host: a}}"),
    (WARNED, "policy", "portLevelSettings: [{port: {}, loadBalancer: {simple: RANDOM}}]"),
    (WARNED, "answer", "delegate: {name: a}, directResponse: {status: 200}"),
    (REFUSED, "answer", "delegate: {name: a}, redirect: {uri: /}"),
    (WARNED, "telemetry", "tracing: [{customTags: {a: {}}}]"),
    (WARNED, "policy", "loadBalancer: {localityLbSetting: {distribute: [{from: 'a/b*', to: {b: 100}}]}}"),
    (TAKEN, "tls", "mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_0, cipherSuites: [AES128-SHA]"),
    (WARNED, "tls", "mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_0"),
    # --- policies
    (REFUSED, "authz", "action: CUSTOM, provider: {name: p}, rules: [{from: [{source: {namespaces: [a]}}]}]"),
    (REFUSED, "authz", "action: CUSTOM, provider: {name: p}, rules: [{when: [{key: source.principal, values: [a]}]}]"),
    (TAKEN, "authz", "action: CUSTOM, provider: {name: p}, rules: [{to: [{operation: {paths: [/a]}}]}]"),
    (REFUSED, "authz", "rules: [{from: []}]"),
    (REFUSED, "authz", "rules: [{from: [{source: {principals: []}}]}]"),
    (TAKEN, "authz", "rules: [{to: [{operation: {paths: ['/{**}/a', '/b/{*}', '/literal/id']}}]}]"),
    (REFUSED, "authz", "rules: [{to: [{operation: {paths: ['/{*}/{id}']}}]}]"),
    (REFUSED, "authz", "rules: [{to: [{operation: {paths: ['/{*}/*']}}]}]"),
    (WARNED, "authz", "action: DENY, rules: [{from: [{source: {principals: [a]}}], to: [{operation: {hosts: [a]}}]}]"),
    (TAKEN, "authz", "action: DENY, rules: [{from: [{source: {principals: [a]}}], to: [{operation: {ports: ['1']}}]}]"),
    (WARNED, "authz", ("action: DENY, rules: [{from: [{source: {requestPrincipals: [a]}}], "
     "when: [{key: source.ip, values: [10.0.0.1]}]}]")),
    (WARNED, "jwt", "outputClaimToHeaders: [{header: x-a, claim: a}, {header: x-a, claim: b}]"),
    (REFUSED, "jwt", "outputClaimToHeaders: [{header: 'x%a', claim: a}]"),
    # --- EnvoyFilter
    (WARNED, "filter", ("applyTo: FILTER_CHAIN, match: {listener: {filterChain: {filter: {name: a}}}}, "
     "patch: {operation: REMOVE}")),
    (TAKEN, "filter", ("applyTo: HTTP_FILTER, match: {context: WAYPOINT, waypoint: {filter: {name: "
     "envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}, "
     "patch: {operation: REMOVE}")),
    (REFUSED, "filter", "applyTo: CLUSTER, patch: {operation: MERGE}"),
]  # fmt: skip


@pytest.mark.parametrize(("verdict", "frame", "text"), ROWS)
def test_istios_rules(verdict: str, frame: str, text: str) -> None:
    got, messages = judge(frame, text)
    assert got == verdict, messages


def test_an_entry_that_asks_for_no_address_gets_none() -> None:
    tcp = "hosts: [a.com], resolution: STATIC, ports: [{number: 80, name: t, protocol: TCP}]"
    assert judge("entry", tcp)[0] == TAKEN
    labels = {"networking.istio.io/enable-autoallocate-ip": "false"}
    assert judge("entry", tcp, labels=labels)[0] == WARNED


def test_only_authorization_policies_are_tried_without_effect() -> None:
    tried = {"istio.io/dry-run": "true"}
    assert judge("authz", "rules: [{}]", annotations=tried)[0] == TAKEN
    assert judge("rule", "hosts: [a.b]", annotations=tried)[0] == REFUSED
    assert judge("jwt", "audiences: [a]", annotations=tried)[0] == REFUSED
