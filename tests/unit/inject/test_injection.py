"""Which pods get a sidecar, and what they look like then."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.inject import AnnotationError, InjectConfig, inject_pod

CONFIG = InjectConfig()


def pod(*, labels=None, annotations=None, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-5d9c-x1",
            "namespace": "shop",
            "labels": {"app": "web", "version": "v2", **(labels or {})},
            "annotations": annotations or {},
        },
        "spec": {"containers": [{"name": "web", "image": "example/web:1", "ports": [{"containerPort": 80}]}], **spec},
    }


def namespace(name="shop", **labels):
    return {"metadata": {"name": name, "labels": {key.replace("_", "-"): value for key, value in labels.items()}}}


ENABLED = namespace(istio_injection="enabled")


def named(items):
    return [item["name"] for item in items]


def test_a_pod_of_an_enabled_namespace_gets_init_container_and_proxy():
    result = inject_pod(pod(), namespace=ENABLED, config=CONFIG)
    assert result.injected
    assert result.warnings == ()
    spec, metadata = result.pod["spec"], result.pod["metadata"]
    assert named(spec["containers"]) == ["web", "istio-proxy"]
    assert named(spec["initContainers"]) == ["istio-init"]
    proxy = spec["containers"][1]
    assert proxy["image"] == spec["initContainers"][0]["image"] == CONFIG.image
    assert proxy["securityContext"]["runAsUser"] == 1337
    assert proxy["readinessProbe"]["httpGet"] == {"path": "/healthz/ready", "port": 15021}
    assert proxy["ports"] == [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}]
    assert proxy["args"][:2] == ["proxy", "sidecar"]
    assert metadata["labels"]["service.istio.io/canonical-name"] == "web"
    assert metadata["labels"]["service.istio.io/canonical-revision"] == "v2"
    assert metadata["annotations"]["kubectl.kubernetes.io/default-container"] == "web"
    status = json.loads(metadata["annotations"]["sidecar.istio.io/status"])
    assert status["containers"] == ["istio-proxy"]
    assert status["initContainers"] == ["istio-init"]
    assert set(status["volumes"]) <= set(named(spec["volumes"]))


def test_a_sidecars_pod_says_that_it_speaks_mutual_tls_unless_it_says_otherwise():
    mode = "security.istio.io/tlsMode"
    assert inject_pod(pod(), namespace=ENABLED, config=CONFIG).pod["metadata"]["labels"][mode] == "istio"
    own = inject_pod(pod(labels={mode: "disabled"}), namespace=ENABLED, config=CONFIG)
    assert own.pod["metadata"]["labels"][mode] == "disabled"
    without = InjectConfig(certificates=False)
    assert mode not in inject_pod(pod(), namespace=ENABLED, config=without).pod["metadata"]["labels"]


def test_the_pod_given_is_not_changed():
    given_pod = pod()
    before = copy.deepcopy(given_pod)
    inject_pod(given_pod, namespace=ENABLED, config=CONFIG)
    assert given_pod == before


def test_injecting_twice_is_injecting_once():
    once = inject_pod(pod(), namespace=ENABLED, config=CONFIG)
    twice = inject_pod(once.pod, namespace=ENABLED, config=CONFIG)
    assert twice.pod == once.pod
    assert not twice.injected
    assert twice.warnings == ()


def test_the_init_container_goes_before_the_pods_own():
    own = {"name": "migrate", "image": "example/migrate:1"}
    result = inject_pod(pod(initContainers=[own]), namespace=ENABLED, config=CONFIG)
    assert named(result.pod["spec"]["initContainers"]) == ["istio-init", "migrate"]


@pytest.mark.parametrize(
    ("home", "labels", "annotations", "expected"),
    [
        (namespace(), {}, {}, False),
        (ENABLED, {}, {}, True),
        (ENABLED, {"sidecar.istio.io/inject": "false"}, {}, False),
        (ENABLED, {}, {"sidecar.istio.io/inject": "false"}, False),
        (ENABLED, {"sidecar.istio.io/inject": "true"}, {"sidecar.istio.io/inject": "false"}, True),
        (namespace(), {"sidecar.istio.io/inject": "true"}, {}, True),
        (namespace(), {}, {"sidecar.istio.io/inject": "true"}, True),
        (namespace(istio_injection="disabled"), {"sidecar.istio.io/inject": "true"}, {}, False),
        (namespace(**{"istio.io/rev": "default"}), {}, {}, True),
        (namespace(**{"istio.io/rev": "canary"}), {}, {}, False),
        (namespace(**{"istio.io/rev": "canary", "istio-injection": "enabled"}), {}, {}, True),
        (namespace(), {"istio.io/rev": "default"}, {}, True),
        (namespace("kube-system", istio_injection="enabled"), {"sidecar.istio.io/inject": "true"}, {}, False),
        (namespace("istio-system", istio_injection="enabled"), {}, {}, False),
        (namespace("istio-system"), {"sidecar.istio.io/inject": "true"}, {}, True),
    ],
)
def test_labels_decide(home, labels, annotations, expected):
    result = inject_pod(pod(labels=labels, annotations=annotations), namespace=home, config=CONFIG)
    assert result.injected is expected
    assert ("istio-proxy" in named(result.pod["spec"]["containers"])) is expected


def test_a_pod_on_the_hosts_network_never_gets_one():
    wish = {"sidecar.istio.io/inject": "true"}
    result = inject_pod(pod(labels=wish, hostNetwork=True), namespace=ENABLED, config=CONFIG)
    assert not result.injected
    assert "spec.hostNetwork" in result.warnings[0]
    unasked = inject_pod(pod(hostNetwork=True), namespace=ENABLED, config=CONFIG)
    assert (unasked.injected, unasked.warnings) == (False, ())


def test_an_unknown_revision_is_said_to_be_unknown():
    result = inject_pod(pod(), namespace=namespace(**{"istio.io/rev": "canary"}), config=CONFIG)
    assert "istio.io/rev=canary" in result.warnings[0]
    assert "istio-injection=enabled" in result.warnings[0]


def test_a_bad_capture_annotation_is_refused_by_name():
    wrong = {"traffic.sidecar.istio.io/excludeOutboundPorts": "80,http"}
    with pytest.raises(AnnotationError, match=r"excludeOutboundPorts: '80,http': 'http' is not a port"):
        inject_pod(pod(annotations=wrong), namespace=ENABLED, config=CONFIG)


def test_init_arguments_say_what_is_captured():
    annotations = {
        "traffic.sidecar.istio.io/excludeInboundPorts": "9000",
        "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8",
        "traffic.sidecar.istio.io/excludeOutboundPorts": "3306",
    }
    result = inject_pod(pod(annotations=annotations), namespace=ENABLED, config=CONFIG)
    args = result.pod["spec"]["initContainers"][0]["args"]
    assert args[0] == "istio-iptables"
    flags = dict(zip(args[1::2], args[2::2], strict=True))
    assert flags["-d"] == "15090,15021,15020,9000"
    assert flags["-i"] == "10.0.0.0/8"
    assert flags["-o"] == "3306"


def test_environment_names_the_deployment_behind_the_replica_set():
    owned = pod(labels={"pod-template-hash": "5d9c"})
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9c", "controller": True, "uid": "1"}
    owned["metadata"]["ownerReferences"] = [owner]
    result = inject_pod(owned, namespace=ENABLED, config=CONFIG)
    env = {item["name"]: item for item in result.pod["spec"]["containers"][1]["env"]}
    assert env["ISTIO_META_WORKLOAD_NAME"]["value"] == "web"
    assert env["ISTIO_META_OWNER"]["value"] == "kubernetes://apis/apps/v1/namespaces/shop/deployments/web"
    assert env["INSTANCE_IP"]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    assert json.loads(env["ISTIO_META_POD_PORTS"]["value"]) == [{"containerPort": 80}]


def test_resources_by_annotation_replace_the_defaults():
    annotations = {"sidecar.istio.io/proxyCPU": "250m"}
    result = inject_pod(pod(annotations=annotations), namespace=ENABLED, config=CONFIG)
    assert result.pod["spec"]["containers"][1]["resources"] == {"requests": {"cpu": "250m"}}


def test_a_users_container_of_image_auto_changes_the_proxy():
    own = {
        "name": "istio-proxy",
        "image": "auto",
        "resources": {"limits": {"cpu": "4"}},
        "env": [{"name": "X", "value": "1"}],
    }
    with_own = pod()
    with_own["spec"]["containers"].append(own)
    result = inject_pod(with_own, namespace=ENABLED, config=CONFIG)
    proxy = result.pod["spec"]["containers"][1]
    assert result.warnings == ()
    assert proxy["image"] == CONFIG.image
    assert proxy["resources"]["limits"]["cpu"] == "4"
    assert {"X", "POD_NAME"} <= set(named(proxy["env"]))
    assert inject_pod(result.pod, namespace=ENABLED, config=CONFIG).pod == result.pod


def test_a_gateway_pod_gets_a_router_and_no_capture():
    gateway = pod(labels={"sidecar.istio.io/inject": "true"}, annotations={"inject.istio.io/templates": "gateway"})
    gateway["spec"]["containers"] = [{"name": "istio-proxy", "image": "auto", "ports": [{"containerPort": 80}]}]
    result = inject_pod(gateway, namespace=namespace("istio-system"), config=CONFIG)
    spec = result.pod["spec"]
    assert named(spec["containers"]) == ["istio-proxy"]
    assert "initContainers" not in spec
    assert spec["containers"][0]["args"][:2] == ["proxy", "router"]
    assert {port["containerPort"] for port in spec["containers"][0]["ports"]} == {80, 15090}
    assert "security.istio.io/tlsMode" not in result.pod["metadata"]["labels"], "its callers are outside"


@given(st.dictionaries(st.sampled_from(["istio-injection", "istio.io/rev"]), st.text(max_size=8)), st.text(max_size=8))
def test_any_labels_lead_to_a_decision_that_stays(labels, wish):
    home = {"metadata": {"name": "shop", "labels": labels}}
    once = inject_pod(pod(labels={"sidecar.istio.io/inject": wish}), namespace=home, config=CONFIG)
    again = inject_pod(once.pod, namespace=home, config=CONFIG)
    assert again.pod == once.pod


@pytest.mark.parametrize(
    ("volume", "mount"),
    [
        ('{"certs": {"secret": {"secretName": "c"}}}', '{"certs": {"mountPath": "/etc/certs"}}'),
        ('[{"name": "certs", "secret": {"secretName": "c"}}]', '[{"name": "certs", "mountPath": "/etc/certs"}]'),
    ],
)
def test_annotations_give_the_sidecar_volumes_and_the_application_none(volume, mount):
    annotations = {"sidecar.istio.io/userVolume": volume, "sidecar.istio.io/userVolumeMount": mount}
    spec = inject_pod(pod(annotations=annotations), namespace=ENABLED, config=CONFIG).pod["spec"]
    application, proxy = spec["containers"]
    assert {"name": "certs", "mountPath": "/etc/certs"} in proxy["volumeMounts"]
    assert "volumeMounts" not in application
    assert {"name": "certs", "secret": {"secretName": "c"}} in spec["volumes"]


def test_the_sidecar_may_share_a_volume_of_the_application():
    annotations = {"sidecar.istio.io/userVolumeMount": '{"socket": {"mountPath": "/socket"}}'}
    volumes = [{"name": "socket", "emptyDir": {}}]
    spec = inject_pod(pod(annotations=annotations, volumes=volumes), namespace=ENABLED, config=CONFIG).pod["spec"]
    assert {"name": "socket", "mountPath": "/socket"} in spec["containers"][1]["volumeMounts"]
    assert named(spec["volumes"]).count("socket") == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("userVolume", "{", "no JSON of names"),
        ("userVolume", '["certs"]', "no JSON of names"),
        ("userVolume", '{"certs": 1}', "no JSON of names"),
        ("userVolumeMount", '{"certs": {"mountPath": "/c"}}', "'certs' is no volume of the pod"),
        ("userVolumeMount", '{"own": {}}', "'own' has no mountPath"),
    ],
)
def test_volumes_that_cannot_be_understood_are_refused(name, value, words):
    given = pod(annotations={f"sidecar.istio.io/{name}": value}, volumes=[{"name": "own", "emptyDir": {}}])
    with pytest.raises(AnnotationError, match=words):
        inject_pod(given, namespace=ENABLED, config=CONFIG)
