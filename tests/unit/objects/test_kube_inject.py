"""Manual injection: whole manifests in, manifests with sidecars out."""

from __future__ import annotations

import copy

import pytest
import yaml
from click.testing import CliRunner

from plait.api.yaml import read_yaml
from plait.app.objects.show import as_yaml
from plait.cli.main import main
from plait.inject import InjectConfig, inject_pod
from plait.inject.workload import inject_workload

CONFIG = InjectConfig()
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web", "version": "v1"}},
            "spec": {"containers": [{"name": "web", "image": "python:3", "ports": [{"containerPort": 80}]}]},
        },
    },
}
FOREIGN = {
    "initContainers": [{"name": "istio-init", "image": "docker.io/istio/proxy_init:1.0.4"}],
    "containers": [{"name": "web", "image": "python:3"}, {"name": "istio-proxy", "image": "istio/proxyv2:1.0.4"}],
    "volumes": [{"name": "istio-envoy", "emptyDir": {}}, {"name": "istio-certs", "secret": {"secretName": "x"}}],
}


def _inject(obj: dict):
    before = copy.deepcopy(obj)
    made = inject_workload(obj, namespace="default", config=CONFIG)
    assert obj == before, "the argument is not changed"
    return made


def _environment(container: dict) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def test_a_template_gets_the_sidecar_and_knows_its_workload() -> None:
    made = _inject(DEPLOYMENT)
    template = made.pod["spec"]["template"]
    assert made.injected
    assert [c["name"] for c in template["spec"]["containers"]] == ["web", "istio-proxy"]
    assert [c["name"] for c in template["spec"]["initContainers"]] == ["istio-init"]
    assert "ownerReferences" not in template["metadata"]
    environment = _environment(template["spec"]["containers"][1])
    assert environment["ISTIO_META_WORKLOAD_NAME"] == "web"
    assert environment["ISTIO_META_OWNER"] == "kubernetes://apis/apps/v1/namespaces/shop/deployments/web"
    assert made.pod["spec"]["selector"] == DEPLOYMENT["spec"]["selector"]


def test_twice_is_once() -> None:
    once = _inject(DEPLOYMENT).pod
    again = _inject(once)
    assert again.pod == once
    assert not again.injected


@pytest.mark.parametrize("labels", [{}, {"istio-injection": "enabled"}])
def test_its_pods_are_not_injected_again_at_the_door(labels: dict) -> None:
    template = _inject(DEPLOYMENT).pod["spec"]["template"]
    pod = {"metadata": {"generateName": "web-1-", **template["metadata"]}, "spec": template["spec"]}
    made = inject_pod(pod, namespace={"metadata": {"name": "shop", "labels": labels}}, config=CONFIG)
    assert made.pod == pod


@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_who_says_no_is_left_alone(where: str) -> None:
    obj = copy.deepcopy(DEPLOYMENT)
    obj["spec"]["template"]["metadata"].setdefault(where, {})["sidecar.istio.io/inject"] = "false"
    assert _inject(obj).pod == obj


def test_a_foreign_sidecar_is_replaced_with_a_warning_and_never_doubled() -> None:
    obj = copy.deepcopy(DEPLOYMENT)
    obj["spec"]["template"]["spec"] = copy.deepcopy(FOREIGN)
    made = _inject(obj)
    spec = made.pod["spec"]["template"]["spec"]
    assert [c["image"] for c in spec["containers"]] == ["python:3", CONFIG.image]
    assert [c["image"] for c in spec["initContainers"]] == [CONFIG.image]
    assert "istio-certs" not in {volume["name"] for volume in spec["volumes"]}
    (warning,) = made.warnings
    assert warning.startswith('Deployment "web": ')
    assert "istio/proxyv2:1.0.4" in warning


def test_old_groups_and_cron_jobs_and_pods() -> None:
    old = {**DEPLOYMENT, "apiVersion": "extensions/v1beta1"}
    made = _inject(old).pod
    assert made["apiVersion"] == "extensions/v1beta1", "the manifest's own form is the user's"
    assert "/apps/v1/" in _environment(made["spec"]["template"]["spec"]["containers"][1])["ISTIO_META_OWNER"]
    template = DEPLOYMENT["spec"]["template"]
    cron = {"kind": "CronJob", "metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": {"template": template}}}}
    assert len(_inject(cron).pod["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]) == 2
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    assert len(_inject(pod).pod["spec"]["containers"]) == 2


@pytest.mark.parametrize(
    "obj",
    [
        {"kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": []}},
        {"kind": "Deployment", "metadata": {"name": "d"}},
        {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": None}},
        {"kind": "CronJob", "metadata": {"name": "d"}, "spec": {"jobTemplate": 1}},
        {"kind": "Deployment", "spec": {"template": {"spec": {"hostNetwork": True, "containers": [{"name": "a"}]}}}},
    ],
)
def test_what_has_no_pod_to_inject_stays_as_it_is(obj: dict) -> None:
    assert _inject(obj).pod == obj


def test_the_command_prints_all_documents_and_takes_its_own_output() -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {selector: {app: web}}\n"
    text = f"{service}---\n{as_yaml(DEPLOYMENT)}---\n"
    once = CliRunner().invoke(main, ["kube-inject", "-f", "-"], input=text)
    assert once.exit_code == 0, once.output
    kinds = [document["kind"] for document in yaml.safe_load_all(once.stdout)]
    assert kinds == ["Service", "Deployment"]
    twice = CliRunner().invoke(main, ["kube-inject", "-f", "-"], input=once.stdout)
    assert twice.stdout == once.stdout


def test_the_command_names_the_annotation_that_cannot_be_followed() -> None:
    obj = copy.deepcopy(DEPLOYMENT)
    obj["spec"]["template"]["metadata"]["annotations"] = {"traffic.sidecar.istio.io/excludeInboundPorts": "http"}
    done = CliRunner().invoke(main, ["kube-inject", "-f", "-"], input=as_yaml(obj))
    assert done.exit_code == 1
    assert "STDIN:" in done.stderr
    assert "traffic.sidecar.istio.io/excludeInboundPorts: 'http': 'http' is not a port" in done.stderr


@pytest.mark.parametrize(
    "text", ["y", "on", "1e3", "0o17", "0x1F", "12:30", "1_000", "null", "~", "", " a", "a: b", "-"]
)
def test_texts_that_look_like_something_else_stay_texts(text: str) -> None:
    (document,) = read_yaml(as_yaml({"value": text, "lines": "a\nb\n"})).documents
    assert document.value == {"value": text, "lines": "a\nb\n"}
    assert yaml.safe_load(as_yaml({"value": text})) == {"value": text}
