import pytest

from plait.machine.node.environment import ConfigError, base_variables, environment, field, service_variables
from plait.machine.quantity import parse_quantity

POD = {
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"app": "web", "b": 'say "hi"\n'},
        "annotations": {"example.org/note": "yes"},
    },
    "spec": {"serviceAccountName": "robot", "nodeName": "plait", "containers": []},
}
NODE = {"status.podIP": "10.42.0.20", "status.hostIP": "10.42.0.1"}


class Objects:
    def __init__(self, **objects):
        self.objects = objects

    def data(self, kind, name):
        return self.objects.get(f"{kind}_{name}")


def env_of(items, *, sources=None, env_from=(), base=None, resources=None):
    container = {"name": "c", "env": items, "envFrom": list(env_from), "resources": resources or {}}
    return environment(POD, container, base=base or {}, sources=sources or Objects(), node=NODE)


def test_values_refer_to_what_stands_before_them():
    items = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)-$(BASE)-$(C)-$$(A)"},
        {"name": "C", "value": "late"},
    ]
    assert env_of(items, base={"BASE": "x"}) == {"BASE": "x", "A": "1", "B": "1-x-$(C)-$(A)", "C": "late"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['example.org/note']", "yes"),
        ("metadata.labels", 'app="web"\nb="say \\"hi\\"\\n"'),
        ("spec.nodeName", "plait"),
        ("spec.serviceAccountName", "robot"),
        ("status.podIP", "10.42.0.20"),
        ("status.hostIP", "10.42.0.1"),
    ],
)
def test_fields_of_the_pod(path, text):
    assert field(POD, path, NODE) == text


def test_an_unknown_field_is_named():
    with pytest.raises(ConfigError, match=r"unsupported fieldPath: spec\.color"):
        field(POD, "spec.color", NODE)


def test_keys_of_config_maps_and_secrets():
    sources = Objects(ConfigMap_cfg={"color": b"blue"}, Secret_sec={"pw": b"x\xc3\xa4"})
    items = [
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "color"}}},
        {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "pw"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "other", "optional": True}}},
        {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k", "optional": True}}},
    ]
    assert env_of(items, sources=sources) == {"COLOR": "blue", "PW": "xä"}


def test_what_is_missing_is_named():
    item = {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "k"}}}
    with pytest.raises(ConfigError, match='configmap "cfg" not found'):
        env_of([item])
    with pytest.raises(ConfigError, match="couldn't find key k in ConfigMap cfg"):
        env_of([item], sources=Objects(ConfigMap_cfg={}))


def test_env_from_takes_all_usable_keys_with_a_prefix():
    sources = Objects(ConfigMap_cfg={"A": b"1", "not ok": b"2", "b.c": b"3"})
    assert env_of([], sources=sources, env_from=[{"prefix": "P_", "configMapRef": {"name": "cfg"}}]) == {
        "P_A": "1",
        "P_b.c": "3",
    }
    assert env_of([], env_from=[{"secretRef": {"name": "no", "optional": True}}]) == {}
    with pytest.raises(ConfigError, match='secret "no" not found'):
        env_of([], env_from=[{"secretRef": {"name": "no"}}])


def test_env_overrules_env_from_and_base():
    sources = Objects(ConfigMap_cfg={"A": b"from"})
    env = env_of(
        [{"name": "A", "value": "own"}],
        base={"A": "base", "B": "base"},
        sources=sources,
        env_from=[{"configMapRef": {"name": "cfg"}}],
    )
    assert env == {"A": "own", "B": "base"}


@pytest.mark.parametrize(
    ("name", "divisor", "text"),
    [
        ("limits.memory", None, "67108864"),
        ("limits.memory", "1Mi", "64"),
        ("limits.cpu", None, "1"),
        ("requests.cpu", "1m", "100"),
        ("requests.memory", "1Mi", "64"),
    ],
)
def test_resources(name, divisor, text):
    ref = {"resource": name, **({"divisor": divisor} if divisor else {})}
    resources = {"limits": {"memory": "64Mi", "cpu": "500m"}, "requests": {"cpu": "100m"}}
    item = {"name": "X", "valueFrom": {"resourceFieldRef": ref}}
    assert env_of([item], resources=resources) == {"X": text}


@pytest.mark.parametrize(("text", "number"), [("1.5", 1.5), ("100m", 0.1), ("2Ki", 2048), ("3k", 3000), ("1e3", 1000)])
def test_quantities(text, number):
    assert float(parse_quantity(text)) == number


def test_a_bad_quantity_is_named():
    with pytest.raises(ValueError, match="'1 apple'"):
        parse_quantity("1 apple")


def test_service_links_are_those_of_the_kubelet():
    service = {
        "metadata": {"name": "my-db"},
        "spec": {"clusterIP": "10.42.128.9", "ports": [{"name": "sql", "port": 3306}]},
    }
    headless = {"metadata": {"name": "h"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    assert service_variables([service, headless]) == {
        "MY_DB_SERVICE_HOST": "10.42.128.9",
        "MY_DB_SERVICE_PORT": "3306",
        "MY_DB_SERVICE_PORT_SQL": "3306",
        "MY_DB_PORT": "tcp://10.42.128.9:3306",
        "MY_DB_PORT_3306_TCP": "tcp://10.42.128.9:3306",
        "MY_DB_PORT_3306_TCP_PROTO": "tcp",
        "MY_DB_PORT_3306_TCP_PORT": "3306",
        "MY_DB_PORT_3306_TCP_ADDR": "10.42.128.9",
    }


def test_every_container_knows_its_host_and_the_api():
    env = base_variables(hostname="web", uid=7, image={"PATH": "/x"}, services={}, api=("10.42.128.1", 443))
    assert (env["HOSTNAME"], env["HOME"], env["PATH"]) == ("web", "/", "/x")
    assert (env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"]) == ("10.42.128.1", "443")
