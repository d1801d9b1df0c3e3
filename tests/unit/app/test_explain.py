"""Explain and diff, asked about a small world."""

from __future__ import annotations

import pytest
from tests.tokens import SigningKey, key_set

from plait.api.yaml import objects, read_yaml
from plait.app.difference import field_changes
from plait.app.explain import ExplainError, Question, explain
from plait.app.what_if import Mesh
from plait.simulate.call import NOBODY
from plait.xds.engine import Remove, Upsert

WORLD = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.42.128.1, selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-1, namespace: shop, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.42.0.5], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews, namespace: shop}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - fault: {abort: {httpStatus: 418, percentage: {value: 25}}}
    route:
    - {destination: {host: reviews}, weight: 80}
    - {destination: {host: ratings}, weight: 20}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: shop}
spec: {hosts: [api.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
status: {addresses: [{host: api.example, value: 240.240.0.7}]}
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: shop, labels: {app: caller}}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
status: {podIP: 10.42.0.4}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews, namespace: shop, labels: {app: reviews}}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
status: {podIP: 10.42.0.5}
"""


@pytest.fixture
def mesh() -> Mesh:
    return Mesh(objects(read_yaml(WORLD, "world")))


def ask(mesh: Mesh, url: str, pod: str = "caller", **more):
    return explain(mesh, mesh.nodes["shop", pod], Question(method="GET", url=url, **more))


def test_shares_and_faults_are_told_and_the_way_into_the_destination(mesh: Mesh) -> None:
    answer = ask(mesh, "http://reviews/x?y=1")
    assert [(name.split("|")[3].split(".")[0], share) for name, share in answer.outcome.shares] == [
        ("reviews", 0.8),
        ("ratings", 0.2),
    ]
    assert answer.outcome.fault == (418, 0.25)
    assert answer.outcome.path == "/x?y=1"
    assert answer.outcome.origins["route"] == "VirtualService/shop/reviews spec.http[1]"
    assert ("", "VirtualService/shop/reviews spec.http[0]", "the path /x is not below /old") in answer.others
    ((pod, arrival),) = answer.arrivals
    assert (pod, arrival.cluster) == ("reviews.shop", "inbound|8080||")
    assert answer.as_json()["shares"][0]["percent"] == 80


EDGE = """
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: shop}
spec: {clusterIP: 10.42.128.2, selector: {app: edge}, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: edge-1, namespace: shop, labels: {kubernetes.io/service-name: edge}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints: [{addresses: [10.42.0.6], conditions: {ready: true}, targetRef: {kind: Pod, name: edge, namespace: shop}}]
---
apiVersion: v1
kind: Pod
metadata: {name: edge, namespace: shop, labels: {app: edge}}
spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}
status: {podIP: 10.42.0.6}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {selector: {app: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [api.example]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: shop}
spec:
  hosts: [api.example]
  gateways: [mesh, edge]
  http:
  - match: [{gateways: [edge]}]
    route: [{destination: {host: reviews}}]
  - match: [{sourceNamespace: bank}, {sourceLabels: {app: other}}]
    directResponse: {status: 418}
  - match: [{port: 81}]
    directResponse: {status: 418}
  - delegate: {name: nowhere}
    match: [{uri: {prefix: /}}]
  - route: [{destination: {host: edge}}]
  - match: [{uri: {prefix: /}}]
    directResponse: {status: 418}
"""


def test_a_call_is_followed_through_a_gateway_to_where_it_ends() -> None:
    mesh = Mesh(objects(read_yaml(f"{WORLD}---{EDGE}", "world")))
    answer = ask(mesh, "http://api.example/")
    assert [(pod, met.cluster) for pod, met in answer.arrivals] == [
        ("edge.shop", "outbound|80||reviews.shop.svc.cluster.local"),
        ("reviews.shop", "inbound|8080||"),
    ]
    assert [each["pod"] for each in answer.as_json()["arrivals"]] == ["edge.shop", "reviews.shop"]


def test_rules_that_the_proxy_was_not_given_are_told_with_the_reason() -> None:
    mesh = Mesh(objects(read_yaml(f"{WORLD}---{EDGE}", "world")))
    rule = "VirtualService/shop/api spec.http"
    ours = {origin: why for _, origin, why in ask(mesh, "http://api.example/").others if why}
    assert ours == {
        f"{rule}[0]": "this proxy does not have it: it is for edge",
        f"{rule}[1]": "this proxy does not have it: it is for callers of namespace bank; "
        "it is for callers with app=other",
        f"{rule}[2]": "this proxy does not have it: it is for port 81",
        f"{rule}[3]": "VirtualService/shop/nowhere, to which it delegates, gives it no rules here",
        f"{rule}[5]": "an earlier rule takes every request",
    }
    theirs = {origin: why for _, origin, why in ask(mesh, "http://api.example/", pod="edge").others if why}
    assert f"{rule}[0]" not in theirs


def test_redirects_say_where_they_lead(mesh: Mesh) -> None:
    outcome = ask(mesh, "http://reviews/old").outcome
    assert (outcome.status, outcome.redirect) == (301, "http://reviews/new")


def test_inbound_calls_arrive_at_the_workload(mesh: Mesh) -> None:
    outcome = ask(mesh, "http://reviews:8080/", pod="reviews", inbound=True).outcome
    assert (outcome.listener, outcome.cluster) == ("virtualInbound", "inbound|8080||")


def test_a_host_of_a_service_entry_has_the_address_that_it_was_given(mesh: Mesh) -> None:
    answer = ask(mesh, "http://api.example/")
    assert answer.call.address == "240.240.0.7"
    assert answer.outcome.cluster == "outbound|80||api.example"


def test_an_endpoint_may_be_a_socket() -> None:
    spec = (
        "{hosts: [api.example], ports: [{number: 80, name: http, protocol: HTTP}], "
        "resolution: STATIC, endpoints: [{address: 'unix:///sock/app'}]}"
    )
    dns = "{hosts: [api.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}"
    assert dns in WORLD
    answer = ask(Mesh(objects(read_yaml(WORLD.replace(dns, spec), "world"))), "http://api.example/")
    assert answer.outcome.endpoints == ("unix:///sock/app",)
    assert not answer.arrivals


def test_a_name_that_nobody_has_brings_the_nearest(mesh: Mesh) -> None:
    answer = ask(mesh, "http://review/")
    assert answer.call.address == NOBODY
    assert answer.hint == "no Service or ServiceEntry that caller sees is called review; did you mean reviews?"
    assert not ask(mesh, "http://www.example.org/").hint


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        (
            "a.part.example",
            "a.part.example is one of *.part.example: which address it has, DNS outside of the mesh says",
        ),
        ("a.prat.example", "a.prat.example; *.part.example covers names such as a.part.example"),
        ("part.example", "part.example; *.part.example covers names such as www.part.example"),
        ("review", "review; did you mean reviews?"),
        ("*.part.example", "*.part.example stands for many names; ask for one, such as www.part.example"),
        ("www.example.org", ""),
    ],
)
def test_a_wildcard_is_no_name_to_be_meant(host: str, hint: str) -> None:
    entry = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: part, namespace: shop}
spec: {hosts: ['*.part.example'], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}
"""
    said = ask(Mesh(objects(read_yaml(WORLD + entry, "world"))), f"http://{host}/").hint
    assert said.removeprefix("no Service or ServiceEntry that caller sees is called ") == hint


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://reviews/", "write for example"),
        ("tcp://reviews", "no port"),
        ("http://reviews:x/", "'http://reviews:x/' is not .*write for example"),
        ("http://reviews:99999/", "99999.*write for example"),
        ("http://[::1", "write for example"),
        ("http://reviews:0/", "has no port"),
    ],
)
def test_addresses_that_are_none_are_refused(mesh: Mesh, url: str, words: str) -> None:
    with pytest.raises(ExplainError, match=words):
        ask(mesh, url)


