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
    ],
)  # fmt: skip
def test_all_is_told_at_once(kind: str, spec: str, paths: set[str]) -> None:
    assert set(told(kind, spec)) == paths
