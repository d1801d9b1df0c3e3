"""Defaults that matter to clients, beyond the recorded ones."""

from __future__ import annotations

import base64
import copy

import pytest


@pytest.fixture
def default(schemas):
    return lambda obj: schemas.default(schemas.kind(obj["apiVersion"], obj["kind"]), obj)


def test_an_empty_strategy_is_filled_in(default, deployment):
    """helm reads rollingUpdate.maxUnavailable without looking whether it is there."""
    deployment["spec"]["strategy"] = {}
    assert default(deployment)["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }


def test_the_given_object_is_left_alone(default, deployment, service):
    for obj in (deployment, service):
        before = copy.deepcopy(obj)
        default(obj)
        assert obj == before


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(default, deployment, image, policy):
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image
    assert default(deployment)["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_only_pods_get_what_admission_adds(default, deployment):
    template = default(deployment)["spec"]["template"]
    assert not {"serviceAccountName", "tolerations", "enableServiceLinks", "priority"} & set(template["spec"])
    pod = default({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": template["spec"]})
    assert pod["spec"]["serviceAccountName"] == pod["spec"]["serviceAccount"] == "default"
    assert pod["spec"]["enableServiceLinks"] is True
    assert len(pod["spec"]["tolerations"]) == 2


def test_plain_text_of_a_secret_goes_into_its_data(default):
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"a": "eA==", "b": "eQ=="},
        "stringData": {"b": "grün"},
    }
    made = default(secret)
    assert made["type"] == "Opaque"
    assert made["data"] == {"a": "eA==", "b": base64.b64encode("grün".encode()).decode()}
    assert "stringData" not in made


def test_a_namespace_is_labelled_and_kept_until_empty(default):
    made = default({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    leaving = {**made, "spec": {}, "metadata": {**made["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert default(leaving)["spec"] == {}


def test_legacy_and_new_deployments_default_alike(schemas, deployment):
    kind = schemas.kind("apps/v1", "Deployment")
    new = schemas.default(kind, deployment)
    old = copy.deepcopy(deployment) | {"apiVersion": "apps/v1beta1"}
    del old["spec"]["selector"]
    assert schemas.default(kind, schemas.to_storage(kind, old)) == new
    assert schemas.to_version(kind, new, "apps/v1beta1")["apiVersion"] == "apps/v1beta1"


@pytest.mark.parametrize(
    ("kind", "given", "made"),
    [
        (
            ("autoscaling/v2", "HorizontalPodAutoscaler"),
            {"spec": {"maxReplicas": 3, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}},
            {
                "spec": {
                    "maxReplicas": 3,
                    "minReplicas": 1,
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                        }
                    ],
                    "behavior": {
                        "scaleUp": {
                            "selectPolicy": "Max",
                            "stabilizationWindowSeconds": 0,
                            "policies": [
                                {"type": "Pods", "value": 4, "periodSeconds": 15},
                                {"type": "Percent", "value": 100, "periodSeconds": 15},
                            ],
                        },
                        "scaleDown": {
                            "selectPolicy": "Max",
                            "stabilizationWindowSeconds": 60,
                            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                        },
                    },
                }
            },
        ),
        (
            ("networking.k8s.io/v1", "NetworkPolicy"),
            {"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}},
            {
                "spec": {
                    "podSelector": {},
                    "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}],
                    "policyTypes": ["Ingress", "Egress"],
                }
            },
        ),
        (("v1", "PersistentVolumeClaim"), {}, {"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}),
        (
            ("v1", "LimitRange"),
            {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]}},
            {
                "spec": {
                    "limits": [
                        {
                            "type": "Container",
                            "max": {"cpu": "2"},
                            "min": {"memory": "1Mi"},
                            "default": {"cpu": "2"},
                            "defaultRequest": {"memory": "1Mi", "cpu": "2"},
                        }
                    ]
                }
            },
        ),
        (
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
            {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]},
            {
                "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
                "subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}],
            },
        ),
    ],
)
def test_kinds_without_effect_read_back_as_on_any_cluster(default, kind, given, made):
    head = {"apiVersion": kind[0], "kind": kind[1], "metadata": {"name": "x"}}
    assert default({**head, **given}) == {**head, **made}
