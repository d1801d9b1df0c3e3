"""What Envoy's filter `jwt_authn` makes of a request: the tokens it finds, what it says of them, what it passes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import JwtAuthentication, JwtProvider, JwtRequirement
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from plait.api.web_keys import WebKey, usable_keys
from plait.simulate.jwt import Token, TokenError, Verdict, by_keys, for_audience, in_time, read_token
from plait.simulate.request import Request
from plait.simulate.token_judgement import Found, TokenJudgement
from plait.xds.tokens import FILTER, NO_KEYS

#: Where tokens are looked for when a provider names no place.
_USUAL: Final = (("authorization", "Bearer "),)
_USUAL_PARAMETER: Final = "access_token"
_BASE64: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A request behind the filter. `metadata` is what it notes for others; `again`: the route is looked for anew."""

    judgement: TokenJudgement
    request: Request
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    again: bool = False


def judge(manager: HttpConnectionManager, request: Request, now: float) -> Checked | None:
    """What is said of the tokens of a request at a time, in seconds since the epoch; None: nobody looks at them."""
    config = next((_read(each.typed_config.value) for each in manager.http_filters if each.name == FILTER), None)
    if config is None or not config.rules:
        return None
    if config.bypass_cors_preflight and _is_preflight(request):
        return None
    asking = _Asking(config, request, now)
    asking.clean()
    verdict = asking.required(config.rules[0].requires)
    status = 0 if verdict == "valid" else 403 if verdict == "wrong audience" else 401
    noted = {FILTER: asking.noted} if asking.noted else {}
    judgement = TokenJudgement(status=status, found=tuple(asking.found.values()))
    return Checked(judgement=judgement, request=asking.request, metadata=noted, again=asking.again)


@lru_cache(maxsize=256)
def _read(encoded: bytes) -> JwtAuthentication:
    return JwtAuthentication.FromString(encoded)


@lru_cache(maxsize=256)
def _keys(text: str) -> tuple[WebKey, ...]:
    return usable_keys(text)


def _is_preflight(request: Request) -> bool:
    asked = request.header("origin") and request.header("access-control-request-method")
    return request.method == "OPTIONS" and bool(asked)


