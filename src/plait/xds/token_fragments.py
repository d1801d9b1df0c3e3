"""Fragments of who may come with which token: the rules that hold at a workload, and the filter that they make."""

from __future__ import annotations

from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter

from plait.api.meta import ObjectKey
from plait.kit.memo import Tracker
from plait.mesh.config import MeshConfig
from plait.mesh.tokens import TokenPolicies, TokenRule, token_policies, token_rules
from plait.snapshot.reader import Reader
from plait.snapshot.tokens import KeySource
from plait.xds.shared_fragments import Maker
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
            "token-filters": self.token_filters,
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
    def token_filters(tracker: Tracker, reader: Reader, view: ViewKey) -> tuple[HttpFilter, ...]:
        """What checks tokens at the proxies of a view: one filter, or none."""
        rules: tuple[TokenRule, ...] = token_rules(reader, tracker.need(("chosen-tokens", view)))

        def keys(source: KeySource) -> str | None:
            found: str | None = tracker.read(keys_key(source))
            return found

        made = token_filter(rules, keys, gateway=view.side == "gw")
        return (made,) if made is not None else ()
