"""Fragments of who may come with which token: the rules that hold at a workload, and what they make."""

from __future__ import annotations

from plait.api.meta import ObjectKey
from plait.kit.memo import Tracker
from plait.mesh.config import MeshConfig
from plait.mesh.tokens import TokenPolicies, TokenRule, token_policies, token_rules
from plait.snapshot.reader import Reader
from plait.snapshot.tokens import KeySource
from plait.xds.resource import Resource
from plait.xds.shared_fragments import Maker
from plait.xds.slots import EMPTY, TOKENS, content
from plait.xds.tokens import keys_key, token_filter
from plait.xds.views import ViewKey


class TokenFragments:
    """Makers of these fragments."""

    def __init__(self, mesh: MeshConfig) -> None:
        self.mesh = mesh

    def makers(self) -> dict[str, Maker]:
        """By kind."""
        return {
            "token-policies": self.token_policies,
            "chosen-tokens": self.chosen_tokens,
            "token-slot": self.token_slot,
        }

    def token_policies(self, _tracker: Tracker, reader: Reader, namespace: str) -> TokenPolicies:
        """The RequestAuthentications that decide in a namespace."""
        return token_policies(reader, namespace, self.mesh.root_namespace)

    @staticmethod
    def chosen_tokens(tracker: Tracker, _reader: Reader, view: ViewKey) -> tuple[ObjectKey, ...]:
        """Those that are for the proxies of a view."""
        policies: TokenPolicies = tracker.need(("token-policies", view.namespace))
        return policies.of(view.labels)

    @staticmethod
    def token_slot(tracker: Tracker, reader: Reader, chosen: tuple[ObjectKey, ...], gateway: bool) -> Resource:
        """What checks tokens by some RequestAuthentications; nothing without any."""
        if not chosen:
            return EMPTY[TOKENS.name]
        rules: tuple[TokenRule, ...] = token_rules(reader, chosen)

        def keys(source: KeySource) -> str | None:
            found: str | None = tracker.read(keys_key(source))
            return found

        return content(TOKENS, token_filter(rules, keys, gateway=gateway))
