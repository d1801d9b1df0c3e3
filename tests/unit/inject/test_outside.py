"""Programs in no pod: their WorkloadEntry and their files, from their group."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from plait.api.decode import problems_of
from plait.inject.outside import Joining, entry_name, files, probe_of, workload_entry

LEDGER, STORE = yaml.safe_load_all((Path(__file__).parent / "testdata/workloadgroup.in.yaml").read_text())


def test_an_entry_is_the_template_with_the_groups_labels_and_those_of_the_program():
    joining = Joining(address="10.42.0.2", labels={"tier": "own"}, locality="east/2")
    assert workload_entry(LEDGER, joining) == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {
            "name": "ledger-10.42.0.2",
            "namespace": "shop",
            "labels": {"app": "ledger", "tier": "own", "version": "v1"},
            "annotations": {
                "istio.io/autoRegistrationGroup": "ledger",
                "team": "money",
                "proxy.istio.io/health-checks-enabled": "true",
            },
            "ownerReferences": [
                {
                    "apiVersion": "networking.istio.io/v1",
                    "kind": "WorkloadGroup",
                    "name": "ledger",
                    "uid": "7",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "address": "10.42.0.2",
            "ports": {"http": 5400, "tcp": 5401},
            "labels": {"app": "ledger", "tier": "own", "version": "v1"},
            "network": "here",
            "locality": "east/2",
            "weight": 3,
            "serviceAccount": "ledger",
        },
    }
    assert not problems_of(workload_entry(LEDGER, joining))
    assert workload_entry(LEDGER, Joining(address="10.42.0.2"))["spec"]["locality"] == "west/1/a"


@pytest.mark.parametrize(
    ("joining", "name"),
    [
        (Joining(address="10.1.2.3"), "store-10.1.2.3"),
        (Joining(address="10.1.2.3", network="n1"), "store-10.1.2.3-n1"),
        (Joining(address="fd00::1"), "store-fd00--1"),
    ],
)
def test_an_entry_is_named_by_group_address_and_network(joining, name):
    assert entry_name("store", joining) == name


def test_of_a_long_name_the_end_is_kept():
    assert len(entry_name("g" * 300, Joining(address="10.1.2.3"))) == 253
    assert entry_name("g" * 300, Joining(address="10.1.2.3")).endswith("ggg-10.1.2.3")


def test_only_probes_that_istiod_can_make_count():
    assert probe_of(LEDGER) == LEDGER["spec"]["probe"]
    assert probe_of({"spec": {"probe": {"exec": {"command": ["/bin/true"]}}}}) is None
    assert probe_of({"spec": {}}) is None


def test_files_are_istios_and_the_bootstrap_registers():
    defaults = {"concurrency": 2, "proxyMetadata": {"A": "b"}}
    given = {"token": "t0ken", "istiod": "127.0.0.1:15012", "proxy_config": defaults, "roots": "PEM"}
    made = files(LEDGER, Joining(address="10.42.0.2"), register=True, **given)
    assert sorted(made) == ["cluster.env", "envoy.json", "hosts", "istio-token", "mesh.yaml", "root-cert.pem"]
    variables = dict(shlex.split(line)[0].split("=", 1) for line in made["cluster.env"].splitlines())
    assert variables["ISTIO_SERVICE"] == "ledger.shop"
    assert variables["ISTIO_INBOUND_PORTS"] == "5400,5401"
    assert variables["ISTIO_SVC_IP"] == "10.42.0.2"
    settings = yaml.safe_load(made["mesh.yaml"])["defaultConfig"]
    assert settings["concurrency"] == 2
    assert settings["readinessProbe"] == LEDGER["spec"]["probe"]
    who = settings["proxyMetadata"]
    assert who["A"] == "b"
    assert who["ISTIO_META_AUTO_REGISTER_GROUP"] == "ledger"
    assert json.loads(who["ISTIO_METAJSON_LABELS"])["service.istio.io/canonical-name"] == "ledger"
    clusters = json.loads(made["envoy.json"])["static_resources"]["clusters"]
    tls = next(each for each in clusters if each["name"] == "xds-grpc")["transport_socket"]["typed_config"]
    assert tls["common_tls_context"]["validation_context"]["trusted_ca"] == {"inline_string": "PEM"}
    assert made["root-cert.pem"] == "PEM"
    assert made["hosts"] == "127.0.0.1 istiod.istio-system.svc\n"
    node = json.loads(made["envoy.json"])["node"]
    assert node["id"] == "sidecar~10.42.0.2~ledger-10.42.0.2.shop~shop.svc.cluster.local"
    assert node["metadata"]["AUTO_REGISTER_GROUP"] == "ledger"
    assert node["metadata"]["SERVICE_ACCOUNT"] == "ledger"
    assert node["locality"] == {"region": "west", "zone": "1", "sub_zone": "a"}

    by_hand = files(STORE, Joining(address="10.42.0.2"), register=False, **given)
    assert json.loads(by_hand["workloadentry.json"]) == workload_entry(STORE, Joining(address="10.42.0.2"))
    assert "AUTO_REGISTER_GROUP" not in json.loads(by_hand["envoy.json"])["node"]["metadata"]
    assert "t0ken" not in by_hand["workloadentry.json"]
