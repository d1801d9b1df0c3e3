"""Bootstraps that users have patched, judged by a real Envoy before a proxy starts with them."""

import asyncio
import json
import os

import pytest

from plait.machine.node.bootstrap_check import bootstrap_fault
from plait.machine.node.proxy import bootstrap_patchers, proxy_bootstrap
from plait.machine.node.security import Identity
from plait.proxy.envoy import find_envoy

pytestmark = pytest.mark.envoy
POD = {"metadata": {"name": "web-1", "namespace": "shop"}, "spec": {}}
VARIABLE = "PLAIT_BOOTSTRAP_PATCHES"


@pytest.fixture(scope="module")
def envoy():
    return str(find_envoy())


def fault(envoy, value):
    env = {VARIABLE: json.dumps([["shop/mine", value]])}
    assert bootstrap_patchers(env) == ("shop/mine",)
    text = proxy_bootstrap(POD, ("proxy", "sidecar"), env, ip="10.42.0.7", token="")
    who = Identity(uid=os.getuid(), gid=os.getgid(), one_uid=True)
    return asyncio.run(bootstrap_fault(envoy, text, who))


def test_a_patch_that_envoy_takes(envoy):
    sink = {
        "name": "envoy.stat_sinks.statsd",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.metrics.v3.StatsdSink",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 8125}},
        },
    }
    assert fault(envoy, {"stats_flush_interval": "1s", "stats_sinks": [sink]}) == ""


def test_a_patch_that_fits_the_schema_and_that_envoy_refuses(envoy):
    assert "no_such_cluster" in fault(envoy, {"cluster_manager": {"local_cluster_name": "no_such_cluster"}})
    assert proxy_bootstrap(POD, ("proxy", "sidecar"), {VARIABLE: "[]"}, ip="1.2.3.4", token="", patches=False)
