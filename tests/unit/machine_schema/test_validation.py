"""Rules beyond the recorded ones, and the messages people read."""

from __future__ import annotations

import copy

import pytest


@pytest.fixture
def faults(schemas):
    def check(obj, old=None):
        kind = schemas.kind(obj["apiVersion"], obj["kind"])
        before = schemas.default(kind, old) if old else None
        return [str(fault) for fault in schemas.validate(kind, schemas.default(kind, obj), before)]

    return check


def test_good_objects_pass(faults, deployment, service, virtual_service):
    for obj in (deployment, service, virtual_service):
        assert faults(obj) == []
        assert faults(obj, obj) == []


def test_messages_have_the_form_kubectl_shows(faults, deployment, service):
    del deployment["spec"]["selector"]
    deployment["spec"]["replicas"] = -1
    assert faults(deployment) == [
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        "spec.selector: Required value",
    ]
    service["spec"]["ports"] = []
    assert faults(service) == ["spec.ports: Required value"]
    service["spec"]["type"] = "Cluster"
    assert 'spec.type: Unsupported value: "Cluster": supported values: "ClusterIP"' in faults(service)[0]


def test_a_selector_never_changes(faults, deployment):
    changed = copy.deepcopy(deployment)
    changed["spec"]["selector"]["matchLabels"]["v"] = changed["spec"]["template"]["metadata"]["labels"]["v"] = "2"
    (fault,) = faults(changed, deployment)
    assert fault.startswith("spec.selector: Invalid value")
    assert fault.endswith("field is immutable")


def test_a_selector_must_match_its_own_pods(faults, deployment):
    deployment["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    (fault,) = faults(deployment)
    assert fault.startswith('spec.template.metadata.labels: Invalid value: {"app": "other"}')


def test_an_address_never_changes_but_comes_and_goes_with_external_names(faults, service):
    service["spec"] |= {"clusterIP": "10.42.128.7", "clusterIPs": ["10.42.128.7"]}
    moved = copy.deepcopy(service)
    moved["spec"] |= {"clusterIP": "10.42.128.8", "clusterIPs": ["10.42.128.8"]}
    assert "may not change once set" in faults(moved, service)[0]
    away = copy.deepcopy(service)
    away["spec"] = {"type": "ExternalName", "externalName": "shop.example.com"}
    assert faults(away, service) == []
    assert faults(service, away) == []


def test_the_node_takes_a_pod_once_and_images_change(faults, deployment):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}}
    pod["spec"] = copy.deepcopy(deployment["spec"]["template"]["spec"])
    pod["spec"]["containers"][0]["image"] = "nginx:1"
    taken = copy.deepcopy(pod)
    taken["spec"]["nodeName"] = "plait"
    taken["spec"]["containers"][0]["image"] = "nginx:2"
    assert faults(taken, pod) == []
    moved = copy.deepcopy(taken)
    moved["spec"]["nodeName"] = "other"
    (fault,) = faults(moved, taken)
    assert fault.startswith("spec: Forbidden: pod updates may not change fields other than")
    assert fault.endswith("changed: spec.nodeName")


@pytest.mark.parametrize(
    ("kind", "name", "good"),
    [
        ("Service", "1web", False),
        ("Service", "web-1", True),
        ("Namespace", "a.b", False),
        ("ConfigMap", "a.b", True),
        ("ConfigMap", "kube-root-ca.crt", True),
        ("ConfigMap", "A", False),
        ("ConfigMap", "x" * 254, False),
    ],
)
def test_names(faults, service, kind, name, good):
    obj = {**service, "kind": kind, "metadata": {"name": name, "namespace": "n"}}
    if kind != "Service":
        obj.pop("spec")
    if kind == "Namespace":
        del obj["metadata"]["namespace"]
    assert [fault.split(":")[0] for fault in faults(obj)] == ([] if good else ["metadata.name"])


def test_metadata_of_custom_resources_is_checked(faults, virtual_service):
    virtual_service["metadata"]["labels"] = {"a": "not a label"}
    assert faults(virtual_service)[0].startswith('metadata.labels[a]: Invalid value: "not a label"')


def test_an_immutable_config_map_stays_as_it_is(faults):
    old = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "immutable": True}
    assert faults({**old, "data": {"a": "b"}}, old) == ["data: Forbidden: field is immutable when `immutable` is set"]


def test_the_contents_of_secrets_stay_out_of_messages(faults):
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "n"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": "pa55word"},
    }
    (fault,) = faults(secret)
    assert "pa55word" not in fault
    assert "redacted" in fault


def test_wrong_types_come_before_rules(faults, deployment):
    deployment["spec"]["template"]["spec"]["containers"] = [7]
    (fault,) = faults(deployment)
    assert fault.startswith("spec.template.spec.containers[0]: Invalid value: 7: must be an object, not an integer")


def test_a_service_stays_near_in_one_of_three_ways(faults, service):
    service["spec"]["trafficDistribution"] = "PreferSameZone"
    assert faults(service) == []
    service["spec"]["trafficDistribution"] = "Foo"
    (fault,) = faults(service)
    words = '"PreferClose", "PreferSameNode", "PreferSameZone"'
    assert fault == f'spec.trafficDistribution: Unsupported value: "Foo": supported values: {words}'