def test_a_change_is_told_once_for_all_proxies_and_field_by_field(mesh: Mesh) -> None:
    rule = next(obj for obj in objects(read_yaml(WORLD, "world")) if obj["kind"] == "VirtualService")
    route = rule["spec"]["http"][1]["route"]
    route[0]["weight"], route[1]["weight"] = 50, 50
    (change,) = mesh.difference([Upsert(rule)])
    assert (change.kind, change.name, change.verb) == ("RouteConfiguration", "80", "changed")
    assert change.proxies == ("caller.shop", "reviews.shop")
    weights = [(each.path.rpartition(".")[2], each.old, each.new) for each in change.fields]
    assert weights == [("weight", 80, 50), ("weight", 20, 50)]
    assert mesh.difference([Remove("networking.istio.io", "VirtualService", "shop", "reviews")])
    assert not mesh.difference([Remove("networking.istio.io", "VirtualService", "shop", "reviews")])


def test_fields_of_lists_are_told_by_name_and_by_place() -> None:
    old = {"a": [{"name": "x", "v": 1}, {"name": "y", "v": 2}], "b": [1, 2], "c": "gone"}
    new = {"a": [{"name": "y", "v": 2}, {"name": "x", "v": 3}], "b": [1, 5, 6], "d": "new"}
    found = {each.path: (each.old, each.new) for each in field_changes(old, new)}
    assert found == {
        "a[x].v": (1, 3),
        "a (order)": (["x", "y"], ["y", "x"]),
        "b[1]": (2, 5),
        "b[2]": (None, 6),
        "c": ("gone", None),
        "d": (None, "new"),
    }


