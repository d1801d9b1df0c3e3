"""The mesh's configuration, made here from the same objects as istiod's: for questions that change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from plait.api.mesh_settings import NAME as SETTINGS
from plait.api.meta import ObjectKey
from plait.api.spiffe import WorkloadIdentity
from plait.app.difference import ResourceChange, resource_changes
from plait.inject.config import PROXY_CONTAINER
from plait.mesh.authorization import policies_for
from plait.mesh.config import mesh_config
from plait.mesh.gateway_servers import gateway_listeners
from plait.mesh.node import ProxyNode
from plait.mesh.peers import PeerMode, peer_policies, takes_part
from plait.mesh.tokens import TokenRule, token_policies, token_rules
from plait.simulate.configuration import Configuration
from plait.snapshot.reader import Reader
from plait.snapshot.tokens import KeySource
from plait.sources.kubernetes import KINDS
from plait.xds.authorization.filters import is_tried
from plait.xds.engine import Change, Engine, Upsert
from plait.xds.fragments import VIEW_TYPES
from plait.xds.resource import Resource

if TYPE_CHECKING:
    from plait.api.kubernetes import EndpointSlice
    from plait.kube.client import Client

#: Kinds of proxies by what runs them: a gateway's Envoy is told to be a router.
_ROUTER = "router"


class Mesh:
    """Objects of a mesh and the proxies in it."""

    def __init__(self, objects: Iterable[Mapping[str, Any]]) -> None:
        self.engine = Engine()
        self.nodes: dict[tuple[str, str], ProxyNode] = {}
        known = list(objects)
        self._given = known
        self.engine.apply(Upsert(obj) for obj in known)
        for obj in known:
            if obj.get("kind") == "Pod" and (node := node_of(obj)) is not None:
                self.nodes[node.namespace, node.pod] = node

    def again(self) -> Mesh:
        """The mesh as it was read."""
        return Mesh(self._given)

    def configuration(self, node: ProxyNode) -> Configuration:
        """All that one proxy has."""
        views = self.engine.attach(node)
        self.engine.take()
        return Configuration.of(
            each for view in views for type_url in VIEW_TYPES for each in self.engine.resources(view, type_url)
        )

    def difference(self, changes: Iterable[Change]) -> tuple[ResourceChange, ...]:
        """What the proxies would be sent if objects were changed like this. The mesh is as changed afterwards."""
        views = {node: self.engine.attach(node) for node in self.nodes.values()}
        self.engine.take()
        before = {view: self._held(view) for names in views.values() for view in names}
        self.engine.apply(changes)
        moved = dict(self.engine.moved())
        self.engine.take()
        after = {view: self._held(view) for node, names in views.items() for view in moved.get(node, names)}
        return resource_changes(
            (
                f"{node.pod}.{node.namespace}",
                {place: each for view in names for place, each in before[view].items()},
                {place: each for view in moved.get(node, names) for place, each in after[view].items()},
            )
            for node, names in views.items()
        )

    def _held(self, view: str) -> dict[tuple[str, str], Resource]:
        return {(each.type_url, each.name): each for kind in VIEW_TYPES for each in self.engine.resources(view, kind)}

    def slices(self, namespace: str, service: str) -> tuple[EndpointSlice, ...]:
        """The EndpointSlices of a Service."""
        return tuple(Reader(self.engine.snapshot.get, self.engine.mesh.domain).slices(namespace, service))

    def demanded(self, node: ProxyNode, port: int) -> PeerMode | None:
        """What a workload demands of its callers at one of its ports; None: it takes no part in mutual TLS."""
        if node.kind == _ROUTER or not node.certificates:
            return None
        reader = Reader(self.engine.snapshot.get, self.engine.mesh.domain)
        return peer_policies(reader, node.namespace, self.engine.mesh.root_namespace).of(node.labels).at(port)

    def identity(self, node: ProxyNode) -> str:
        """Whom a proxy's certificate names."""
        reader = Reader(self.engine.snapshot.get, self.engine.mesh.domain)
        domain = mesh_config(reader, self.engine.mesh).trust_domain
        return WorkloadIdentity(domain, node.namespace, node.service_account or "default").uri

    def allowing(self, node: ProxyNode) -> tuple[ObjectKey, ...]:
        """The AuthorizationPolicies that say who may call a workload, or a gateway; without any everybody may."""
        reader = Reader(self.engine.snapshot.get, self.engine.mesh.domain)
        keys = policies_for(reader, node.namespace, node.labels, self.engine.mesh.root_namespace)
        found = ((key, reader.authorization_policy(key)) for key in keys)
        return tuple(
            key
            for key, policy in found
            if policy is not None and policy.spec.action == "ALLOW" and not is_tried(policy)
        )

    def keys_came(self, url: str, keys: str, *, discovery: bool) -> None:
        """Keys of tokens that istiod has fetched."""
        self.engine.keys_came(KeySource(url, discovery), keys)

    def token_rules(self, node: ProxyNode) -> tuple[TokenRule, ...]:
        """The rules about tokens that hold at a proxy, in the order of the providers in its configuration."""
        reader = Reader(self.engine.snapshot.get, self.engine.mesh.domain)
        policies = token_policies(reader, node.namespace, self.engine.mesh.root_namespace)
        return token_rules(reader, policies.of(node.labels))

    def gateways(self, node: ProxyNode) -> frozenset[str]:
        """The Gateways that a proxy serves, as NAMESPACE/NAME; none for a sidecar."""
        if node.kind != _ROUTER:
            return frozenset()
        reader = Reader(self.engine.snapshot.get, self.engine.mesh.domain)
        listeners = gateway_listeners(reader, node.namespace, node.labels, node.ip, certificates=node.certificates)
        servers = (server for listener in listeners for server in listener.servers)
        return frozenset(name for server in servers for name in (server.gateway_name, *server.joined))

    def services(self) -> tuple[tuple[str, str], ...]:
        """Namespace and name of every Service."""
        found = (each["metadata"] for each in self._given if each.get("kind") == "Service")
        return tuple((metadata["namespace"], metadata["name"]) for metadata in found)

    def entry_hosts(self) -> frozenset[str]:
        """The hosts of all ServiceEntries, in lower case."""
        entries = (each for each in self._given if each.get("kind") == "ServiceEntry")
        return frozenset(host.lower() for each in entries for host in (each.get("spec") or {}).get("hosts") or ())

    def entry_addresses(self) -> dict[str, str]:
        """What hosts of ServiceEntries resolve to: an address of their own, or the one that they were given."""
        found: dict[str, str] = {}
        for each in self._given:
            if each.get("kind") != "ServiceEntry":
                continue
            spec, status = each.get("spec") or {}, each.get("status") or {}
            for item in status.get("addresses") or ():
                found.setdefault(str(item.get("host", "")).lower(), str(item.get("value", "")))
            own = [address for address in spec.get("addresses") or () if "/" not in address]
            for host in spec.get("hosts") or () if own else ():
                found[host.lower()] = own[0]
        return found

    def object(self, kind: str, namespace: str, name: str) -> Any:
        """One of the objects, None if there is none."""
        return self.engine.snapshot.object(ObjectKey(kind, namespace, name))


