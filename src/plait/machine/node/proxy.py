"""How a container of role `proxy` becomes an Envoy: its bootstrap and its command line. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from plait.inject import BootstrapConfig, bootstrap
from plait.mesh.node import ProxyNode

#: Where Istio's proxies have their bootstrap.
BOOTSTRAP_PATH = "/etc/istio/proxy/envoy-rev.json"
ADMIN_PORT = 15000
_FLAG = re.compile(r"--(proxyLogLevel|proxyComponentLogLevel|concurrency)(?:=(.*))?")


def proxy_command(envoy: str, args: Sequence[str]) -> tuple[str, ...]:
    """Envoy's command line from the arguments of Istio's agent (`proxy sidecar --proxyLogLevel=warning ...`)."""
    flags = _flags(args)
    return (
        envoy,
        "--config-path", BOOTSTRAP_PATH,
        # With hot restart Envoy ends when the thread that started it does.
        "--disable-hot-restart",
        "--concurrency", flags.get("concurrency", "1"),
        "--drain-time-s", "45",
        "--drain-strategy", "immediate",
        "--local-address-ip-version", "v4",
        "--file-flush-interval-msec", "1000",
        "--allow-unknown-static-fields",
        "--log-level", flags.get("proxyLogLevel", "warning"),
        "--component-log-level", flags.get("proxyComponentLogLevel", "misc:error"),
    )  # fmt: skip


def proxy_bootstrap(pod: Mapping[str, Any], args: Sequence[str], env: Mapping[str, str], *, ip: str, token: str) -> str:
    """The bootstrap's JSON text; it holds the pod's token."""
    meta, labels = pod["metadata"], pod["metadata"].get("labels") or {}
    node = ProxyNode(
        kind="router" if "router" in args[:2] else "sidecar",
        ip=ip,
        pod=meta["name"],
        namespace=meta["namespace"],
        labels=tuple(sorted((str(key), str(value)) for key, value in labels.items())),
        service_account=pod["spec"].get("serviceAccountName") or "default",
    )
    config = BootstrapConfig(
        token=token,
        admin_port=ADMIN_PORT,
        cluster_id=env.get("ISTIO_META_CLUSTER_ID", "Kubernetes"),
        mesh_id=env.get("ISTIO_META_MESH_ID", "cluster.local"),
        workload_name=env.get("ISTIO_META_WORKLOAD_NAME"),
        owner=env.get("ISTIO_META_OWNER"),
        annotations=meta.get("annotations") or {},
    )
    return json.dumps(bootstrap(node, config=config))


def _flags(args: Sequence[str]) -> dict[str, str]:
    flags = {}
    for word, following in zip(args, [*args[1:], ""], strict=True):
        if found := _FLAG.fullmatch(word):
            flags[found[1]] = found[2] if found[2] is not None else following
    return {name: value for name, value in flags.items() if value}
