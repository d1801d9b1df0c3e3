"""security.istio.io: AuthorizationPolicy, PeerAuthentication and RequestAuthentication."""

from __future__ import annotations

from typing import Literal

import msgspec

from plait.api.meta import Metadata
from plait.api.selection import LabelSelector, TargetReference

MTLSMode = Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]
Texts = tuple[str, ...] | None


class Source(msgspec.Struct, frozen=True, rename="camel"):
    """Who sends: all conditions set must hold, in each list one of the values. None is not set."""

    principals: Texts = None
    not_principals: Texts = None
    request_principals: Texts = None
    not_request_principals: Texts = None
    namespaces: Texts = None
    not_namespaces: Texts = None
    service_accounts: Texts = None
    not_service_accounts: Texts = None
    trust_domains: Texts = None
    not_trust_domains: Texts = None
    ip_blocks: Texts = None
    not_ip_blocks: Texts = None
    remote_ip_blocks: Texts = None
    not_remote_ip_blocks: Texts = None


class From(msgspec.Struct, frozen=True):
    """One alternative of senders."""

    source: Source | None = None


class Operation(msgspec.Struct, frozen=True, rename="camel"):
    """What is asked: all conditions set must hold, in each list one of the values. None is not set."""

    hosts: Texts = None
    not_hosts: Texts = None
    ports: Texts = None
    not_ports: Texts = None
    methods: Texts = None
    not_methods: Texts = None
    paths: Texts = None
    not_paths: Texts = None


class To(msgspec.Struct, frozen=True):
    """One alternative of operations."""

    operation: Operation | None = None


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """A condition on an attribute."""

    key: str = ""
    values: Texts = None
    not_values: Texts = None


class Rule(msgspec.Struct, frozen=True):
    """One rule: from, to and when must all hold. None is not set, which is everything."""

    from_: tuple[From, ...] | None = msgspec.field(default=None, name="from")
    to: tuple[To, ...] | None = None
    when: tuple[Condition, ...] | None = None


class Provider(msgspec.Struct, frozen=True):
    """An extension provider by name."""

    name: str = ""


class AuthorizationPolicySpec(msgspec.Struct, frozen=True, rename="camel"):
    """`rules` None is no rule at all; an empty rule holds for everything."""

    selector: LabelSelector | None = None
    target_ref: TargetReference | None = None
    target_refs: tuple[TargetReference, ...] = ()
    action: Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"] = "ALLOW"
    provider: Provider | None = None
    rules: tuple[Rule, ...] | None = None


class AuthorizationPolicy(msgspec.Struct, frozen=True):
    """security.istio.io AuthorizationPolicy, any version."""

    metadata: Metadata
    spec: AuthorizationPolicySpec = AuthorizationPolicySpec()


class MutualTLS(msgspec.Struct, frozen=True):
    """Whether mutual TLS is demanded."""

    mode: MTLSMode = "UNSET"


class PeerAuthenticationSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Mutual TLS of workloads, and of single ports of theirs (by number, as text)."""

    selector: LabelSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: dict[str, MutualTLS] | None = None


class PeerAuthentication(msgspec.Struct, frozen=True):
    """security.istio.io PeerAuthentication, any version."""

    metadata: Metadata
    spec: PeerAuthenticationSpec = PeerAuthenticationSpec()


class JWTHeader(msgspec.Struct, frozen=True):
    """A header that carries a token behind a prefix."""

    name: str = ""
    prefix: str = ""


class ClaimToHeader(msgspec.Struct, frozen=True):
    """A claim that becomes a header."""

    header: str = ""
    claim: str = ""


class JWTRule(msgspec.Struct, frozen=True, rename="camel"):
    """Tokens of one issuer."""

    issuer: str = ""
    audiences: tuple[str, ...] = ()
    jwks_uri: str = ""
    jwks_uri_snake: str = msgspec.field(default="", name="jwks_uri")
    jwks: str = ""
    from_headers: tuple[JWTHeader, ...] = ()
    from_params: tuple[str, ...] = ()
    from_cookies: tuple[str, ...] = ()
    output_payload_to_header: str = ""
    output_claim_to_headers: tuple[ClaimToHeader, ...] = ()
    forward_original_token: bool = False
    timeout: str | None = None
    space_delimited_claims: tuple[str, ...] = ()
    presence: Literal["", "PRESENCE_UNSPECIFIED", "OPTIONAL", "REQUIRED"] = ""

    @property
    def uri(self) -> str:
        """Where its keys are, by whichever of the two names it is written."""
        return self.jwks_uri or self.jwks_uri_snake


class RequestAuthenticationSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Tokens that are looked at; that there is none is no fault."""

    selector: LabelSelector | None = None
    target_ref: TargetReference | None = None
    target_refs: tuple[TargetReference, ...] = ()
    jwt_rules: tuple[JWTRule, ...] = ()


class RequestAuthentication(msgspec.Struct, frozen=True):
    """security.istio.io RequestAuthentication, any version."""

    metadata: Metadata
    spec: RequestAuthenticationSpec = RequestAuthenticationSpec()
