import json

from plait.machine.node.proxy import proxy_bootstrap, proxy_command
from plait.mesh.locality import Locality

POD = {
    "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}},
    "spec": {"serviceAccountName": "robot"},
}


def test_flags_of_the_agent_become_flags_of_envoy():
    words = proxy_command("/opt/envoy", ["proxy", "sidecar", "--proxyLogLevel=debug", "--concurrency", "2"])
    assert words[0] == "/opt/envoy"
    assert words[words.index("--log-level") + 1] == "debug"
    assert words[words.index("--concurrency") + 1] == "2"
    assert "--disable-hot-restart" in words


def test_defaults():
    words = proxy_command("envoy", ["proxy", "router"])
    assert words[words.index("--log-level") + 1] == "warning"
    assert words[words.index("--concurrency") + 1] == "1"


def test_the_bootstrap_says_who_the_pod_is_and_carries_its_token():
    for role, kind in (("sidecar", "sidecar"), ("router", "router")):
        text = proxy_bootstrap(POD, ["proxy", role], {}, ip="10.42.0.20", token="t0ken")
        assert json.loads(text)["node"]["id"] == f"{kind}~10.42.0.20~web-1.shop~shop.svc.cluster.local"
        assert "Bearer t0ken" in text


def test_a_proxy_is_where_its_pod_says_or_else_where_the_machine_is():
    machine = Locality("south", "9")
    labels = {"app": "web", "istio-locality": "west.1"}
    placed = {**POD, "metadata": {**POD["metadata"], "labels": labels}}
    for pod, place in ((placed, {"region": "west", "zone": "1"}), (POD, {"region": "south", "zone": "9"})):
        text = proxy_bootstrap(pod, ["proxy", "sidecar"], {}, ip="10.42.0.20", token="t", machine=machine)
        assert json.loads(text)["node"]["locality"] == place
