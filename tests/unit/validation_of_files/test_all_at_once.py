"""A value of a wrong type does not hide what else is wrong with an object."""

from __future__ import annotations

import pytest

from plait.app.objects.validate import findings_of_text, validator


def told(kind: str, spec: str) -> dict[str, str]:
    text = (
        f"apiVersion: networking.istio.io/v1alpha3\nkind: {kind}\nmetadata: {{name: a, namespace: b}}\nspec: {spec}\n"
    )
    return {one.path: one.message for one in findings_of_text(validator(), text, file="a.yaml") if one.is_error}


@pytest.mark.parametrize(
    ("kind", "spec", "paths"),
    [
        ("Gateway", "{selector: istio, servers: [{port: {number: 80, name: a, protocol: HTTPZ}, hosts: [a.b]}]}",
         {"spec.selector", "spec.servers[0].port.protocol"}),
        ("VirtualService", "{hosts: web, http: [{timeout: 5, route: [{destination: {host: web}, weight: -1}]}]}",
         {"spec.hosts", "spec.http[0].timeout", "spec.http[0].route[0].weight"}),
        # Names of the same list are looked at although one of them is none.
        ("VirtualService", "{hosts: [1, 'a b'], http: [{route: [{destination: {host: 'c d'}}]}]}",
         {"spec.hosts[0]", "spec.hosts[1]", "spec.http[0].route[0].destination.host"}),
        # What may be wrong only for want of the value that was left out is not told.
        ("DestinationRule", "{host: web, trafficPolicy: {tls: {mode: SIMPLE, credentialName: [a]}}}",
         {"spec.trafficPolicy.tls.credentialName"}),
        ("VirtualService", "{hosts: [web], http: [{match: [{uri: /a}], route: [{destination: {host: web}}]}]}",
         {"spec.http[0].match[0].uri"}),
        ("EnvoyFilter",
         "{priority: [1], configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {typo: 1s}}}]}",
         {"spec.priority", "spec.configPatches[0].patch.value"}),
        ("EnvoyFilter",
         ("{configPatches: [{applyTo: NOPE, patch: {operation: MERGE}}, {applyTo: CLUSTER, patch: {operation: MERGE, "
          "value: {lb_policy: NOPE, connect_timeout: 5, typo: 1s}}}]}"),
         {"spec.configPatches[0].applyTo", "spec.configPatches[0].patch.value", "spec.configPatches[1].patch.value",
          "spec.configPatches[1].patch.value.lb_policy", "spec.configPatches[1].patch.value.connect_timeout"}),
        # A key that stands twice has no path of its own.
        ("VirtualService", "{hosts: [web], hosts: ['a b'], http: [{route: [{destination: {host: 'c d'}}]}]}",
         {"", "spec.hosts[0]", "spec.http[0].route[0].destination.host"}),
    ],
)  # fmt: skip
def test_all_is_told_at_once(kind: str, spec: str, paths: set[str]) -> None:
    assert set(told(kind, spec)) == paths


def test_what_is_no_object_at_all_has_its_place_too() -> None:
    found = findings_of_text(validator(), "kind: A\n---\n- 1\n---\nkind: B\nmetadata: {name: 1}\n", file="a.yaml")
    assert [str(one) for one in found] == [
        "a.yaml:1:1: error: A: metadata is missing; write metadata: {name: …} [Outline]",
        "a.yaml:3:1: error: an object was expected here: write apiVersion, kind and metadata [Outline]",
        'a.yaml:6:12: error: B 1: metadata.name must be text; write "1" in quotes [Outline]',
    ]


@pytest.mark.parametrize(
    ("value", "fix"), [("a\\nb", "a text of one line"), ("%OOPS(", "%% for a per cent sign")]
)  # fmt: skip
def test_of_a_headers_value_the_cure_is_for_what_it_has(value: str, fix: str) -> None:
    text = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
        f'spec: {{hosts: [b], http: [{{headers: {{request: {{set: {{x-a: "{value}"}}}}}}, '
        "route: [{destination: {host: b}}]}]}\n"
    )
    (found,) = (one for one in findings_of_text(validator(), text, file="a.yaml") if one.is_error)
    assert (found.path, found.fix) == ("spec.http[0].headers.request.set[x-a]", fix)
