"""Rules that leave their details to other VirtualServices.

Istio: an http rule with `delegate` stands for the http rules of the named VirtualService, each with both conditions;
what the delegate's rule does not say is taken from the delegating one. A delegate has no hosts, is named by name and
namespace (the rule's own if none), must be exported to the rule's namespace, and does not delegate on. Conditions that
exclude each other, or cannot be compared (patterns), drop the pair; a rule whose delegate is not there has no routes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import msgspec

from plait.api.meta import ObjectKey
from plait.api.virtualservice import HTTPMatchRequest, HTTPRoute, StringMatch, VirtualService
from plait.mesh.origin import Origin
from plait.snapshot.ingresses import IngressRoute
from plait.snapshot.reader import Reader
from plait.snapshot.visibility import scopes, visible_in

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
        if delegate is None or delegate.spec.hosts or not _sees(key, found, delegate):
            continue
        for place, inner in enumerate(delegate.spec.http):
            merged = _merged(http, inner) if inner.delegate is None else None
            if merged is not None:
                yield merged, Origin(found, f"spec.http[{place}]")


def _origin(key: ObjectKey, http: HTTPRoute, index: int) -> Origin:
    """Where a rule is written: what was made of an Ingress, there."""
    if isinstance(http, IngressRoute):
        return Origin(ObjectKey("Ingress", key.namespace, http.ingress), http.place)
    return Origin(key, f"spec.http[{index}]")


def _sees(key: ObjectKey, found: ObjectKey, delegate: VirtualService) -> bool:
    return visible_in(tuple(scopes(delegate.spec.export_to, found.namespace)), key.namespace)


def _merged(root: HTTPRoute, inner: HTTPRoute) -> HTTPRoute | None:
    """Both rules in one, None where their conditions never hold together."""
    if root.match and inner.match:
        pairs = (_both(one, other) for one, other in product(root.match, inner.match))
        match = tuple(each for each in pairs if each is not None)
        if not match:
            return None
    else:
        match = root.match or inner.match
    changes: dict[str, Any] = {"match": match, "name": "-".join(filter(None, (root.name, inner.name)))}
    for name in _INHERITED:
        if not getattr(inner, name):
            changes[name] = getattr(root, name)
    return msgspec.structs.replace(inner, **changes)


def _both(root: HTTPMatchRequest, inner: HTTPMatchRequest) -> HTTPMatchRequest | None:
    if _conflict(root, inner):
        return None
    changes: dict[str, Any] = {"name": "-".join(filter(None, (root.name, inner.name)))}
    for name in _TEXTS:
        changes[name] = getattr(inner, name) or getattr(root, name)
    for name in (*_MAPS, "source_labels"):
        changes[name] = {**getattr(root, name), **getattr(inner, name)}
    for name in ("port", "source_namespace", "stat_prefix"):
        changes[name] = getattr(inner, name) or getattr(root, name)
    changes["gateways"] = root.gateways or inner.gateways
    return msgspec.structs.replace(inner, **changes)


def _conflict(root: HTTPMatchRequest, inner: HTTPMatchRequest) -> bool:
    if root.ignore_uri_case != inner.ignore_uri_case and root.uri is not None and inner.uri is not None:
        return True
    if any(_differ(getattr(root, name), getattr(inner, name)) for name in ("port", "source_namespace")):
        return True
    if any(_differ(value, inner.source_labels.get(name)) for name, value in root.source_labels.items()):
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
    return False
