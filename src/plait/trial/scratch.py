"""A proxy's configuration as a scratch Envoy can be asked about it: same decisions, but nobody else is called.

Listeners, filter chains, TLS, virtual hosts, routes and what they do (rewrites, redirects, direct responses, faults,
CORS, weights) stay as they are. What they lead to is the scratch Envoy itself, which answers what it was sent. The
listeners that a network namespace would hand connections to listen on unix sockets, where a PROXY header says which
address the caller meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol_pb2 import ProxyProtocol
from envoy.extensions.filters.network.direct_response.v3.config_pb2 import Config as Say
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import SubjectAltNameMatcher
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext
from google.protobuf.json_format import MessageToDict

from plait.simulate.call import STRANGER
from plait.simulate.configuration import Configuration
from plait.simulate.simulate import manager_of
from plait.trial.certificates import Pair, Realm
from plait.trial.scratch_access import judging
from plait.trial.scratch_http import Places, mirror, scratch_manager
from plait.xds import names
from plait.xds.authorization.filters import NETWORK_RBAC
from plait.xds.encode import duration, packed

_TCP: Final = "envoy.filters.network.tcp_proxy"
_PATIENCE_SECONDS: Final = 10
_INSPECTORS: Final = frozenset({"envoy.filters.listener.tls_inspector", "envoy.filters.listener.http_inspector"})


@dataclass(frozen=True, slots=True)
class Scratch:
    """Envoy's bootstrap; where connections arrive, by listener; what the numbers in answers mean.

    `ends` are sockets that bytes lead to where dice decide, with what is to be said there.
    """

    bootstrap: dict[str, Any]
    entries: Mapping[str, Path]
    places: Places
    ends: Mapping[Path, str]


@dataclass(slots=True)
class _Making:
    """What is gathered on the way through the listeners. `mesh_certificate` is the secret of the mesh's own one."""

    configuration: Configuration
    folder: Path
    pairs: Mapping[Realm, Pair]
    mesh_certificate: str
    places: Places = field(default_factory=Places)
    ends: dict[Path, str] = field(default_factory=dict)
    clusters: list[Cluster] = field(default_factory=list)

    def end(self, words: str) -> str:
        """The name of a cluster that says these words to whoever connects."""
        path = self.folder / f"end-{len(self.ends)}.sock"
        self.ends[path] = words
        self.clusters.append(_leading_to(path.name, path))
        return path.name


def scratch(
    configuration: Configuration,
    folder: Path,
    pairs: Mapping[Realm, Pair],
    mesh_certificate: str = names.WORKLOAD_CERTIFICATE,
) -> Scratch:
    """What Envoy is to be started with, and where it will be asked; `folder` gets the sockets."""
    making = _Making(configuration, folder, pairs, mesh_certificate)
    entries: dict[str, Path] = {}
    listeners: list[Listener] = []
    for number, (name, given) in enumerate(sorted(configuration.listeners.items())):
        if given.HasField("udp_listener_config"):
            continue
        listener = _listener(given, making)
        if not given.HasField("bind_to_port") or given.bind_to_port.value:
            entries[name] = folder / f"{number}.sock"
            listener.address.pipe.path = str(entries[name])
            told = ListenerFilter(name="envoy.filters.listener.proxy_protocol", typed_config=packed(ProxyProtocol()))
            listener.listener_filters.insert(0, told)
        listeners.append(listener)
    inside = folder / "mirror.sock"
    called = [_leading_to(name, inside) for name in sorted(making.places.clusters & configuration.clusters.keys())]
    listeners.append(mirror(inside))
    made = {
        "node": {"id": "scratch", "cluster": "scratch"},
        "admin": {"address": {"pipe": {"path": str(folder / "admin.sock")}}},
        "static_resources": {
            "listeners": [MessageToDict(each) for each in listeners],
            "clusters": [MessageToDict(each) for each in (*making.clusters, *called)],
        },
        "layered_runtime": {
            "layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": 32768}}]
        },
    }
    return Scratch(made, entries, making.places, making.ends)


