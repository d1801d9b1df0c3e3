"""What is served, and the OpenAPI documents about it."""

from __future__ import annotations

import json

import pytest

from plait.machine.api.schema import load_schemas


def test_istios_kinds_are_all_served(schemas):
    custom = {kind.kind: kind for kind in schemas.kinds if kind.custom}
    assert len(custom) == 17, "15 of today, and the policies of Istio 1.0"
    assert {kind for kind, one in custom.items() if one.acts} == {
        "VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "WorkloadEntry", "Sidecar", "EnvoyFilter",
        "ProxyConfig", "WorkloadGroup", "PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication",
        "MeshPolicy", "Policy",
    }  # fmt: skip
    assert custom["VirtualService"].short_names == ("vs",)
    assert "istio-io" in custom["VirtualService"].categories
    assert custom["Telemetry"].version == "v1"
    assert [column.name for column in custom["VirtualService"].columns] == ["Name", "Gateways", "Hosts", "Age"]
    assert custom["Gateway"].columns[-1].path == ".metadata.creationTimestamp"


def test_old_groups_of_deployments_are_served_last(schemas):
    kind = schemas.resource("extensions", "v1beta1", "deployments")
    assert kind is schemas.resource("apps", "v1", "deployments")
    assert [str(at) for at in kind.endpoints] == ["apps/v1", "apps/v1beta2", "apps/v1beta1", "extensions/v1beta1"]
    assert kind.resource == "deployments.apps"


def test_policies_of_istio_1_0_are_found_by_the_commands_of_their_time(schemas):
    mesh = schemas.resource("authentication.istio.io", "v1alpha1", "meshpolicies")
    assert (mesh.kind, mesh.namespaced, mesh.resource) == ("MeshPolicy", False, "meshpolicies.authentication.istio.io")
    of_namespace = schemas.resource("authentication.istio.io", "v1alpha1", "policies")
    assert (of_namespace.kind, of_namespace.namespaced) == ("Policy", True)


def test_subresources_speak_their_own_kinds(schemas):
    deployment, pod = schemas.kind("apps/v1", "Deployment"), schemas.kind("v1", "Pod")
    assert (deployment.subresource("scale").group, deployment.subresource("scale").kind) == ("autoscaling", "Scale")
    assert pod.subresource("eviction").kind == "Eviction"
    assert schemas.kind("autoscaling/v1", "Scale") is not None
    assert schemas.resource("autoscaling", "v1", "") is None or not schemas.kind("autoscaling/v1", "Scale").verbs


def test_names_are_unique(schemas):
    for at in {str(at) for kind in schemas.kinds for at in kind.endpoints}:
        served = [kind for kind in schemas.kinds if at in {str(one) for one in kind.endpoints}]
        names = [name for kind in served for name in (kind.plural, *kind.short_names)]
        assert len(names) == len(set(names))


def test_every_document_names_its_kinds_for_apply_and_explain(schemas):
    """kubectl looks for a PATCH that takes fieldValidation, and for the component of a kind."""
    paths = json.loads(schemas.openapi_index().body)["paths"]
    for kind in schemas.kinds:
        for at in kind.endpoints:
            root = f"apis/{at}" if at.group else f"api/{at.version}"
            document = schemas.openapi_document(at.group, at.version)
            assert paths[root]["serverRelativeURL"] == f"/openapi/v3/{root}?hash={document.hash}"
            content = json.loads(document.body)
            wanted = {"group": at.group, "version": at.version, "kind": kind.kind}
            named = [
                one
                for one in content["components"]["schemas"].values()
                if wanted in one.get("x-kubernetes-group-version-kind", [])
            ]
            assert len(named) == 1
            if "patch" not in kind.verbs:
                continue
            patches = [path["patch"] for path in content["paths"].values() if "patch" in path]
            (patch,) = [one for one in patches if one["x-kubernetes-group-version-kind"] == wanted]
            assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}


def test_every_reference_of_a_document_resolves(schemas):
    for kind in schemas.kinds:
        for at in kind.endpoints:
            text = schemas.openapi_document(at.group, at.version).body.decode()
            known = json.loads(text)["components"]["schemas"]
            wanted = {part.split('"', 1)[0] for part in text.split('"#/components/schemas/')[1:]}
            assert wanted <= set(known)


def test_documents_are_the_same_every_time(schemas):
    assert load_schemas().openapi_index() == schemas.openapi_index()


def test_documents_carry_no_descriptions_of_others(schemas):
    text = schemas.openapi_document("apps", "v1").body.decode()
    assert {part.split('"', 1)[0] for part in text.split('"description":"')[1:]} == {"OK"}


@pytest.mark.parametrize("group", ["batch", "apps"])
def test_unknown_documents_are_none(schemas, group):
    assert schemas.openapi_document(group, "v9") is None
