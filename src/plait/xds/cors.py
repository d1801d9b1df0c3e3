"""Cross-origin policy of a rule -> the settings of the cors filter for one route."""

from __future__ import annotations

from envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy as EnvoyCors
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from plait.api.durations import parse_duration
from plait.api.virtualservice import CorsPolicy
from plait.xds.fault import fraction
from plait.xds.matching import string_matcher


def cors_settings(policy: CorsPolicy) -> EnvoyCors:
    """The filter's settings. A preflight from an origin that is not allowed goes on to the application unless the
    policy says IGNORE.
    """
    result = EnvoyCors()
    result.filter_enabled.default_value.CopyFrom(fraction(100))
    origins = [string_matcher(match) for match in policy.allow_origins]
    # The old form counts only without the new one (Istio's rule).
    origins = origins or [StringMatcher(exact=text) for text in policy.allow_origin]
    result.allow_origin_string_match.extend(origins)
    result.allow_methods = ",".join(policy.allow_methods)
    result.allow_headers = ",".join(policy.allow_headers)
    result.expose_headers = ",".join(policy.expose_headers)
    age = parse_duration(policy.max_age) if policy.max_age else None
    if age is not None:
        result.max_age = str(int(age.total_seconds()))
    if policy.allow_credentials is not None:
        result.allow_credentials.value = policy.allow_credentials
    result.forward_not_matching_preflights.value = policy.unmatched_preflights != "IGNORE"
    return result
