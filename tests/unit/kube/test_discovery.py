# ruff: noqa: ARG002  (the fakes have the client's signatures)
from __future__ import annotations

import json

from plait.kube.discovery import discover
from plait.kube.kinds import Kind


class Served:
    def __init__(self, answers: dict[str, dict]) -> None:
        self._answers = answers

    async def request(self, method, path, *, accept=None) -> bytes:
        return json.dumps(self._answers[path]).encode()


async def test_the_first_version_that_serves_a_resource_is_taken():
    def version(name: str, *plurals: str) -> dict:
        return {
            "version": name,
            "resources": [
                {
                    "resource": plural,
                    "responseKind": {"group": "x.io", "version": name, "kind": plural.title()},
                    "scope": "Cluster",
                    "verbs": ["list"],
                }
                for plural in plurals
            ],
        }

    aggregated = {
        "kind": "APIGroupDiscoveryList",
        "items": [{"metadata": {"name": "x.io"}, "versions": [version("v1", "as"), version("v1beta1", "as", "bs")]}],
    }
    empty = {"kind": "APIGroupDiscoveryList", "items": []}
    found = await discover(Served({"/api": empty, "/apis": aggregated}))
    assert [item.kind for item in found] == [
        Kind("x.io", "v1", "As", "as", namespaced=False),
        Kind("x.io", "v1beta1", "Bs", "bs", namespaced=False),
    ]
    assert found[0].verbs == {"list"}


async def test_older_servers_are_asked_group_by_group():
    def resources(*items: dict) -> dict:
        return {"kind": "APIResourceList", "resources": list(items)}

    pods = {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get"]}
    answers = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "groups": [{"name": "apps", "versions": [{"version": "v1"}], "preferredVersion": {"version": "v1"}}],
        },
        "/api/v1": resources(pods, pods | {"name": "pods/log"}),
        "/apis/apps/v1": resources({"name": "deployments", "kind": "Deployment", "namespaced": True}),
    }
    found = await discover(Served(answers))
    assert [item.kind.resource for item in found] == ["pods", "deployments.apps"]
