"""How AuthorizationPolicies write texts, and what of it Envoy has: `*`, `prefix*`, `*suffix` and templates of paths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Final

from envoy.config.core.v3.address_pb2 import CidrRange
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.extensions.path.match.uri_template.v3.uri_template_match_pb2 import UriTemplateMatchConfig
from envoy.type.matcher.v3.metadata_pb2 import MetadataMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.matcher.v3.value_pb2 import ListMatcher, OrMatcher, ValueMatcher

from plait.xds.encode import packed

ANY: Final = "*"
#: What means something in a regular expression of RE2.
_MEANING: Final = re.compile(r"[\\.+*?()|\[\]{}^$]")
_URI_TEMPLATE: Final = "uri-template"
#: Of what a segment that a template stands for is made (Envoy).
SEGMENT: Final = r"a-zA-Z0-9\-._~%!$&'()*+,;:@="


def quoted(text: str) -> str:
    """A text as a regular expression that means nothing but itself."""
    return _MEANING.sub(r"\\\g<0>", text)


def with_stars(text: str, *, star: str) -> str:
    """The same with `star`, a regular expression, for each `*`."""
    return star.join(quoted(part) for part in text.split("*"))


def regex(text: str) -> StringMatcher:
    """The whole of a text has this form."""
    return StringMatcher(safe_regex=RegexMatcher(regex=text))


def text_matcher(text: str, *, ignore_case: bool = False) -> StringMatcher:
    """Istio: `*` is any text but none; `*x` and `x*` are ends and beginnings."""
    if text == ANY:
        return regex(".+")
    if text.startswith("*"):
        return StringMatcher(suffix=text[1:], ignore_case=ignore_case)
    if text.endswith("*"):
        return StringMatcher(prefix=text[:-1], ignore_case=ignore_case)
    return StringMatcher(exact=text, ignore_case=ignore_case)


def prefixed_matcher(text: str, prefix: str) -> StringMatcher:
    """The same of texts that begin with `prefix`, which is not written; with `*` alone any text will do."""
    if text == ANY:
        return regex(".+")
    if text.startswith("*"):
        return regex(f"{prefix}.*{quoted(text[1:])}")
    return text_matcher(f"{prefix}{text}")


def header_matcher(name: str, text: str, *, ignore_case: bool = False) -> HeaderMatcher:
    """A header; `*` is one that is there."""
    if text == ANY:
        return HeaderMatcher(name=name, present_match=True)
    return HeaderMatcher(name=name, string_match=text_matcher(text, ignore_case=ignore_case))


def is_template(path: str) -> bool:
    """Whether a path has parts that stand for segments."""
    return "{*}" in path or "{**}" in path


def is_loadable(path: str) -> bool:
    """Whether Envoy has a template: it ends at once, as a process, when it is to load one that begins otherwise."""
    return path.startswith("/") and not path.startswith("//")


def template_regex(path: str) -> StringMatcher:
    """What a template means, as a regular expression."""
    parts = {"{*}": f"[{SEGMENT}]+", "{**}": f"[{SEGMENT}/]*"}
    return regex("/".join(parts.get(segment) or quoted(segment) for segment in path.split("/")))


def template_matcher(path: str) -> TypedExtensionConfig:
    """`{*}` is one segment of a path, `{**}` any number of them."""
    config = UriTemplateMatchConfig(path_template=path.replace("{*}", "*").replace("{**}", "**"))
    return TypedExtensionConfig(name=_URI_TEMPLATE, typed_config=packed(config))


def address_matcher(text: str) -> CidrRange:
    """An address or a range of them. Raises ValueError for another text."""
    network = ip_network(text, strict=False)
    result = CidrRange(address_prefix=str(network.network_address))
    result.prefix_len.value = network.prefixlen
    return result


def string_value(matcher: StringMatcher) -> ValueMatcher:
    """A value that is a text."""
    return ValueMatcher(string_match=matcher)


def one_of(matchers: Iterable[ValueMatcher]) -> ValueMatcher:
    """A value of any of these kinds."""
    found = list(matchers)
    return found[0] if len(found) == 1 else ValueMatcher(or_match=OrMatcher(value_matchers=found))


def listed(matcher: ValueMatcher) -> ValueMatcher:
    """A value that is a list with such a value in it."""
    return ValueMatcher(list_match=ListMatcher(one_of=matcher))


def metadata_matcher(name: str, path: Iterable[str], value: ValueMatcher) -> MetadataMatcher:
    """What the filter `name` has noted of the request or connection."""
    result = MetadataMatcher(filter=name, value=value)
    for step in path:
        result.path.add(key=step)
    return result
