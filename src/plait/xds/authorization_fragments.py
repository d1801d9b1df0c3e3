"""Fragments of who may call whom: which policies hold for a workload, and what they make.

What one choice of policies makes is made once, for however many workloads it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter

from plait.api.meta import ObjectKey
from plait.api.security import AuthorizationPolicy
from plait.kit.memo import Tracker
from plait.mesh.authorization import policies_for
from plait.mesh.config import MeshConfig
from plait.mesh.providers import Authorizer, Unknown, authorizer
from plait.mesh.routes import ClusterRef
from plait.snapshot.reader import Reader
from plait.xds.access import SLOTTED, Access
from plait.xds.authorization.asking import asking_connections, asking_filter, noting_filter
from plait.xds.authorization.callers import admissions
from plait.xds.authorization.filters import connection_filters, request_filter
from plait.xds.authorization.rules import Action
from plait.xds.mesh_tls import terms
from plait.xds.resource import ECDS, Resource
from plait.xds.shared_fragments import Entries, Lister, Maker, mesh_of
from plait.xds.slots import ALLOW, ASK, AUDIT, DENY, EMPTY, NOTE, SLOTS, TOKENS, Slot, content, inlined
from plait.xds.views import ViewKey

#: The policies that are in a slot, by their action.
_ACTIONS: Final[dict[Slot, Action]] = {
    NOTE: "CUSTOM", ASK: "CUSTOM", AUDIT: "AUDIT", DENY: "DENY", ALLOW: "ALLOW",
}  # fmt: skip


def _policies(reader: Reader, keys: Iterable[ObjectKey]) -> tuple[AuthorizationPolicy, ...]:
    found = (reader.authorization_policy(key) for key in keys)
    return tuple(policy for policy in found if policy is not None)


def _finder(tracker: Tracker, reader: Reader) -> Callable[[str], Authorizer | Unknown]:
    mesh = mesh_of(tracker)
    return lambda name: authorizer(reader, mesh, name)


class AuthorizationFragments:
    """Makers of what decides over requests and connections."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "authorization": self.authorization,
            "acting": self.acting,
            "authorizing": self.authorizing,
            "slot": self.slot,
            "slots": self.slots,
            "access": self.access,
            "asked": self.asked,
        }

    def lists(self) -> dict[tuple[str, str], Lister]:
        """By side of the view and type."""
        return {("in", ECDS): self._extensions, ("gw", ECDS): self._extensions}

    def authorization(self, _tracker: Tracker, reader: Reader, view: ViewKey) -> tuple[ObjectKey, ...]:
        """The AuthorizationPolicies for a workload."""
        return policies_for(reader, view.namespace, view.labels, self.mesh.root_namespace)

    @staticmethod
    def acting(
        _tracker: Tracker, reader: Reader, keys: tuple[ObjectKey, ...]
    ) -> tuple[tuple[str, tuple[ObjectKey, ...]], ...]:
        """Of some policies those of each action."""
        found: dict[str, list[ObjectKey]] = {}
        for key in keys:
            policy = reader.authorization_policy(key)
            if policy is not None:
                found.setdefault(policy.spec.action, []).append(key)
        return tuple((action, tuple(own)) for action, own in sorted(found.items()))

    @staticmethod
    def authorizing(tracker: Tracker, reader: Reader, keys: tuple[ObjectKey, ...]) -> Access:
        """What some policies make together of connections that carry bytes."""
        policies = _policies(reader, keys)
        domains = terms(mesh_of(tracker)).domains
        return replace(
            SLOTTED,
            connections=(
                *asking_connections(policies, domains, _finder(tracker, reader)),
                *connection_filters(policies, domains),
            ),
            admitted=admissions(policies, domains),
        )

    @staticmethod
    def slot(tracker: Tracker, reader: Reader, slot: Slot, keys: tuple[ObjectKey, ...]) -> Resource:
        """What is in a slot by the policies of its action."""
        if not keys:
            return EMPTY[slot.name]
        policies = _policies(reader, keys)
        domains = terms(mesh_of(tracker)).domains
        made: HttpFilter | None
        if slot in {NOTE, ASK}:
            make = noting_filter if slot == NOTE else asking_filter
            made = make(policies, domains, _finder(tracker, reader))
        else:
            made = request_filter(policies, _ACTIONS[slot], domains)
        return content(slot, made)

    @staticmethod
    def slots(tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        """What is in the slots of a view's proxies, in their order."""
        keys: tuple[ObjectKey, ...] = tracker.need(("authorization", view))
        acting: dict[str, tuple[ObjectKey, ...]] = dict(tracker.need(("acting", keys))) if keys else {}
        chosen: tuple[ObjectKey, ...] = tracker.need(("chosen-tokens", view))
        return tuple(
            (slot.name, ("token-slot", chosen, view.side == "gw"))
            if slot == TOKENS
            else (slot.name, ("slot", slot, acting.get(_ACTIONS[slot], ())))
            for slot in SLOTS
        )

    @staticmethod
    def _extensions(tracker: Tracker, _reader: Reader, view: ViewKey) -> Entries:
        """Also where the filters stand in listeners: connections that are drained still have the slots."""
        found: Entries = tracker.need(("slots", view))
        return found

    def asked(self, tracker: Tracker, reader: Reader, view: ViewKey) -> frozenset[ClusterRef]:
        """What leads to those whom the policies for a workload ask."""
        mesh = mesh_of(tracker)
        keys: tuple[ObjectKey, ...] = tracker.need(("authorization", view))
        names = {
            policy.spec.provider.name
            for policy in _policies(reader, keys)
            if policy.spec.action == "CUSTOM" and policy.spec.provider is not None
        }
        found = (authorizer(reader, mesh, name) for name in sorted(names))
        return frozenset(each.cluster for each in found if isinstance(each, Authorizer))

    @staticmethod
    def access(tracker: Tracker, _reader: Reader, view: ViewKey) -> Access:
        """What decides over all that reaches a workload, or goes through a gateway: over requests what is in the slots,
        or the same as filters where an EnvoyFilter speaks of these.
        """
        keys: tuple[ObjectKey, ...] = tracker.need(("authorization", view))
        found: Access = tracker.need(("authorizing", keys)) if keys else SLOTTED
        if not tracker.need(("anchored", view)):
            return found
        made = (inlined(tracker.need(key)) for _, key in tracker.need(("slots", view)))
        return replace(found, requests=tuple(each for each in made if each is not None))
