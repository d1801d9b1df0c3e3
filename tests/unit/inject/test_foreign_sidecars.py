"""Sidecars that manifests carry, as the Sock Shop's do, give way to plait's own."""

import copy
import json

import pytest

from plait.inject import InjectConfig, convert_workload, inject_pod

CONFIG = InjectConfig()
HOME = {"metadata": {"name": "sock-shop", "labels": {}}}
STATUS = {
    "version": "ee8ec9a1",
    "initContainers": ["istio-init"],
    "containers": ["istio-proxy"],
    "volumes": ["istio-envoy", "istio-certs"],
    "imagePullSecrets": None,
}


def template():
    return {
        "metadata": {
            "name": "carts-db-1",
            "namespace": "sock-shop",
            "creationTimestamp": None,
            "annotations": {"sidecar.istio.io/status": json.dumps(STATUS), "kept": "yes"},
            "labels": {"name": "carts-db", "version": "v1"},
        },
        "spec": {
            "containers": [
                {"name": "carts-db", "image": "mongo", "volumeMounts": [{"mountPath": "/tmp", "name": "tmp-volume"}]},
                {
                    "name": "istio-proxy",
                    "image": "gcr.io/istio-release/proxyv2:release-1.0-latest-daily",
                    "args": ["proxy", "sidecar"],
                    "volumeMounts": [{"mountPath": "/etc/certs/", "name": "istio-certs"}],
                },
            ],
            "initContainers": [
                {"name": "istio-init", "image": "gcr.io/istio-release/proxy_init:release-1.0-latest-daily"}
            ],
            "nodeSelector": {"beta.kubernetes.io/os": "linux"},
            "volumes": [
                {"name": "tmp-volume", "emptyDir": {"medium": "Memory"}},
                {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}},
                {"name": "istio-certs", "secret": {"secretName": "istio.default", "optional": True}},
            ],
        },
    }


def pod():
    return {"apiVersion": "v1", "kind": "Pod", **template()}


def named(items):
    return [item["name"] for item in items]


def test_the_foreign_sidecar_goes_and_ours_comes_without_any_label():
    result = inject_pod(pod(), namespace=HOME, config=CONFIG)
    assert result.injected
    spec = result.pod["spec"]
    assert named(spec["containers"]) == ["carts-db", "istio-proxy"]
    assert spec["containers"][1]["image"] == CONFIG.image
    assert named(spec["initContainers"]) == ["istio-init"]
    assert spec["initContainers"][0]["image"] == CONFIG.image
    assert "istio-certs" not in named(spec["volumes"])
    assert "tmp-volume" in named(spec["volumes"])
    assert result.pod["metadata"]["annotations"]["kept"] == "yes"
    (warning,) = result.warnings
    for part in ("carts-db-1", "istio-proxy", "istio-init", "istio-envoy", "istio-certs", "istio-injection=enabled"):
        assert part in warning
    assert inject_pod(result.pod, namespace=HOME, config=CONFIG).pod == result.pod


def test_without_the_status_annotation_it_is_known_by_its_names():
    plain = pod()
    del plain["metadata"]["annotations"]
    result = inject_pod(plain, namespace=HOME, config=CONFIG)
    assert named(result.pod["spec"]["containers"]) == ["carts-db", "istio-proxy"]
    assert "istio-certs" not in named(result.pod["spec"]["volumes"])


@pytest.mark.parametrize("status", ["", "not json", "[]", '{"containers": 5}', '{"containers": [1]}'])
def test_an_unreadable_status_does_no_harm(status):
    odd = pod()
    odd["metadata"]["annotations"]["sidecar.istio.io/status"] = status
    result = inject_pod(odd, namespace=HOME, config=CONFIG)
    assert named(result.pod["spec"]["containers"]) == ["carts-db", "istio-proxy"]


def test_a_status_that_names_every_container_leaves_the_application():
    odd = pod()
    odd["metadata"]["annotations"]["sidecar.istio.io/status"] = json.dumps({"containers": ["carts-db", "istio-proxy"]})
    result = inject_pod(odd, namespace=HOME, config=CONFIG)
    assert named(result.pod["spec"]["containers"]) == ["carts-db", "istio-proxy"]


def test_a_volume_that_the_application_mounts_stays():
    shared = pod()
    shared["spec"]["containers"][0]["volumeMounts"].append({"mountPath": "/certs", "name": "istio-certs"})
    result = inject_pod(shared, namespace=HOME, config=CONFIG)
    assert "istio-certs" in named(result.pod["spec"]["volumes"])