MESHED = WORLD.replace("labels: {app: caller}", "labels: {app: caller, security.istio.io/tlsMode: istio}").replace(
    "labels: {app: reviews}}\nspec: {containers",
    "labels: {app: reviews, security.istio.io/tlsMode: istio}}\nspec: {containers",
)


def policy(mode: str) -> str:
    metadata = "metadata: {name: default, namespace: istio-system}"
    spec = f"spec: {{mtls: {{mode: {mode}}}}}"
    return f"\n---\n{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, {metadata}, {spec}}}\n"


def rule(mode: str) -> str:
    spec = f"spec: {{host: reviews, trafficPolicy: {{tls: {{mode: {mode}}}}}}}"
    metadata = "metadata: {name: reviews, namespace: shop}"
    return f"\n---\n{{apiVersion: networking.istio.io/v1, kind: DestinationRule, {metadata}, {spec}}}\n"


@pytest.mark.parametrize(
    ("more", "spoken", "by_endpoint", "demanded", "error"),
    [
        ("", "mtls", True, "PERMISSIVE", None),
        (policy("STRICT"), "mtls", True, "STRICT", None),
        (policy("DISABLE"), "plaintext", False, "DISABLE", None),
        (policy("STRICT") + rule("DISABLE"), "plaintext", False, "STRICT", "no filter chain"),
        (policy("STRICT") + rule("ISTIO_MUTUAL"), "mtls", False, "STRICT", None),
    ],
)
def test_how_it_is_spoken_and_what_is_demanded_there(
    more: str, spoken: str, by_endpoint: bool, demanded: str, error: str | None
) -> None:
    answer = ask(Mesh(objects(read_yaml(MESHED + more, "world"))), "http://reviews/x")
    met = answer.outcome
    assert met.spoken is not None
    assert (met.spoken.tls, met.spoken.by_endpoint) == (spoken, by_endpoint)
    ((pod, arrival),) = answer.arrivals
    said = answer.demanded[pod]
    assert (said.mode, str(said.origin or "")) == (
        demanded,
        "PeerAuthentication/istio-system/default spec.mtls" if "PeerAuthentication" in more else "",
    )
    assert arrival.error == error
    assert error or arrival.cluster == "inbound|8080||"
    assert answer.as_json()["mutualTLS"][0]["mode"] == demanded


def test_who_arrives_in_mutual_tls_and_who_does_not() -> None:
    mesh = Mesh(objects(read_yaml(MESHED + policy("STRICT"), "world")))
    more = {"pod": "reviews", "inbound": True}
    assert ask(mesh, "http://reviews:8080/", **more).outcome.error == "no filter chain"
    answer = ask(mesh, "http://reviews:8080/", mutual=True, **more)
    assert (answer.outcome.error, answer.outcome.cluster) == (None, "inbound|8080||")
    assert answer.demanded["reviews.shop"].mode == "STRICT"


MUTUAL = """
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: shop, labels: {app: caller}}
spec:
  serviceAccountName: front
  containers: [{name: istio-proxy, args: [proxy, sidecar]}]
status: {podIP: 10.42.0.4}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec:
  selector: {matchLabels: {app: reviews}}
  rules: [{to: [{operation: {methods: [GET], paths: [/public/*]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nothing, namespace: shop}
spec: {}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: eve, namespace: shop}
spec:
  action: DENY
  selector: {matchLabels: {app: reviews}}
  rules:
  - {when: [{key: "request.headers[x-user]", values: [eve]}]}
  - {from: [{source: {ipBlocks: [192.0.2.0/24]}}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: tried, namespace: shop, annotations: {istio.io/dry-run: "true"}}
spec: {action: DENY, selector: {matchLabels: {app: reviews}}, rules: [{}]}
"""


def test_who_is_refused_is_told_by_which_policy_and_rule() -> None:
    mesh = Mesh(objects(read_yaml(WORLD + MUTUAL, "world")))
    _, arrival = ask(mesh, "http://reviews/public/x").arrivals[0]
    assert (arrival.denied, arrival.cluster) == (None, "inbound|8080||")
    answer = ask(mesh, "http://reviews/private")
    assert answer.arrivals[0][1].status == 403
    assert answer.allowing == {"reviews.shop": ("AuthorizationPolicy/shop/nothing", "AuthorizationPolicy/shop/readers")}
    json = answer.as_json()
    assert json["allowing"] == [{"pod": "reviews.shop", "policies": [*answer.allowing["reviews.shop"]]}]
    assert json["arrivals"][0]["authorization"] == [
        {"action": "DENY", "allowed": False, "origin": "AuthorizationPolicy/shop/tried spec.rules[0]", "dryRun": True,
         "asks": None},
        {"action": "DENY", "allowed": True, "origin": None, "dryRun": False, "asks": None},
        {"action": "ALLOW", "allowed": False, "origin": None, "dryRun": False, "asks": None},
    ]  # fmt: skip
    denied = ask(mesh, "http://reviews/public/x", headers=(("x-user", "eve"),)).arrivals[0][1].denied
    assert denied is not None
    assert denied.rule == "ns[shop]-policy[eve]-rule[0]"
    # Into the workload, from an address.
    found = ask(mesh, "http://reviews:8080/public/x", "reviews", inbound=True, source="192.0.2.1").outcome.denied
    assert found is not None
    assert found.rule == "ns[shop]-policy[eve]-rule[1]"


