"""The configuration a sidecar or gateway Envoy starts with; everything else comes over ADS.

Readiness is Envoy's own: it listens on its static ports only once clusters and listeners have arrived, and a control
plane that goes away later changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import plait
from plait.api.names import is_host_port
from plait.mesh.locality import NOWHERE, Locality
from plait.mesh.node import ProxyNode
from plait.xds.names import LOCAL_CLUSTER, ROOT_CERTIFICATES, SDS_CLUSTER, WORKLOAD_CERTIFICATE

#: The name in istiod's certificate, and its port with TLS and without.
ISTIOD: Final = "istiod.istio-system.svc"
XDS_PORT, PLAIN_XDS_PORT = 15012, 15010
READY_PORT: Final = 15021
METRICS_PORT: Final = 15090

#: The place of the socket on which the agent knows whose proxy it is; Istio's.
WORKLOAD_SOCKET: Final = "/var/run/secrets/workload-spiffe-uds/socket"

#: Linux: setsockopt(2), socket(7).
_SOL_SOCKET: Final = 1
_SO_MARK: Final = 36

_TYPE: Final = "type.googleapis.com/"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

#: kubectl's copy of the whole manifest: large, possibly secret, and of no use to the control plane.
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

#: What is kept of Envoy's own statistics. `istio` is the scope of the standard metrics; those of `downstream` tell
#: how much a draining proxy has still to do.
_KEPT_STATS: Final = (
    {"prefix": "istio"},
    {"prefix": "cluster_manager"},
    {"prefix": "listener_manager"},
    {"prefix": "server"},
    {"prefix": "control_plane"},
    {"prefix": "cluster.xds-grpc"},
    {"prefix": "cluster.sds-grpc"},
    {"prefix": "tcp."},
    {"contains": "outlier_detection"},
    {"suffix": "upstream_rq_pending_overflow"},
    {"suffix": "upstream_rq_retry_overflow"},
    {"suffix": "upstream_cx_overflow"},
    {"suffix": "fail_verify_san"},
    {"suffix": "downstream_cx_active"},
    {"suffix": "downstream_rq_active"},
    # What AuthorizationPolicies do, and what they would do (Istio keeps these too).
    {"suffix": "rbac.allowed"},
    {"suffix": "rbac.denied"},
    {"suffix": "shadow_allowed"},
    {"suffix": "shadow_denied"},
)
#: The first group is cut out of the name, the second is the tag's value. Names of clusters hold dots, so their
#: statistics' names end in `;`; those of plain clusters (`xds-grpc`) have neither `|` nor a dot.
_TAGS: Final = (
    ("cluster_name", r"^cluster\.(((?:[^;.|]+\|[^;]*)|[^.|;]+);?\.)"),
    ("tcp_prefix", r"^tcp\.(((?:[^;.|]+\|[^;]*)|[^.|;]+);?\.)"),
    ("http_conn_manager_prefix", r"^http\.(((?:[_.\d]+|[^.]+);?)\.)"),
    ("listener_address", r"^listener\.(((?:[_.\d]*|[_\[\]a-fA-F\d]*|[^.]+))\.)"),
    ("response_code", r"_rq(_(\d{3}))$"),
    ("response_code_class", r"_rq(_(\dxx))$"),
)
#: Zero: wait for the first answer as long as it takes, rather than start serving without configuration.
_SOURCE: Final = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
#: As everywhere in the mesh: Envoy then keeps one copy of each secret.
_SDS: Final = {
    "api_config_source": {
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": SDS_CLUSTER}}],
    },
    "initial_fetch_timeout": "0s",
    "resource_api_version": "V3",
}
#: Nothing is sent to it. It is empty unless some rule asks for routing by zone.
_LOCAL: Final = {
    "name": LOCAL_CLUSTER,
    "type": "EDS",
    "connect_timeout": "1s",
    "eds_cluster_config": {"service_name": LOCAL_CLUSTER, "eds_config": _SOURCE},
}
#: Of clients, at one proxy at a time.
_MAX_CONNECTIONS: Final = 100_000
_PLACE: Final = ("region", "zone", "sub_zone")


def _no_config() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapConfig:
    """What the bootstrap needs beside the node.

    `token` is the pod's service account token, sent as `authorization: Bearer` on the ADS stream; it is left out of
    `repr`. `discovery_address` is HOST:PORT. `annotations` are the pod's: those named
    `sidecar.istio.io/statsInclusion*` widen the kept statistics. With a `mark` Envoy sets it on all its connections,
    for capture rules that tell them by it. `resolver` is a DNS server (ADDRESS:PORT) for Envoy itself, in place of
    those of the pod. `locality` is where the proxy runs, as Envoy compares it with endpoints'.
    `registers_with` is the WorkloadGroup of a program in no pod, whose proxy has its WorkloadEntry made by coming.
    `certificates`: an agent gives it a certificate of the mesh, on a socket at Istio's place. A proxy without an agent
    knows istiod by `roots` (PEM); one without either speaks plain text, as all do to port 15010 (Istio's rule).
    """

    token: str = field(repr=False)
    discovery_address: str = f"{ISTIOD}:{XDS_PORT}"
    admin_port: int = 15000
    cluster_id: str = "Kubernetes"
    mesh_id: str = "cluster.local"
    node_name: str = "plait"
    workload_name: str | None = None
    owner: str | None = None
    annotations: Mapping[str, str] = field(default_factory=_no_config)
    mark: int | None = None
    resolver: str | None = None
    locality: Locality = NOWHERE
    registers_with: str | None = None
    network: str = ""
    certificates: bool = False
    roots: str = ""


def bootstrap(node: ProxyNode, *, config: BootstrapConfig) -> dict[str, Any]:
    """Envoy's bootstrap as JSON; raises ValueError where `discovery_address` is not HOST:PORT."""
    return {
        "node": _node(node, config),
        "admin": {
            "address": _address("127.0.0.1", config.admin_port),
            "profile_path": "/var/lib/istio/data/envoy.prof",
        },
        "dynamic_resources": _dynamic_resources(config),
        "static_resources": {
            "clusters": [
                _admin_cluster("prometheus_stats", config),
                _admin_cluster("agent", config),
                _xds_cluster(config),
                *([_sds_cluster()] if config.certificates else []),
                _LOCAL,
            ],
            "listeners": [
                _listener(READY_PORT, name="agent", path="/healthz/ready", rewrite="/ready"),
                _listener(METRICS_PORT, name="prometheus_stats", path="/stats/prometheus"),
            ],
        },
        "cluster_manager": {
            "local_cluster_name": LOCAL_CLUSTER,
            **({} if config.mark is None else _marking(config.mark)),
        },
        **({} if config.resolver is None else {"typed_dns_resolver_config": _resolver(config.resolver)}),
        "stats_config": _stats_config(config.annotations),
        "layered_runtime": {
            "layers": [
                # Envoy's default limit of 100 is below the size of regular expressions that Istio's users write.
                {"name": "static_layer", "static_layer": {"re2.max_program_size.error_level": 32768}},
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": _TYPE
                        + "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": _MAX_CONNECTIONS,
                    },
                }
            ]
        },
    }


