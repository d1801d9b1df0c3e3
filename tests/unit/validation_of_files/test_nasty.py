"""The nastiest inputs that were thought of or found: each is read as Go reads it, and told apart rightly."""

from __future__ import annotations

import pytest

from plait.app.objects.validate import findings_of_text, validator

HEAD = "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\nspec:\n"


def text(kind: str, spec: str) -> str:
    return HEAD.format(kind=kind) + "".join(f"  {line}\n" for line in spec.splitlines())


def rule(http: str) -> str:
    return text("VirtualService", f"hosts: [web]\nhttp:\n- {http}")


def policy(spec: str) -> str:
    return text("AuthorizationPolicy", spec).replace("networking.istio.io", "security.istio.io")


ROUTE = "route: [{destination: {host: web}}]"
#: What the first error says, as far as it must; None where the input is fine.
CASES = {
    # YAML as Go reads it
    "an IPv6 prefix in a list": (text("ServiceEntry", "hosts: [a.b]\naddresses:\n- 2001:db8::"), None),
    "an IPv6 prefix in brackets": (text("ServiceEntry", "hosts: [a.b]\naddresses: [2001:db8::, ::1]"), None),
    "a time that is no number": (text("ServiceEntry", "hosts: ['12:30']"), "is not a DNS name"),
    "on is a boolean": (text("Gateway", "selector: {app: on}\nservers: []"), "must be a string, not a boolean"),
    "yes as a boolean": (rule(f"match: [{{uri: {{prefix: /}}, ignoreUriCase: yes}}]\n  {ROUTE}"), None),
    "an octal port": (rule("route: [{destination: {host: web, port: {number: 0o120}}}]"), None),
    "a number with underscores": (rule("route: [{destination: {host: web, port: {number: 8_0}}}]"), None),
    "a key twice": (rule(f"{ROUTE}\n  {ROUTE}"), "is already set"),
    "an alias to nothing": ("a: *b", "unknown alias"),
    "a bomb of aliases": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{c}: &{c} [*{b},*{b},*{b},*{b},*{b},*{b},*{b},*{b},*{b}]\n"
        for b, c in zip("abcdefgh", "bcdefghi", strict=True)), "more than",
    ),
    "an alias to itself": ("&a [*a]", "unknown alias"),
    "five hundred levels": ("[" * 600, "nested"),
    "a tab for a blank": ("a:\n\tb: 1", "cannot start any token"),
    "a NUL": ("a: \x00", "control characters are not allowed"),
    "a byte order mark": ("\ufeff" + rule(ROUTE), None),
    "an object without end": ("{a: [", "expected"),
    "a scalar": ("just text", "an object was expected"),
    "null": ("~", None),
    "a list of objects that are none": ("kind: List\nitems: [1, null, []]", "an object was expected"),
    "a key that is a list": ("? [a]\n: b", "a key must be a text"),
    "merged maps": (rule("<<: {timeout: 1s}\n  " + ROUTE), None),
    # names and hosts
    "a host of 256 letters": (text("VirtualService", f"hosts: [{'a.' * 128}b]\nhttp: [{{{ROUTE}}}]"), "not a DNS"),
    "a star in the middle": (text("VirtualService", "hosts: [a.*.b]\nhttp: [{" + ROUTE + "}]"), "is not a DNS name"),
    "a star for the mesh": (text("VirtualService", "hosts: ['*']\nhttp: [{" + ROUTE + "}]"), "'*' cannot be a host"),
    "hosts that overlap": (text("VirtualService", "hosts: ['*.a', b.a]\nhttp: [{" + ROUTE + "}]"), "overlap"),
    "a host in upper case twice": (text("VirtualService", "hosts: [A, a]\nhttp: [{" + ROUTE + "}]"), "overlap"),
    "a numeric top level": (text("ServiceEntry", "hosts: [a.1]"), "is not a DNS name"),
    "two slashes": (
        text("Gateway", "servers: [{hosts: [a/b/c], port: {number: 80, name: h, protocol: HTTP}}]"), "not a DNS",
    ),
    # durations and numbers
    "a duration finer than it may be": (rule(f"{ROUTE}\n  timeout: 1.0000001s"), "whole milliseconds"),
    "a negative duration": (rule(f"{ROUTE}\n  timeout: -1s"), "1ms"),
    "a duration of three centuries": (rule(f"{ROUTE}\n  timeout: 99999999h"), "duration"),
    "a duration that is a number": (rule(f"{ROUTE}\n  timeout: 5"), "write 5s"),
    "a weight beyond 32 bits": (rule("route: [{destination: {host: web}, weight: 4294967296}]"), "between"),
    "a port of 65536": (rule("route: [{destination: {host: web, port: {number: 65536}}}]"), "is not a port"),
    "a percentage that is no number": (rule(f"{ROUTE}\n  mirrorPercentage: {{value: .nan}}"), ""),
    "a float for an integer": (rule("route: [{destination: {host: web}, weight: 1.5}]"), "integer"),
    # patterns
    "a pattern that is none": (rule("match: [{uri: {regex: '('}}]\n  " + ROUTE), "regex"),
    "a pattern that Envoy lacks": (rule("match: [{uri: {regex: '(?=a)'}}]\n  " + ROUTE), "regex"),
    "a pattern too large": (rule("match: [{uri: {regex: '((a{100}){100}){100}'}}]\n  " + ROUTE), "regex"),
    "three forms at once": (rule("match: [{uri: {exact: a, prefix: b, regex: c}}]\n  " + ROUTE), "only one of"),
    # headers
    "a line break in a header": (rule(ROUTE + '\n  headers: {request: {set: {a: "b\\r\\nc: d"}}}'), "line break"),
    "a variable that does not end": (rule(ROUTE + '\n  headers: {request: {set: {a: "%REQ(x"}}}'), "variable"),
    "a pseudo header removed": (rule(ROUTE + '\n  headers: {request: {remove: [":path"]}}'), "cannot be removed"),
    # contradictions
    "a route and a redirect": (rule(ROUTE + "\n  redirect: {uri: /}"), "does one thing"),
    "delegation of what is delegated to": (
        text("VirtualService", "http: [{delegate: {name: b}}]"), "cannot delegate on",
    ),
    "shares that are too much": (
        text("DestinationRule", "host: a\ntrafficPolicy: {loadBalancer: {localityLbSetting: {distribute: "
             "[{from: a, to: {a: 60, b: 60}}]}}}"), "add up to 120",
    ),
    "a policy without effect": (text("DestinationRule", "host: a\ntrafficPolicy: {}"), "an empty policy"),
    "a denial of nothing": (policy("action: DENY"), "denies nothing"),
    "an attribute that nobody knows": (policy("rules: [{when: [{key: a.b, values: [c]}]}]"), "is not an attribute"),
    "a template in the middle": (policy("rules: [{to: [{operation: {paths: ['/{*}/{b}']}}]}]"), "part of a template"),
}  # fmt: skip


def test_there_are_fifty() -> None:
    assert len(CASES) >= 50


@pytest.mark.parametrize("name", CASES)
def test_nasty_input(name: str) -> None:
    given, says = CASES[name]
    found = [str(each) for each in findings_of_text(validator(), given, file="f") if each.is_error]
    if says is None:
        assert found == []
    else:
        assert any(says in line for line in found), found