def test_a_caller_is_an_account_or_an_identity(mesh: Mesh) -> None:
    for caller, peer in (
        ("shop/front", "spiffe://cluster.local/ns/shop/sa/front"),
        ("spiffe://other/ns/a/sa/b", "spiffe://other/ns/a/sa/b"),
    ):
        question = {"inbound": True, "mutual": True, "caller": caller}
        assert ask(mesh, "http://reviews:8080/", "reviews", **question).call.peer == peer
    with pytest.raises(ExplainError, match="NAMESPACE/SERVICEACCOUNT"):
        ask(mesh, "http://reviews:8080/", "reviews", inbound=True, caller="front")


def test_what_is_no_method_is_refused(mesh: Mesh) -> None:
    node = next(iter(mesh.nodes.values()))
    with pytest.raises(ExplainError, match="'GE T' is not a method of HTTP; write for example GET"):
        explain(mesh, node, Question(method="GE T", url="http://reviews:9080/"))


TOKENS = """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec:
  selector: {matchLabels: {app: reviews}}
  jwtRules:
  - {issuer: https://first.example, audiences: [shop], jwksUri: https://first.example/keys}
  - {issuer: https://second.example, jwksUri: https://second.example/keys, fromHeaders: [{name: x-token}]}
"""
NOW = 1_800_000_000
RULES = "RequestAuthentication/shop/tokens spec.jwtRules"


@pytest.mark.parametrize(
    ("claims", "verdict", "words", "origin"),
    [
        (None, "missing", "without one a request goes on", ""),
        ({}, "valid", "of https://first.example", f"{RULES}[0]"),
        ({"exp": NOW - 3600}, "expired", "it was valid until 2027-01-15 07:00:00 UTC", f"{RULES}[0]"),
        ({"nbf": NOW + 3600}, "not yet valid", "it is valid from 2027-01-15 09:00:00 UTC on", f"{RULES}[0]"),
        ({"aud": "bank"}, "wrong audience", "it is for bank; the rule wants shop", f"{RULES}[0]"),
        ({"iss": "x"}, "wrong issuer", "its issuer is x; rules are for https://first.example, https://second", ""),
    ],
)
def test_a_token_is_judged_where_it_arrives(claims: dict | None, verdict: str, words: str, origin: str) -> None:
    mesh = Mesh(objects(read_yaml(f"{WORLD}---{TOKENS}", "world")))
    key = SigningKey("ES256", "k")
    mesh.keys_came("https://first.example/keys", key_set(key), discovery=False)
    token = key.sign({"iss": "https://first.example", "sub": "jane", "aud": "shop", "exp": NOW + 60, **(claims or {})})
    headers = () if claims is None else (("Authorization", f"Bearer {token}"),)
    answer = ask(mesh, "http://reviews/x", headers=headers, now=NOW)
    assert list(answer.tokens) == ["reviews.shop"]
    said = answer.tokens["reviews.shop"]
    assert (said.verdict, said.origin) == (verdict, origin)
    assert words in said.words
    assert said.principal == ("https://first.example/jane" if verdict == "valid" else "")
    ((_, arrival),) = answer.arrivals
    assert arrival.status == {"missing": 0, "valid": 0, "wrong audience": 403}.get(verdict, 401)
    assert token not in str(answer.as_json())


def test_a_token_without_keys_and_one_in_another_place() -> None:
    mesh = Mesh(objects(read_yaml(f"{WORLD}---{TOKENS}", "world")))
    token = SigningKey("ES256", "k").sign({"iss": "https://second.example"})
    said = ask(mesh, "http://reviews/x", headers=(("x-token", token),), now=NOW).tokens["reviews.shop"]
    assert (said.verdict, said.place, said.origin) == ("no keys", "header x-token", f"{RULES}[1]")
    assert "https://second.example/keys has given none that a proxy can use" in said.words
    said = ask(mesh, "http://reviews/x", headers=(("x-token", "abc"),), now=NOW).tokens["reviews.shop"]
    assert (said.verdict, said.status) == ("malformed", 401)
