"""Whom policies with the action CUSTOM ask, as far as the mesh knows where that is."""

from __future__ import annotations

from typing import NamedTuple

from plait.api.extension_providers import ExtAuthzGRPC, ExtAuthzHTTP, ExtensionProvider
from plait.mesh.config import MeshConfig
from plait.mesh.routes import ClusterRef
from plait.snapshot.reader import Reader


class Authorizer(NamedTuple):
    """A server that is asked, and the cluster that leads to it."""

    name: str
    server: ExtAuthzHTTP | ExtAuthzGRPC
    cluster: ClusterRef


class Unknown(NamedTuple):
    """A provider that cannot be asked, and why."""

    name: str
    reason: str


def authorizer(reader: Reader, mesh: MeshConfig, name: str) -> Authorizer | Unknown:
    """The provider called `name`.

    Istio: of a host without a namespace there must be one only.
    """
    found = next((each for each in mesh.extension_providers if each.name == name), None)
    server = _server(found) if found is not None else None
    if server is None:
        return Unknown(name, f"the mesh's settings have no provider {name!r} that could be asked")
    namespace, _, host = server.service.rpartition("/")
    providers = [each for each in reader.providers(host.lower()) if not namespace or each.namespace == namespace]
    if not providers:
        return Unknown(name, f"the host {server.service} of provider {name!r} is not known")
    if len({each.namespace for each in providers}) > 1:
        return Unknown(name, f"several namespaces have the host of provider {name!r}: write NAMESPACE/{host}")
    facts = reader.host(host.lower(), owner=providers[0].namespace)
    if facts is None or facts.protocol(server.port) is None:
        return Unknown(name, f"{server.service} of provider {name!r} has no port {server.port}")
    return Authorizer(name, server, ClusterRef(host.lower(), server.port))


def _server(provider: ExtensionProvider) -> ExtAuthzHTTP | ExtAuthzGRPC | None:
    return provider.envoy_ext_authz_http or provider.envoy_ext_authz_grpc
