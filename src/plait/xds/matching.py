"""Match conditions of rules -> Envoy matchers."""

from __future__ import annotations

from typing import Final

from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, QueryParameterMatcher, RouteMatch
from envoy.type.matcher.v3.metadata_pb2 import MetadataMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.matcher.v3.value_pb2 import ValueMatcher

from plait.api.names import claim_path
from plait.api.virtualservice import HTTPMatchRequest, StringMatch

_METHOD: Final = ":method"
_AUTHORITY: Final = ":authority"
_SCHEME: Final = ":scheme"
#: Where the filter that checks tokens leaves what they say.
_TOKENS: Final = "envoy.filters.http.jwt_authn"
_PAYLOAD: Final = "payload"


def route_match(match: HTTPMatchRequest | None) -> RouteMatch:
    """The condition of one route; None is every request."""
    result = RouteMatch()
    if match is None or match.uri in {None, StringMatch()}:
        result.prefix = "/"
    else:
        _path(result, match.uri, ignore_case=match.ignore_uri_case)
    if match is None:
        return result
    for name, value in sorted(match.headers.items()):
        if claim := claim_path(name):
            result.dynamic_metadata.append(_claim(claim, value))
        else:
            result.headers.append(header_matcher(name, value))
    for name, value in sorted(match.without_headers.items()):
        if claim := claim_path(name):
            result.dynamic_metadata.append(_claim(claim, value))
            result.dynamic_metadata[-1].invert = True
            continue
        header = header_matcher(name, value)
        header.invert_match = True
        # Istio: a header that is absent is "without" it, whatever value is asked for.
        header.treat_missing_header_as_empty = not _is_present(value)
        result.headers.append(header)
    for name, condition in ((_METHOD, match.method), (_AUTHORITY, match.authority), (_SCHEME, match.scheme)):
        if condition is not None:
            result.headers.append(header_matcher(name, condition))
    for name, value in sorted(match.query_params.items()):
        result.query_parameters.append(_query(name, value))
    return result


def _path(result: RouteMatch, uri: StringMatch, *, ignore_case: bool) -> None:
    if uri.exact is not None:
        result.path = uri.exact
    elif uri.prefix is not None:
        result.prefix = uri.prefix
    else:
        # Istio: patterns keep their case; they have (?i).
        result.safe_regex.CopyFrom(regex(uri.regex or ""))
    if ignore_case and uri.regex is None:
        result.case_sensitive.value = False


def regex(pattern: str) -> RegexMatcher:
    """RE2 over the whole text."""
    return RegexMatcher(regex=pattern)


def string_matcher(match: StringMatch) -> StringMatcher:
    """How a text is compared; of an empty match, any text."""
    if match.exact is not None:
        return StringMatcher(exact=match.exact)
    if match.prefix:
        return StringMatcher(prefix=match.prefix)
    return StringMatcher(safe_regex=regex(match.regex if match.regex is not None else ".*"))


def _is_present(match: StringMatch) -> bool:
    """Whether any value will do. A regex of `*` is Istio's own way to say so."""
    return match.exact is None and not match.prefix and match.regex in {None, "*"}


def header_matcher(name: str, match: StringMatch) -> HeaderMatcher:
    """A condition on one header."""
    if _is_present(match):
        return HeaderMatcher(name=name, present_match=True)
    return HeaderMatcher(name=name, string_match=string_matcher(match))


def _claim(path: tuple[str, ...], match: StringMatch) -> MetadataMatcher:
    """A condition on what a checked token says; of a list one item must meet it (Istio's rule)."""
    result = MetadataMatcher(filter=_TOKENS)
    for key in (_PAYLOAD, *path):
        result.path.add(key=key)
    if _is_present(match):
        result.value.present_match = True
        return result
    text = ValueMatcher(string_match=string_matcher(match))
    item = ValueMatcher()
    item.list_match.one_of.CopyFrom(text)
    result.value.or_match.value_matchers.extend((item, text))
    return result


def _query(name: str, match: StringMatch) -> QueryParameterMatcher:
    if _is_present(match):
        return QueryParameterMatcher(name=name, present_match=True)
    return QueryParameterMatcher(name=name, string_match=string_matcher(match))
