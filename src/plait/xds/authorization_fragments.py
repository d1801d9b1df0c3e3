"""Fragments of who may call whom: which policies hold for a workload, and the filters that they make.

The filters of one choice of policies are made once, for however many workloads it holds.
"""

from __future__ import annotations

from dataclasses import replace

from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter

from plait.api.meta import ObjectKey
from plait.kit.memo import Tracker
from plait.mesh.authorization import policies_for
from plait.mesh.config import MeshConfig
from plait.mesh.providers import Authorizer, Unknown, authorizer
from plait.mesh.routes import ClusterRef
from plait.snapshot.reader import Reader
from plait.xds.access import OPEN, Access
from plait.xds.authorization.asking import asking_connections, asking_requests
from plait.xds.authorization.callers import admissions
from plait.xds.authorization.filters import connection_filters, request_filters
from plait.xds.mesh_tls import terms
from plait.xds.shared_fragments import Maker, mesh_of
from plait.xds.views import ViewKey


class AuthorizationFragments:
    """Makers of what decides over requests and connections."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "authorization": self.authorization,
            "authorizing": self.authorizing,
            "access": self.access,
            "asked": self.asked,
        }

    def authorization(self, _tracker: Tracker, reader: Reader, view: ViewKey) -> tuple[ObjectKey, ...]:
        """The AuthorizationPolicies for a workload."""
        return policies_for(reader, view.namespace, view.labels, self.mesh.root_namespace)

    @staticmethod
    def authorizing(tracker: Tracker, reader: Reader, keys: tuple[ObjectKey, ...]) -> Access:
        """What some policies make together."""
        found = (reader.authorization_policy(key) for key in keys)
        policies = tuple(policy for policy in found if policy is not None)
        mesh = mesh_of(tracker)
        domains = terms(mesh).domains

        def find(name: str) -> Authorizer | Unknown:
            return authorizer(reader, mesh, name)

        return Access(
            asking=tuple(asking_requests(policies, domains, find)),
            rules=tuple(request_filters(policies, domains)),
            connections=(
                *asking_connections(policies, domains, find),
                *connection_filters(policies, domains),
            ),
            admitted=admissions(policies, domains),
        )

    def asked(self, tracker: Tracker, reader: Reader, view: ViewKey) -> frozenset[ClusterRef]:
        """What leads to those whom the policies for a workload ask."""
        mesh = mesh_of(tracker)
        keys: tuple[ObjectKey, ...] = tracker.need(("authorization", view))
        policies = (reader.authorization_policy(key) for key in keys)
        names = {
            policy.spec.provider.name
            for policy in policies
            if policy is not None and policy.spec.action == "CUSTOM" and policy.spec.provider is not None
        }
        found = (authorizer(reader, mesh, name) for name in sorted(names))
        return frozenset(each.cluster for each in found if isinstance(each, Authorizer))

    @staticmethod
    def access(tracker: Tracker, _reader: Reader, view: ViewKey) -> Access:
        """What decides over all that reaches a workload, or goes through a gateway."""
        keys: tuple[ObjectKey, ...] = tracker.need(("authorization", view))
        found: Access = tracker.need(("authorizing", keys)) if keys else OPEN
        tokens: tuple[HttpFilter, ...] = tracker.need(("token-filters", view))
        return replace(found, tokens=tokens) if tokens else found
