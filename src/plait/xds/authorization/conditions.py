"""One condition of a rule, for one value of it or for all its values, as Envoy's RBAC has it.

What is about operations becomes a Permission, what is about callers a Principal (Istio's division, which its users
know from the configuration that they look at).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from envoy.config.rbac.v3.rbac_pb2 import Permission, Principal
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.type.matcher.v3.path_pb2 import PathMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from plait.api.spiffe import SCHEME
from plait.xds.authorization.matchers import (
    ANY,
    address_matcher,
    header_matcher,
    is_loadable,
    is_template,
    listed,
    metadata_matcher,
    one_of,
    prefixed_matcher,
    quoted,
    regex,
    string_value,
    template_matcher,
    template_regex,
    text_matcher,
    with_stars,
)

Match: TypeAlias = Any
"""A Permission or a Principal."""
ByValue: TypeAlias = Callable[[str], Match]
ByValues: TypeAlias = Callable[[tuple[str, ...]], Match]

JWT_FILTER: Final = "envoy.filters.http.jwt_authn"
"""The filter that checks tokens, under whose name the claims stand."""
JWT_PAYLOAD: Final = "payload"
_EXPERIMENTAL: Final = "experimental."


def host(value: str) -> Permission:
    """Host of a request, in any case of letters."""
    return Permission(header=header_matcher(":authority", value, ignore_case=True))


def method(value: str) -> Permission:
    """Method of a request."""
    return Permission(header=header_matcher(":method", value))


def path(value: str) -> Permission:
    """Path of a request, without its query."""
    if is_template(value) and is_loadable(value):
        return Permission(uri_template=template_matcher(value))
    wanted = template_regex(value) if is_template(value) else text_matcher(value)
    return Permission(url_path=PathMatcher(path=wanted))


def destination_port(value: str) -> Permission:
    """The port that was called: the workload's own."""
    return Permission(destination_port=int(value))


def destination_ip(value: str) -> Permission:
    """The address that was called."""
    return Permission(destination_ip=address_matcher(value))


def sni(value: str) -> Permission:
    """The name that TLS asked for."""
    return Permission(requested_server_name=text_matcher(value))


def noted(key: str) -> ByValues:
    """What a filter of Envoy's has noted: `experimental.envoy.filters.NAME[KEY]`; `[x]` is an element of a list."""
    name, _, rest = key.removeprefix(_EXPERIMENTAL).partition("[")

    def made(values: tuple[str, ...]) -> Permission:
        wanted = [
            listed(string_value(text_matcher(value.strip("[]"))))
            if value.startswith("[") and value.endswith("]")
            else string_value(text_matcher(value))
            for value in values
        ]
        return Permission(metadata=metadata_matcher(name, (rest.removesuffix("]"),), one_of(wanted)))

    return made


def source_ip(value: str) -> Principal:
    """The address that the connection comes from."""
    return Principal(direct_remote_ip=address_matcher(value))


def remote_ip(value: str) -> Principal:
    """The client's address, by what trusted proxies say."""
    return Principal(remote_ip=address_matcher(value))


def _authenticated(name: StringMatcher) -> Principal:
    return Principal(authenticated=Principal.Authenticated(principal_name=name))


def principal(value: str) -> Principal:
    """The caller's identity in mutual TLS, without `spiffe://`."""
    return _authenticated(prefixed_matcher(value, SCHEME))


def namespace(value: str) -> Principal:
    """The namespace of the caller's identity."""
    return _authenticated(regex(f".*/ns/{with_stars(value, star='.*')}/.*"))


def trust_domain(value: str) -> Principal:
    """The trust domain of the caller's identity, which has no slash."""
    return _authenticated(regex(f"{SCHEME}{with_stars(value, star='[^/]*')}/.*"))


def service_account(own: str) -> ByValue:
    """The caller's service account: NAMESPACE/NAME, or NAME in the policy's `own` namespace."""

    def made(value: str) -> Principal:
        place, slash, name = value.rpartition("/")
        where = quoted(place if slash else own)
        return _authenticated(regex(f"{SCHEME}.+/ns/{where}/(.+/|)sa/{quoted(name)}(/.+)?"))

    return made


def header(key: str) -> ByValue:
    """A header of a request: `request.headers[NAME]`."""
    name = _steps(key)[0]
    return lambda value: Principal(header=header_matcher(name, value))


def listed_header(key: str) -> ByValue:
    """A header that is a list with commas, of which one element is enough: `request.experimental.inline.headers[…]`."""
    name = _steps(key)[0]

    def made(value: str) -> Principal:
        if value == ANY:
            return Principal(header=header_matcher(name, ANY))
        element = with_stars(value, star="[^,]*")
        whole = regex(rf"(.*,)?\s*{element}\s*(,.*)?")
        return Principal(header=HeaderMatcher(name=name, string_match=whole))

    return made


def request_principals(values: tuple[str, ...]) -> Principal:
    """Issuer and subject of a token, `ISSUER/SUBJECT`; an issuer may have slashes of its own."""
    found = [_request_principal(value) for value in values]
    return found[0] if len(found) == 1 else Principal(or_ids=Principal.Set(ids=found))


def _request_principal(value: str) -> Principal:
    issuer, slash, subject = value.rpartition("/")
    if not slash:
        issuer, subject = subject, ""
    if value == ANY:
        wanted = (text_matcher(ANY), text_matcher(ANY))
    elif value.startswith("*"):
        # What is written without a slash is the end of a subject, or the beginning of an issuer.
        wanted = (_end(issuer), StringMatcher(exact=subject)) if slash else (text_matcher(ANY), text_matcher(value))
    elif value.endswith("*"):
        wanted = (StringMatcher(exact=issuer), text_matcher(subject)) if slash else (text_matcher(value), regex(".+"))
    else:
        wanted = (StringMatcher(exact=issuer), StringMatcher(exact=subject))
    ids = (_claim((name,), string_value(each)) for name, each in zip(("iss", "sub"), wanted, strict=True))
    return Principal(and_ids=Principal.Set(ids=ids))


def _end(text: str) -> StringMatcher:
    return text_matcher(ANY) if text == ANY else StringMatcher(suffix=text.removeprefix("*"))


def claim(key: str) -> ByValues:
    """A claim of a token, `request.auth.claims[NAME][NAME]…`: a text, or an element of a list of texts."""
    return _claim_of(_steps(key))


def audiences(values: tuple[str, ...]) -> Principal:
    """For whom a token is."""
    return _claim_of(("aud",))(values)


def presenter(values: tuple[str, ...]) -> Principal:
    """Who may show a token."""
    return _claim_of(("azp",))(values)


def _claim_of(path: tuple[str, ...]) -> ByValues:
    def made(values: tuple[str, ...]) -> Principal:
        wanted = one_of(string_value(text_matcher(value)) for value in values)
        return _claim(path, one_of((listed(wanted), wanted)))

    return made


def _claim(path: Iterable[str], value: Any) -> Principal:
    return Principal(metadata=metadata_matcher(JWT_FILTER, (JWT_PAYLOAD, *path), value))


def _steps(key: str) -> tuple[str, ...]:
    """The names in the brackets of a key."""
    return tuple(key.partition("[")[2].removesuffix("]").split("]["))
