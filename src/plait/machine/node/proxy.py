"""How a container of role `proxy` becomes an Envoy: its bootstrap and its command line. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from plait.api.names import is_host_port
from plait.inject import PROXY_MARK, BootstrapConfig, bootstrap, patched
from plait.inject.bootstrap import ISTIOD, PLAIN_XDS_PORT, XDS_PORT
from plait.inject.proxy_settings import PROXY_CONFIG
from plait.mesh.locality import NOWHERE, Locality, of_labels
from plait.mesh.node import ProxyNode

#: Where Istio's proxies have their bootstrap.
BOOTSTRAP_PATH = "/etc/istio/proxy/envoy-rev.json"
ADMIN_PORT = 15000
#: Of the DNS server that answers proxies: without the names of ServiceEntries, whose addresses mean nothing to Envoy.
PROXY_DNS_PORT = 15053
_FLAG = re.compile(r"--(proxyLogLevel|proxyComponentLogLevel|concurrency)(?:=(.*))?")


def proxy_command(envoy: str, args: Sequence[str]) -> tuple[str, ...]:
    """Envoy's command line from the arguments of Istio's agent (`proxy sidecar --proxyLogLevel=warning ...`)."""
    flags = _flags(args)
    return (
        envoy,
        "--config-path", BOOTSTRAP_PATH,
        # With hot restart Envoy ends when the thread that started it does.
        "--disable-hot-restart",
        *_threads(flags.get("concurrency", "1")),
        "--drain-time-s", "45",
        "--drain-strategy", "immediate",
        "--local-address-ip-version", "v4",
        "--file-flush-interval-msec", "1000",
        "--allow-unknown-static-fields",
        "--log-level", flags.get("proxyLogLevel", "warning"),
        "--component-log-level", flags.get("proxyComponentLogLevel", "misc:error"),
    )  # fmt: skip


def _threads(concurrency: str) -> tuple[str, ...]:
    """Istio: 0 is a worker for each core, which is what Envoy does when it is told nothing."""
    return () if concurrency == "0" else ("--concurrency", concurrency)


def is_sidecar_proxy(args: Sequence[str]) -> bool:
    """Whether Envoy runs beside an application, by the arguments of Istio's agent; else it is a gateway."""
    return "router" not in args[:2]


def proxy_bootstrap(
    pod: Mapping[str, Any],
    args: Sequence[str],
    env: Mapping[str, str],
    *,
    ip: str,
    token: str,
    marks: bool = False,
    resolver: str | None = None,
    patches: bool = True,
    machine: Locality = NOWHERE,
    certificates: bool = False,
) -> str:
    """The bootstrap's JSON text; it holds the pod's token. `patches`: with what EnvoyFilters merge into it.

    With `marks` a sidecar marks its connections. `resolver` is the DNS server (ADDRESS:PORT) that Envoy itself asks.
    `machine` is the place of a pod that does not say its own. `certificates`: it is given some of the mesh.
    """
    meta, labels = pod["metadata"], pod["metadata"].get("labels") or {}
    node = ProxyNode(
        kind="sidecar" if is_sidecar_proxy(args) else "router",
        ip=ip,
        pod=meta["name"],
        namespace=meta["namespace"],
        labels=tuple(sorted((str(key), str(value)) for key, value in labels.items())),
        service_account=pod["spec"].get("serviceAccountName") or "default",
    )
    config = BootstrapConfig(
        token=token,
        discovery_address=discovery_address(env) or f"{ISTIOD}:{XDS_PORT if certificates else PLAIN_XDS_PORT}",
        admin_port=ADMIN_PORT,
        cluster_id=env.get("ISTIO_META_CLUSTER_ID", "Kubernetes"),
        mesh_id=env.get("ISTIO_META_MESH_ID", "cluster.local"),
        workload_name=env.get("ISTIO_META_WORKLOAD_NAME"),
        owner=env.get("ISTIO_META_OWNER"),
        annotations=meta.get("annotations") or {},
        mark=PROXY_MARK if marks and is_sidecar_proxy(args) else None,
        resolver=resolver,
        certificates=certificates,
        locality=own if (own := of_labels(labels)).region else machine,
    )
    made = bootstrap(node, config=config)
    return json.dumps(patched(made, env)[0] if patches else made)


def discovery_address(env: Mapping[str, str]) -> str:
    """Where the pod's own settings say that istiod is; empty where they do not."""
    try:
        settings = json.loads(env.get(PROXY_CONFIG, "{}"))
    except ValueError:
        return ""
    address = str(settings.get("discoveryAddress") or "") if isinstance(settings, dict) else ""
    return address if is_host_port(address) else ""


def bootstrap_patchers(env: Mapping[str, str]) -> tuple[str, ...]:
    """The EnvoyFilters (NAMESPACE/NAME) that change a proxy's bootstrap."""
    return patched({}, env)[1]


def _flags(args: Sequence[str]) -> dict[str, str]:
    flags = {}
    for word, following in zip(args, [*args[1:], ""], strict=True):
        if found := _FLAG.fullmatch(word):
            flags[found[1]] = found[2] if found[2] is not None else following
    return {name: value for name, value in flags.items() if value}
