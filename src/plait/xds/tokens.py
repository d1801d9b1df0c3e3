"""Rules about tokens -> Envoy's filter `jwt_authn`, as Istio makes it.

Each rule is a provider. A request without a token passes, unless a rule demands one; a token at a place where rules
look must be valid by one of them. What it says is left in the metadata of the filter, where authorization and routes
read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import (
    JwtAuthentication,
    JwtProvider,
    JwtRequirement,
)
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter

from plait.api.security import JWTRule
from plait.api.web_keys import usable_set
from plait.kit.memo import Key
from plait.mesh.tokens import TokenRule
from plait.snapshot.tokens import KeySource, source_of
from plait.xds.encode import packed
from plait.xds.slots import JWT_AUTHN

FILTER: Final = JWT_AUTHN
PAYLOAD: Final = "payload"
"""The key of the claims in the filter's metadata."""
#: Envoy takes no empty set. This is the hash of a sentence, to which nobody has the private half.
NO_KEYS: Final = (
    '{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"nobody",'
    '"x":"lYhLzZB7MxJbSWnk3VFgA3ZLiSL7G7_4zZd9mGg1vu0"}]}'
)
#: Istio: claims whose words are a list.
_LISTS: Final = ("permission", "scope")
_PROVIDER: Final = "origins-{}"
KEYS: Final = "token-keys"
"""The kind of the engine's entries with keys that were fetched."""


def keys_key(source: KeySource) -> Key:
    """Where the engine has the keys of a source: JSON, or None before they came."""
    return (KEYS, source)


def provider_name(index: int) -> str:
    """The provider of the rule at this place of the list (Istio's name)."""
    return _PROVIDER.format(index)


def token_filter(
    rules: Iterable[TokenRule], keys: Callable[[KeySource], str | None], *, gateway: bool
) -> HttpFilter | None:
    """The filter of a workload; None without rules. `keys` are those that were fetched, as JSON; None: none yet."""
    found = tuple(each.rule for each in rules)
    if not found:
        return None
    config = JwtAuthentication(bypass_cors_preflight=True)
    for index, rule in enumerate(found):
        config.providers[provider_name(index)].CopyFrom(_provider(rule, keys, gateway=gateway))
    requirement = config.rules.add()
    requirement.match.prefix = "/"
    requirement.requires.CopyFrom(_requirement(found))
    return HttpFilter(name=FILTER, typed_config=packed(config))


def _provider(rule: JWTRule, keys: Callable[[KeySource], str | None], *, gateway: bool) -> JwtProvider:
    result = JwtProvider(
        issuer=rule.issuer,
        audiences=rule.audiences,
        forward=rule.forward_original_token,
        forward_payload_header=rule.output_payload_to_header,
        from_params=rule.from_params,
        from_cookies=rule.from_cookies,
        payload_in_metadata=PAYLOAD,
        # A route that asks for claims is looked for again when they are known: gateways have such routes.
        clear_route_cache=gateway,
    )
    lists = result.normalize_payload_in_metadata.space_delimited_claims
    lists.extend(sorted({*_LISTS, *rule.space_delimited_claims}))
    for header in rule.from_headers:
        result.from_headers.add(name=header.name, value_prefix=header.prefix)
    for out in rule.output_claim_to_headers:
        result.claim_to_headers.add(header_name=out.header, claim_name=out.claim)
    source = source_of(rule)
    fetched = keys(source) if source is not None else None
    result.local_jwks.inline_string = usable_set(rule.jwks or fetched or "") or NO_KEYS
    return result


def _requirement(rules: tuple[JWTRule, ...]) -> JwtRequirement:
    """Any of the rules, or none of them where no token is demanded.

    With several: of tokens at one place one rule is enough, and else each of the places has a valid one or none. Where
    a rule demands its token, nothing else will do for it.
    """
    singles = [_single(index, rule) for index, rule in enumerate(rules)]
    if len(singles) == 1:
        return singles[0]
    result = JwtRequirement()
    if not any(_demanded(rule) for rule in rules):
        for index in range(len(rules)):
            result.requires_any.requirements.add(provider_name=provider_name(index))
        result.requires_any.requirements.add().requires_all.requirements.extend(singles)
        return result
    demanded = [single for single, rule in zip(singles, rules, strict=True) if _demanded(rule)]
    if len(demanded) == 1:
        return demanded[0]
    result.requires_any.requirements.extend(demanded)
    return result


def _demanded(rule: JWTRule) -> bool:
    return rule.presence == "REQUIRED"


def _single(index: int, rule: JWTRule) -> JwtRequirement:
    if _demanded(rule):
        return JwtRequirement(provider_name=provider_name(index))
    result = JwtRequirement()
    result.requires_any.requirements.add(provider_name=provider_name(index))
    result.requires_any.requirements.add().allow_missing.SetInParent()
    return result
