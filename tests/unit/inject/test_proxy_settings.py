"""Which ProxyConfig holds for a pod, and what it does to the sidecar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from plait.api.decode import problems_of
from plait.api.mesh_settings import ProxyDefaults
from plait.api.proxyconfig import ProxyConfig
from plait.inject import AnnotationError, InjectConfig, ProxySettings, inject_pod, proxy_settings
from plait.machine.node.proxy import discovery_address

NAMESPACE = {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}


def config(name: str, namespace: str, created: str = "", **spec: Any) -> ProxyConfig:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return msgspec.convert({"metadata": metadata, "spec": spec}, ProxyConfig)


def pod(**annotations: str) -> dict[str, Any]:
    metadata = {"name": "a", "labels": {"app": "a"}, "annotations": annotations}
    return {"metadata": metadata, "spec": {"containers": [{"name": "app", "image": "x"}]}}


def settings(*configs: ProxyConfig, obj: dict[str, Any] | None = None, defaults: Any = None) -> ProxySettings:
    return proxy_settings(
        obj or pod(), namespace="shop", root_namespace="istio-system", configs=configs, defaults=defaults
    )


def test_the_narrower_holds_field_by_field() -> None:
    found = settings(
        config("all", "istio-system", concurrency=1, environmentVariables={"A": "mesh", "B": "mesh"}),
        config("home", "shop", environmentVariables={"B": "namespace", "C": "namespace"}),
        config("one", "shop", selector={"matchLabels": {"app": "a"}}, concurrency=4),
        config("other", "shop", selector={"matchLabels": {"app": "b"}}, concurrency=8),
        config("away", "bank", concurrency=9),
        defaults=ProxyDefaults(concurrency=2, proxy_metadata={"D": "default"}),
    )
    assert found.concurrency == 4
    assert found.environment == {"A": "mesh", "B": "namespace", "C": "namespace", "D": "default"}


def test_of_several_the_oldest_holds_and_the_annotation_over_all() -> None:
    two = (config("b", "shop", "2026-01-02", concurrency=2), config("c", "shop", "2026-01-01", concurrency=3))
    assert settings(*two).concurrency == 3
    said = "concurrency: 0\nproxyMetadata: {A: x}\n"
    found = settings(*two, obj=pod(**{"proxy.istio.io/config": said}))
    assert (found.concurrency, found.environment) == (0, {"A": "x"})
    assert settings(*two, obj=pod(**{"proxy.istio.io/config": "concurrency: ["})).concurrency == 3


def test_a_variable_that_no_pod_can_have_is_left_out() -> None:
    """The API would refuse the pod, and with it every pod that the ProxyConfig is for."""
    found = settings(config("a", "shop", environmentVariables={"A=B": "x", "": "y", "OK": "z"}))
    assert found.environment == {"OK": "z"}


def test_the_proxy_gets_its_threads_and_variables() -> None:
    given = ProxySettings(concurrency=2, environment={"TRUST_DOMAIN": "mine", "NEW": "x"})
    made = inject_pod(pod(), namespace=NAMESPACE, config=InjectConfig(), settings=given).pod
    (proxy,) = (item for item in made["spec"]["containers"] if item["name"] == "istio-proxy")
    assert "--concurrency=2" in proxy["args"]
    values = [(item["name"], item.get("value")) for item in proxy["env"]]
    assert values.count(("TRUST_DOMAIN", "mine")) == 1
    assert [name for name, _ in values].count("TRUST_DOMAIN") == 1
    assert ("NEW", "x") in values


def test_where_istiod_is_may_be_said_by_the_pod() -> None:
    said = pod(**{"proxy.istio.io/config": "discoveryAddress: istiod.istio-system.svc:15010"})
    found = settings(obj=said)
    made = inject_pod(said, namespace=NAMESPACE, config=InjectConfig(), settings=found).pod
    (proxy,) = (item for item in made["spec"]["containers"] if item["name"] == "istio-proxy")
    env = {item["name"]: item.get("value", "") for item in proxy["env"]}
    assert discovery_address(env) == "istiod.istio-system.svc:15010"
    everybody = ProxyDefaults(discovery_address="istiod.other.svc:15012")
    assert settings(defaults=everybody).discovery_address == "istiod.other.svc:15012"
    assert settings(obj=said, defaults=everybody).discovery_address == "istiod.istio-system.svc:15010"
    assert discovery_address({}) == discovery_address({"PROXY_CONFIG": "["}) == ""
    with pytest.raises(AnnotationError, match="'istiod': discoveryAddress is not HOST:PORT"):
        settings(obj=pod(**{"proxy.istio.io/config": "discoveryAddress: istiod"}))


def test_every_field_of_the_example_reaches_the_sidecar() -> None:
    """`image` alone has no effect, which validation says."""
    found = list(yaml.safe_load_all((Path(__file__).parent / "testdata/proxyconfig.in.yaml").read_text()))
    made = settings(*(msgspec.convert(obj, ProxyConfig) for obj in found))
    assert (made.concurrency, made.environment) == (4, {"A": "mesh", "B": "namespace"})
    told = [problem.path for obj in found for problem in problems_of(obj)]
    assert told == ["spec.image"]