def _marking(mark: int) -> dict[str, Any]:
    """For every cluster that binds to no address of its own, static and dynamic ones alike.

    Those that do are the inbound ones, which bind to 127.0.0.6: the rules let that pass by itself.
    """
    option = {"level": _SOL_SOCKET, "name": _SO_MARK, "int_value": mark, "state": "STATE_PREBIND"}
    source = {"address": "0.0.0.0", "port_value": 0}  # noqa: S104 - where nothing is bound no option is set
    return {"upstream_bind_config": {"source_address": source, "socket_options": [option]}}


def _resolver(server: str) -> dict[str, Any]:
    host, _, port = server.rpartition(":")
    return {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": _TYPE + "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [_address(host, int(port))],
        },
    }


def _node(node: ProxyNode, config: BootstrapConfig) -> dict[str, Any]:
    labels = dict(node.labels)
    metadata: dict[str, Any] = {
        "NAME": node.pod,
        "NAMESPACE": node.namespace,
        "LABELS": labels,
        "ANNOTATIONS": {key: value for key, value in config.annotations.items() if key != _LAST_APPLIED},
        "SERVICE_ACCOUNT": node.service_account,
        "INSTANCE_IPS": node.ip,
        "CLUSTER_ID": config.cluster_id,
        "MESH_ID": config.mesh_id,
        "NODE_NAME": config.node_name,
        "INTERCEPTION_MODE": "REDIRECT" if node.kind == "sidecar" else "NONE",
        "ISTIO_VERSION": plait.__version__,
        "PLAIT_VERSION": plait.__version__,
        "WORKLOAD_NAME": config.workload_name,
        "OWNER": config.owner,
        "AUTO_REGISTER_GROUP": config.registers_with,
        "NETWORK": config.network or None,
        # Only such a proxy can be told of secrets that the agent has.
        "WORKLOAD_CERTIFICATES": config.certificates or None,
        "PROXY_CONFIG": {
            "discoveryAddress": config.discovery_address,
            "proxyAdminPort": config.admin_port,
            "serviceCluster": _service_cluster(node),
            "concurrency": 1,
        },
    }
    return {
        "id": node.id,
        "cluster": _service_cluster(node),
        "locality": {name: part for name, part in zip(_PLACE, config.locality, strict=True) if part},
        "metadata": {key: value for key, value in metadata.items() if value is not None},
    }


def _service_cluster(node: ProxyNode) -> str:
    labels = dict(node.labels)
    app = labels.get("app") or labels.get("service.istio.io/canonical-name") or node.pod
    return f"{app}.{node.namespace}"


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _dynamic_resources(config: BootstrapConfig) -> dict[str, Any]:
    return {
        "cds_config": _SOURCE,
        "lds_config": _SOURCE,
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [
                {
                    "envoy_grpc": {
                        "cluster_name": "xds-grpc",
                        # Envoy's own limit of 30 s would leave proxies behind long after the control plane is back.
                        "retry_policy": {"retry_back_off": {"base_interval": "0.25s", "max_interval": "2s"}},
                    },
                    "initial_metadata": [{"key": "authorization", "value": f"Bearer {config.token}"}],
                }
            ],
        },
    }


