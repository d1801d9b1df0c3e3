"""What filters note of a request for those after them, and conditions on it (Envoy's dynamic metadata)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait.simulate.text import string_holds


def metadata_holds(matcher: Any, noted: Mapping[str, Any]) -> bool:
    """Whether a MetadataMatcher holds for what was noted, by the names of the filters."""
    value: Any = noted.get(matcher.filter)
    for step in matcher.path:
        if not isinstance(value, Mapping) or step.key not in value:
            value = None
            break
        value = value[step.key]
    return bool(value_holds(matcher.value, value) != matcher.invert)


def value_holds(matcher: Any, value: Any) -> bool:
    """Whether a ValueMatcher holds; None is no value."""
    match matcher.WhichOneof("match_pattern"):
        case "string_match":
            return isinstance(value, str) and string_holds(matcher.string_match, value)
        case "list_match":
            one = matcher.list_match.one_of
            return isinstance(value, list | tuple) and any(value_holds(one, each) for each in value)
        case "or_match":
            return any(value_holds(each, value) for each in matcher.or_match.value_matchers)
        case "present_match":
            return bool((value is not None) == matcher.present_match)
        case "bool_match":
            return isinstance(value, bool) and value is bool(matcher.bool_match)
        case "null_match":
            return value is None
    return False
