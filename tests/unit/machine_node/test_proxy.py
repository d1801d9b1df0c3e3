import json

from plait.machine.node.proxy import proxy_bootstrap, proxy_command

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