def _leading_to(name: str, path: Path) -> Cluster:
    cluster = Cluster(name=name, type=Cluster.STATIC)
    cluster.load_assignment.cluster_name = name
    cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint.address.pipe.path = str(path)
    return cluster


def _saying(words: str) -> Filter:
    say = Say()
    say.response.inline_string = words
    return Filter(name="envoy.filters.network.direct_response", typed_config=packed(say))


def _listener(given: Listener, making: _Making) -> Listener:
    listener = Listener.FromString(given.SerializeToString())
    kept = [each for each in listener.listener_filters if each.name in _INSPECTORS]
    del listener.listener_filters[:]
    listener.listener_filters.extend(kept)
    # Whoever asks says something at once: on a busy machine the mesh's own patience would end before the PROXY header.
    listener.listener_filters_timeout.CopyFrom(duration(_PATIENCE_SECONDS))
    del listener.access_log[:]
    chains = list(listener.filter_chains)
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    for chain in chains:
        number = making.places.chain(given.name, chain.name)
        _secure(chain, making)
        _answer(chain, number, making)
    if given.name == names.VIRTUAL_INBOUND:
        # Nobody redirects connections here, so the address comes from the PROXY header as well.
        listener.ClearField("use_original_dst")
    return listener


def _secure(chain: FilterChain, making: _Making) -> None:
    """The same demands on certificates, with the trial's own.

    Versions and ciphers are not looked at: they do not say where a connection goes. A caller without a name of its own
    is let in.
    """
    context = DownstreamTlsContext()
    if not chain.transport_socket.typed_config.Unpack(context):
        chain.ClearField("transport_socket")
        return
    common = context.common_tls_context
    of_mesh = any(each.name == making.mesh_certificate for each in common.tls_certificate_sds_secret_configs)
    pair = making.pairs["mesh" if of_mesh and context.require_client_certificate.value else "other"]
    asks = common.WhichOneof("validation_context_type") is not None
    made = DownstreamTlsContext(require_client_certificate=context.require_client_certificate)
    made.common_tls_context.alpn_protocols.extend(common.alpn_protocols)
    certificate = made.common_tls_context.tls_certificates.add()
    certificate.certificate_chain.inline_bytes = pair.certificate
    certificate.private_key.inline_bytes = pair.key
    if asks or context.require_client_certificate.value:
        wanted = made.common_tls_context.validation_context
        wanted.trusted_ca.inline_bytes = pair.authority
        given = common.combined_validation_context.default_validation_context
        if of_mesh and given.match_typed_subject_alt_names:
            wanted.match_typed_subject_alt_names.extend(given.match_typed_subject_alt_names)
            wanted.match_typed_subject_alt_names.add(san_type=SubjectAltNameMatcher.URI).matcher.exact = STRANGER
    chain.transport_socket.typed_config.CopyFrom(packed(made))


def _answer(chain: FilterChain, number: int, making: _Making) -> None:
    manager = manager_of(chain)
    proxies = [each for each in chain.filters if each.name == _TCP]
    deciding = [judging(each) for each in chain.filters if each.name == NETWORK_RBAC]
    del chain.filters[:]
    if manager is not None:
        found = making.configuration.routes.get(manager.rds.route_config_name)
        given = found if manager.HasField("rds") else manager.route_config
        chain.filters.append(scratch_manager(manager, given or RouteConfiguration(), number, making.places))
        return
    proxy = TcpProxy.FromString(proxies[0].typed_config.value) if proxies else TcpProxy()
    if not proxy.weighted_clusters.clusters and not deciding and not chain.HasField("transport_socket"):
        chain.filters.append(_saying(f"{number}\t{proxy.cluster}"))
        return
    # What speaks at once would cut a handshake short, and has no dice.
    made = TcpProxy(stat_prefix="scratch")
    if proxy.cluster:
        made.cluster = making.end(f"{number}\t{proxy.cluster}")
    for share in proxy.weighted_clusters.clusters:
        made.weighted_clusters.clusters.add(name=making.end(f"{number}\t{share.name}"), weight=share.weight)
    chain.filters.extend((*deciding, Filter(name=_TCP, typed_config=packed(made))))
