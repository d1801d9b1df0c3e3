"""The demo's own manifests and its image table fit together, and fit the original's manifests."""

from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

SHOP = Path(__file__).parents[3] / "demo" / "sockshop"
IMAGES = yaml.safe_load((SHOP / "images.yaml").read_text())["images"]
OBJECTS = [
    document
    for path in sorted((SHOP / "manifests").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]


def of_kind(kind):
    return {document["metadata"]["name"]: document for document in OBJECTS if document["kind"] == kind}


def image(reference):
    return [entry for entry in IMAGES if fnmatch(reference, entry["match"])]


@pytest.mark.parametrize(
    ("reference", "module", "version"),
    [
        ("weaveworksdemos/front-end:0.3.12", "sockshop.front_end", "v1"),
        ("vinayakinfrac/front-end:0.3.13", "sockshop.front_end", "v2"),
        ("weaveworksdemos/catalogue:0.3.5", "sockshop.catalogue", None),
        ("weaveworksdemos/catalogue-db:0.3.0", "sockshop.catalogue_db", None),
    ],
)
def test_each_image_of_the_demo_has_exactly_one_program(reference, module, version):
    (entry,) = image(reference)
    assert entry["command"][:3] == ["python", "-m", module]
    assert (SHOP.parent / module.replace(".", "/") / "__main__.py").is_file()
    assert entry.get("env", {}).get("SOCKSHOP_VERSION") == version


def test_namespaces_come_first_and_are_injected():
    assert OBJECTS[0]["kind"] == "Namespace"
    assert OBJECTS[0]["metadata"] == {"name": "sock-shop", "labels": {"istio-injection": "enabled"}}
    assert {document["metadata"].get("namespace") for document in OBJECTS[1:]} == {"sock-shop"}


def test_services_find_pods_and_name_their_protocol():
    pods = [
        (one["spec"]["template"]["metadata"]["labels"], one["spec"]["template"]["spec"])
        for one in of_kind("Deployment").values()
    ]
    for name, service in of_kind("Service").items():
        chosen = [spec for labels, spec in pods if service["spec"]["selector"].items() <= labels.items()]
        assert chosen, name
        for port in service["spec"]["ports"]:
            assert port["name"].startswith(("http-", "tcp-"))
            for spec in chosen:
                assert port["targetPort"] in [one["containerPort"] for one in spec["containers"][0]["ports"]]


def test_deployments_select_their_own_pods_and_no_others():
    services = {"carts", "catalogue", "orders", "payment", "queue-master", "rabbitmq", "shipping", "user"}
    databases = {"carts-db", "catalogue-db", "orders-db", "user-db"}
    assert set(of_kind("Deployment")) == {"front-end-v1", "front-end-v2"} | services | databases
    for one in of_kind("Deployment").values():
        assert one["apiVersion"] == "apps/v1"
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert labels["version"] in {"v1", "v2"}
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert "readinessProbe" in container
        assert image(container["image"])


def test_routes_lead_to_subsets_that_exist():
    subsets = {
        (rule["spec"]["host"], subset["name"])
        for rule in of_kind("DestinationRule").values()
        for subset in rule["spec"]["subsets"]
    }
    for one in of_kind("VirtualService").values():
        for route in one["spec"]["http"]:
            for target in route["route"]:
                assert (target["destination"]["host"], target["destination"]["subset"]) in subsets
    assert of_kind("VirtualService")["front-end"]["spec"]["gateways"] == list(of_kind("Gateway"))