def test_who_refuses_a_sidecar_loses_the_foreign_one_and_gets_none():
    refusing = pod()
    refusing["metadata"]["labels"]["sidecar.istio.io/inject"] = "false"
    result = inject_pod(refusing, namespace=HOME, config=CONFIG)
    assert named(result.pod["spec"]["containers"]) == ["carts-db"]
    assert "it gets none" in result.warnings[0]


def test_a_native_foreign_sidecar_is_taken_out_of_the_init_containers():
    native = pod()
    proxy = native["spec"]["containers"].pop()
    native["spec"]["initContainers"].append({**proxy, "restartPolicy": "Always"})
    result = inject_pod(native, namespace=HOME, config=CONFIG)
    assert named(result.pod["spec"]["containers"]) == ["carts-db", "istio-proxy"]
    assert named(result.pod["spec"]["initContainers"]) == ["istio-init"]


def deployment(version="extensions/v1beta1"):
    return {
        "apiVersion": version,
        "kind": "Deployment",
        "metadata": {"name": "carts-db", "namespace": "sock-shop", "creationTimestamp": None},
        "spec": {"replicas": 1, "strategy": {}, "template": template()},
        "status": {},
    }


@pytest.mark.parametrize("version", ["extensions/v1beta1", "apps/v1beta1", "apps/v1beta2"])
def test_an_old_deployment_becomes_apps_v1_with_the_templates_labels_as_selector(version):
    given = deployment(version)
    before = copy.deepcopy(given)
    converted, warnings = convert_workload(given)
    assert given == before
    assert converted["apiVersion"] == "apps/v1"
    assert converted["spec"]["selector"] == {"matchLabels": {"name": "carts-db", "version": "v1"}}
    assert "creationTimestamp" not in converted["metadata"]
    assert "creationTimestamp" not in converted["spec"]["template"]["metadata"]
    assert "status" not in converted
    assert converted["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    text = "\n".join(warnings)
    assert f"{version} is gone since Kubernetes 1.16" in text
    assert "matchLabels: {name: carts-db, version: v1}" in text
    assert "kubernetes.io/os: linux" in text
    assert "carries a sidecar" in text


def test_the_templates_sidecar_stays_so_that_its_pods_still_ask_for_one():
    converted, _ = convert_workload(deployment())
    made = {"apiVersion": "v1", "kind": "Pod", **converted["spec"]["template"]}
    assert inject_pod(made, namespace=HOME, config=CONFIG).injected


def test_converting_twice_changes_nothing_more():
    once, _ = convert_workload(deployment())
    twice, warnings = convert_workload(once)
    assert twice == once
    assert [w for w in warnings if "carries a sidecar" not in w] == []


def test_a_selector_that_is_there_stays():
    given = deployment()
    given["spec"]["selector"] = {"matchLabels": {"name": "carts-db"}}
    converted, _ = convert_workload(given)
    assert converted["spec"]["selector"] == {"matchLabels": {"name": "carts-db"}}


def test_a_selector_that_is_not_given_stays_as_it_is_stored():
    stored = {"spec": {"selector": {"matchLabels": {"name": "carts-db"}}}}
    converted, warnings = convert_workload(deployment(), stored=stored)
    assert converted["spec"]["selector"] == {"matchLabels": {"name": "carts-db"}}
    assert converted["spec"]["selector"] is not stored["spec"]["selector"]
    assert any(line.endswith("the stored one is kept; write {matchLabels: {name: carts-db}}") for line in warnings)


def test_fields_without_meaning_today_are_left_out_with_a_warning():
    given = deployment()
    given["spec"]["rollbackTo"] = {"revision": 3}
    converted, warnings = convert_workload(given)
    assert "rollbackTo" not in converted["spec"]
    assert any("spec.rollbackTo" in warning for warning in warnings)


@pytest.mark.parametrize(
    "obj",
    [
        {},
        {"kind": "Deployment", "apiVersion": "extensions/v1beta1"},
        {"kind": "Deployment", "apiVersion": "extensions/v1beta1", "metadata": [], "spec": 7},
        {"kind": "Deployment", "apiVersion": "apps/v1beta1", "spec": {"template": {"metadata": None, "spec": "x"}}},
        {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "spec": {"template": {"spec": {"containers": "abc", "volumes": 3}}},
        },
        {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "spec": {"template": {"spec": {"containers": [{"name": "istio-proxy"}]}}},
        },
        {"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "b"}},
    ],
)
def test_objects_of_the_wrong_shape_are_left_to_validation(obj):
    converted, _ = convert_workload(obj)
    assert converted.get("kind") == obj.get("kind")