def _load_assignment(cluster: str, address: dict[str, Any]) -> dict[str, Any]:
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}


def _admin_cluster(name: str, config: BootstrapConfig) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "load_assignment": _load_assignment(name, _address("127.0.0.1", config.admin_port)),
    }


def _xds_cluster(config: BootstrapConfig) -> dict[str, Any]:
    if not is_host_port(config.discovery_address):
        raise ValueError(f"discovery address {config.discovery_address!r} is not HOST:PORT")
    host, _, port = config.discovery_address.rpartition(":")
    tls = config.certificates or bool(config.roots)
    unlimited = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    return {
        "name": "xds-grpc",
        "connect_timeout": "1s",
        # Envoy's present form of STRICT_DNS: an endpoint for every address.
        "cluster_type": {
            "name": "envoy.cluster.dns",
            "typed_config": {
                "@type": _TYPE + "envoy.extensions.clusters.dns.v3.DnsCluster",
                "all_addresses_in_single_endpoint": False,
                "dns_lookup_family": "V4_ONLY",
                # The service is headless: a control plane that was restarted has another address, found in a second.
                "dns_refresh_rate": "1s",
                "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "1s"},
                "respect_dns_ttl": False,
            },
        },
        "load_assignment": _load_assignment("xds-grpc", _address(host, int(port))),
        "circuit_breakers": {"thresholds": [{"priority": p, **unlimited} for p in ("DEFAULT", "HIGH")]},
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 300}},
        **({"transport_socket": _to_istiod(config)} if tls and int(port) != PLAIN_XDS_PORT else {}),
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": _TYPE + _HTTP_OPTIONS,
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "10s"}}
                },
            }
        },
    }


def _to_istiod(config: BootstrapConfig) -> dict[str, Any]:
    """TLS to istiod, by whatever name it is reached: mutual where there is an agent."""
    name = {"san_type": "DNS", "matcher": {"exact": ISTIOD}}
    common: dict[str, Any] = {"tls_params": {"tls_minimum_protocol_version": "TLSv1_2"}, "alpn_protocols": ["h2"]}
    if config.certificates:
        common |= {
            "tls_certificate_sds_secret_configs": [{"name": WORKLOAD_CERTIFICATE, "sds_config": _SDS}],
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [name]},
                "validation_context_sds_secret_config": {"name": ROOT_CERTIFICATES, "sds_config": _SDS},
            },
        }
    else:
        trusted = {"inline_string": config.roots}
        common["validation_context"] = {"match_typed_subject_alt_names": [name], "trusted_ca": trusted}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": ISTIOD,
            "common_tls_context": common,
        },
    }


def _sds_cluster() -> dict[str, Any]:
    """The agent, as Istio's proxies know it."""
    return {
        "name": SDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": _load_assignment(SDS_CLUSTER, {"pipe": {"path": WORKLOAD_SOCKET}}),
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {"@type": _TYPE + _HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
        },
    }


def _listener(port: int, *, name: str, path: str, rewrite: str | None = None) -> dict[str, Any]:
    """One path of the admin interface for the outside; every other path is 404."""
    route: dict[str, Any] = {"cluster": name, "timeout": "10s"}
    if rewrite is not None:
        route["prefix_rewrite"] = rewrite
    manager = {
        "@type": _TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "codec_type": "AUTO",
        "stat_prefix": name,
        "route_config": {
            "virtual_hosts": [
                {"name": "backend", "domains": ["*"], "routes": [{"match": {"path": path}, "route": route}]}
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _TYPE + "envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": f"{name}-{port}",
        "address": _address("0.0.0.0", port),  # noqa: S104 - kubelet and Prometheus come from outside the pod
        # A proxy at its limit of connections is still asked how it is.
        "ignore_global_conn_limit": True,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _stats_config(annotations: Mapping[str, str]) -> dict[str, Any]:
    patterns: list[dict[str, Any]] = list(_KEPT_STATS)
    for name, kind in (("statsInclusionPrefixes", "prefix"), ("statsInclusionSuffixes", "suffix")):
        patterns += [{kind: item} for item in _split(annotations.get(f"sidecar.istio.io/{name}", ""))]
    regexps = _split(annotations.get("sidecar.istio.io/statsInclusionRegexps", ""))
    patterns += [{"safe_regex": {"regex": regexp}} for regexp in regexps]
    return {
        "use_all_default_tags": False,
        "stats_tags": [{"tag_name": name, "regex": regex} for name, regex in _TAGS],
        "stats_matcher": {"inclusion_list": {"patterns": patterns}},
    }


def _split(value: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in value.split(",") if item.strip())