@dataclass(slots=True)
class _Asking:
    """A request on its way through the filter, which changes it."""

    config: JwtAuthentication
    request: Request
    now: float
    found: dict[str, Found] = field(default_factory=dict)
    noted: dict[str, Any] = field(default_factory=dict)
    again: bool = False

    def clean(self) -> None:
        """What a client says by itself must not pass for what its token says, be a rule asked for it or not."""
        for provider in self.config.providers.values():
            made = (each.header_name for each in provider.claim_to_headers)
            for header in filter(None, (provider.forward_payload_header, *made)):
                self._set(header, ())

    def required(self, requirement: JwtRequirement) -> Verdict:
        match requirement.WhichOneof("requires_type"):
            case "provider_name":
                return self._provided(requirement.provider_name)
            case "requires_any":
                return self._any(requirement.requires_any.requirements)
            case "requires_all":
                for each in requirement.requires_all.requirements:
                    verdict = self.required(each)
                    if verdict != "valid":
                        return verdict
        return "valid"

    def _any(self, requirements: Any) -> Verdict:
        said: Verdict = "missing"
        optional = False
        for each in requirements:
            if each.HasField("allow_missing"):
                optional = True
                continue
            verdict = self.required(each)
            if verdict == "valid":
                return verdict
            if verdict not in {"missing", "wrong issuer"} or said == "missing":
                said = verdict
        return "valid" if optional and said == "missing" else said

    def _provided(self, name: str) -> Verdict:
        provider = self.config.providers[name]
        tokens = list(_places(provider, self.request))
        if not tokens:
            self._note(Found(provider=name, verdict="missing"))
            return "missing"
        for place, remove, text in reversed(tokens):
            found = self._judged(name, provider, place, text)
            self._note(found)
            if found.verdict != "valid" or found.token is None:
                return found.verdict
            self._pass_on(provider, found.token, remove)
        return "valid"

    def _note(self, found: Found) -> None:
        """A provider may be asked twice, the second time of what the first has left."""
        before = self.found.get(found.provider)
        if before is None or before.verdict == "missing":
            self.found[found.provider] = found

    def _judged(self, name: str, provider: JwtProvider, place: str, text: str) -> Found:
        try:
            token = read_token(text)
        except TokenError as error:
            return Found(provider=name, verdict=error.verdict, place=place)
        verdict: Verdict = "valid"
        if provider.issuer and provider.issuer != token.issuer:
            verdict = "wrong issuer"
        elif (timely := in_time(token, self.now)) != "valid":
            verdict = timely
        elif not for_audience(token, provider.audiences):
            verdict = "wrong audience"
        else:
            text = provider.local_jwks.inline_string
            verdict = by_keys(token, _keys(text)) if text != NO_KEYS else "no keys"
        return Found(provider=name, verdict=verdict, place=place, token=token)

    def _pass_on(self, provider: JwtProvider, token: Token, remove: str) -> None:
        if provider.forward_payload_header:
            self._add(provider.forward_payload_header, token.encoded_claims)
        for each in provider.claim_to_headers:
            value = _as_header(token.claims, each.claim_name)
            if value:
                self._add(each.header_name, value)
        if not provider.forward:
            self._remove(remove)
        if provider.payload_in_metadata:
            lists = provider.normalize_payload_in_metadata.space_delimited_claims
            self.noted[provider.payload_in_metadata] = {
                claim: value.split() if claim in lists and isinstance(value, str) else value
                for claim, value in token.claims.items()
            }
        self.again = self.again or provider.clear_route_cache

    def _set(self, header: str, values: tuple[str, ...]) -> None:
        headers = {name: given for name, given in self.request.headers.items() if name != header.lower()}
        if values:
            headers[header.lower()] = values
        self.request = replace(self.request, headers=headers)

    def _add(self, header: str, value: str) -> None:
        self._set(header, (*self.request.headers.get(header.lower(), ()), value))

    def _remove(self, place: str) -> None:
        kind, _, name = place.partition(" ")
        if kind == "header":
            self._set(name, ())
        elif kind == "parameter" and self.request.query is not None:
            kept = [piece for piece in self.request.query.split("&") if unquote_plus(piece.partition("=")[0]) != name]
            self.request = replace(self.request, query="&".join(kept) if kept else None)


def _places(provider: JwtProvider, request: Request) -> Iterator[tuple[str, str, str]]:
    """(place in words, what would be removed, token) of each token, in the order in which they are found."""
    headers = [(each.name.lower(), each.value_prefix) for each in provider.from_headers]
    parameters, cookies = list(provider.from_params), list(provider.from_cookies)
    if not (headers or parameters or cookies):
        headers, parameters = list(_USUAL), [_USUAL_PARAMETER]
    for name, prefix in sorted(set(headers), key="".join):
        for value in (each.strip(" \t") for each in request.values(name)):
            if not prefix:
                yield f"header {name}", f"header {name}", value
            elif prefix in value:
                yield f"header {name}", f"header {name}", _token_in(value, value.index(prefix) + len(prefix))
    given = parse_qsl(request.query or "", keep_blank_values=True)
    for name in sorted(set(parameters)):
        first = next((value for key, value in given if key == name), None)
        if first is not None:
            yield f"query parameter {name}", f"parameter {name}", first
    jar = _cookies(request)
    for name in sorted(set(cookies)):
        if name in jar:
            yield f"cookie {name}", f"cookie {name}", jar[name]


def _token_in(value: str, after: int) -> str:
    """Envoy: from the first letter on that a token could have; the whole where there is none."""
    start = next((place for place in range(after, len(value)) if value[place] in _BASE64), None)
    return value if start is None else value[start:]


def _cookies(request: Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in request.values("cookie"):
        for piece in line.split(";"):
            name, equals, value = piece.strip().partition("=")
            if equals:
                quoted = len(value) > 1 and value[0] == value[-1] == '"'
                found.setdefault(name, value[1:-1] if quoted else value)
    return found


def _as_header(claims: Mapping[str, Any], path: str) -> str:
    """A claim as a header has it; nested ones are named by path. Envoy passes texts, numbers and truths on."""
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return ""
        value = value[name]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        whole = value >= 0 and float(value).is_integer()
        return str(int(value)) if whole else f"{value:f}"
    return ""