async def mesh_of(client: Client) -> Mesh:
    """Read everything that configuration is made of. Raises ApiError."""
    kinds = [kind for kind in KINDS if kind.kind != "ConfigMap"]
    async with asyncio.TaskGroup() as tasks:
        listings = [tasks.create_task(client.list(kind)) for kind in kinds]
        settings = next(kind for kind in KINDS if kind.kind == "ConfigMap")
        listings.append(tasks.create_task(client.list(settings, fields=f"metadata.name={SETTINGS}")))
    # The items of a list do not say what they are.
    return Mesh(
        {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        for kind, listing in zip([*kinds, settings], listings, strict=True)
        for obj in listing.result().items
    )


def node_of(pod: Mapping[str, Any]) -> ProxyNode | None:
    """The proxy of a pod, None if it has none or no address."""
    spec, metadata = pod.get("spec") or {}, pod["metadata"]
    address = (pod.get("status") or {}).get("podIP")
    proxy = next((each for each in spec.get("containers") or () if each.get("name") == PROXY_CONTAINER), None)
    if proxy is None or not address:
        return None
    labels = tuple(sorted((metadata.get("labels") or {}).items()))
    router = _ROUTER in (proxy.get("args") or ())
    return ProxyNode(
        kind="router" if router else "sidecar",
        ip=address,
        pod=metadata["name"],
        namespace=metadata["namespace"],
        labels=labels,
        certificates=router or takes_part(labels),
        service_account=spec.get("serviceAccountName") or "default",
    )
