"""Rules that leave their details to other VirtualServices.

Istio: an http rule with `delegate` stands for the http rules of the named VirtualService, each with both conditions;
what the delegate's rule does not say is taken from the delegating one. A delegate has no hosts, is named by name and
namespace (the rule's own if none), must be exported to the rule's namespace, and does not delegate on. Each match of a
delegate's rule must be narrower than one of the delegating rule, or the whole rule has no effect; patterns cannot be
compared, so they are narrower than nothing. A rule whose delegate is not there has no routes. Short names mean what
they mean in the namespace of the object that says them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from plait.api.meta import ObjectKey
from plait.api.virtualservice import Destination, HTTPMatchRequest, HTTPRoute, StringMatch, VirtualService
from plait.mesh.origin import Origin
from plait.snapshot.hosts import complete_host
from plait.snapshot.indexes import gateway_name
from plait.snapshot.ingresses import IngressRoute
from plait.snapshot.reader import Reader
from plait.snapshot.visibility import visible_in

#: Settings of a rule that a delegate's rule has from its root where it has none of its own.
_INHERITED = (
    "rewrite", "timeout", "retries", "fault", "mirror", "mirror_percent", "mirror_percent_snake", "mirror_percentage",
    "mirrors", "cors_policy", "headers",
)  # fmt: skip
_TEXTS = ("uri", "scheme", "method", "authority")
_MAPS = ("headers", "without_headers", "query_params")


def http_rules(reader: Reader, key: ObjectKey, rule: VirtualService) -> Iterator[tuple[HTTPRoute, Origin]]:
    """The http rules of `rule` in order, delegates in their places; the origin is where each is written."""
    for index, http in enumerate(rule.spec.http):
        if http.delegate is None:
            yield http, _origin(key, http, index)
            continue
        found = ObjectKey("VirtualService", http.delegate.namespace or key.namespace, http.delegate.name)
        delegate: VirtualService | None = reader.object(found)
        if delegate is None or not visible_in(reader.delegate_scopes(found), key.namespace):
            continue
        root = _completed(http, key.namespace, reader.domain)
        for place, inner in enumerate(delegate.spec.http):
            merged = None if inner.delegate is not None else _merged(root, _gateways_named(inner, found.namespace))
            if merged is not None:
                yield merged, Origin(found, f"spec.http[{place}]")


def _origin(key: ObjectKey, http: HTTPRoute, index: int) -> Origin:
    """Where a rule is written: what was made of an Ingress, there."""
    if isinstance(http, IngressRoute):
        return Origin(ObjectKey("Ingress", key.namespace, http.ingress), http.place)
    return Origin(key, f"spec.http[{index}]")


def uncovered(root: HTTPRoute, inner: HTTPRoute) -> int | None:
    """The index of the first match of a delegate's rule that no match of the delegating rule covers."""
    if not root.match:
        return None
    return next(
        (index for index, match in enumerate(inner.match) if all(_conflict(one, match) for one in root.match)), None
    )


def _completed(root: HTTPRoute, namespace: str, domain: str) -> HTTPRoute:
    """A delegating rule that means the same in any namespace."""
    mirror = root.mirror and _full(root.mirror, namespace, domain)
    mirrors = tuple(
        msgspec.structs.replace(each, destination=_full(each.destination, namespace, domain)) for each in root.mirrors
    )
    return msgspec.structs.replace(_gateways_named(root, namespace), mirror=mirror, mirrors=mirrors)


def _full(destination: Destination, namespace: str, domain: str) -> Destination:
    return msgspec.structs.replace(destination, host=complete_host(destination.host, namespace, domain))


def _gateways_named(rule: HTTPRoute, namespace: str) -> HTTPRoute:
    if not any(match.gateways for match in rule.match):
        return rule
    matches = (
        msgspec.structs.replace(match, gateways=tuple(gateway_name(name, namespace) for name in match.gateways))
        for match in rule.match
    )
    return msgspec.structs.replace(rule, match=tuple(matches))


def _merged(root: HTTPRoute, inner: HTTPRoute) -> HTTPRoute | None:
    """Both rules in one, None where the delegate's is not narrower."""
    if uncovered(root, inner) is not None:
        return None
    match = root.match or inner.match
    if root.match and inner.match:
        pairs = ((one, other) for other in inner.match for one in root.match)
        match = tuple(_both(one, other) for one, other in pairs if not _conflict(one, other))
    changes: dict[str, Any] = {"match": match, "name": "-".join(filter(None, (root.name, inner.name)))}
    for name in _INHERITED:
        if not getattr(inner, name):
            changes[name] = getattr(root, name)
    return msgspec.structs.replace(inner, **changes)


def _both(root: HTTPMatchRequest, inner: HTTPMatchRequest) -> HTTPMatchRequest:
    changes: dict[str, Any] = {"name": "-".join(filter(None, (root.name, inner.name)))}
    for name in _TEXTS:
        changes[name] = getattr(inner, name) or getattr(root, name)
    for name in (*_MAPS, "source_labels"):
        changes[name] = {**getattr(root, name), **getattr(inner, name)}
    for name in ("port", "source_namespace", "stat_prefix", "gateways"):
        changes[name] = getattr(inner, name) or getattr(root, name)
    return msgspec.structs.replace(inner, **changes)


def _conflict(root: HTTPMatchRequest, inner: HTTPMatchRequest) -> bool:
    """Whether `inner` is not narrower than `root`, by Istio's words.

    Not each of them is the obvious one: case must be ignored by both or none, and a namespace of callers be said again.
    """
    if root.ignore_uri_case != inner.ignore_uri_case or _differ(root.port, inner.port):
        return True
    if root.source_namespace and inner.source_namespace != root.source_namespace:
        return True
    if any(_differ(value, inner.source_labels.get(name)) for name, value in root.source_labels.items()):
        return True
    if root.gateways and not set(root.gateways).issuperset(inner.gateways):
        return True
    if any(_excludes(getattr(root, name), getattr(inner, name)) for name in _TEXTS):
        return True
    return any(
        _excludes(wanted, getattr(inner, field).get(name))
        for field in _MAPS
        for name, wanted in getattr(root, field).items()
    )


def _differ(one: Any, other: Any) -> bool:
    return bool(one) and bool(other) and one != other


def _excludes(root: StringMatch | None, inner: StringMatch | None) -> bool:
    """Whether the inner condition is not a narrower one; patterns cannot be compared, so they always count."""
    if root is None or inner is None:
        return False
    if root.regex is not None or inner.regex is not None:
        return True
    if root.exact is not None:
        return inner.exact != root.exact
    if root.prefix is not None:
        text = inner.exact if inner.exact is not None else inner.prefix
        return text is None or not text.startswith(root.prefix)
    return True
