"""Rules that a proxy has no route of, and why: Envoy cannot tell, since it was never given them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from plait.api.meta import ObjectKey
from plait.api.names import gateway_place
from plait.api.virtualservice import HTTPMatchRequest, HTTPRoute, VirtualService
from plait.app.what_if import Mesh
from plait.mesh.node import ProxyNode

_KIND = "VirtualService"


@dataclass(frozen=True, slots=True)
class Asking:
    """A proxy, the port that is called, and the Gateways that the proxy serves, as NAMESPACE/NAME."""

    node: ProxyNode
    port: int
    gateways: frozenset[str]


def left_out(mesh: Mesh, asking: Asking, origins: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(name, origin, reason) of the http rules without a route, of the VirtualServices that `origins` are of.

    `origins` are those of a virtual host and its routes.
    """
    given = list(dict.fromkeys(origins))
    objects = dict.fromkeys(origin.partition(" ")[0] for origin in given)
    for owner in objects:
        kind, _, rest = owner.partition("/")
        namespace, _, name = rest.partition("/")
        rule = mesh.object(kind, namespace, name) if kind == _KIND else None
        if not isinstance(rule, VirtualService) or not rule.spec.hosts:
            continue
        for index, http in enumerate(rule.spec.http):
            origin = f"{owner} spec.http[{index}]"
            if origin in given or (delegate := _delegate(http, namespace)) in objects:
                continue
            yield http.name, origin, _reason(http, namespace, delegate, asking)


def _delegate(http: HTTPRoute, namespace: str) -> str:
    if http.delegate is None:
        return ""
    return str(ObjectKey(_KIND, http.delegate.namespace or namespace, http.delegate.name))


def _reason(http: HTTPRoute, namespace: str, delegate: str, asking: Asking) -> str:
    said = [_obstacle(match, namespace, asking) for match in http.match]
    reasons = list(dict.fromkeys(filter(None, said)))
    if reasons and all(said):
        return "this proxy does not have it: " + "; ".join(reasons)
    if delegate:
        return f"{delegate}, to which it delegates, gives it no rules here"
    return "an earlier rule takes every request"


def _obstacle(match: HTTPMatchRequest, namespace: str, asking: Asking) -> str:
    """The condition of a match that the control plane decides and that does not hold."""
    node = asking.node
    if match.gateways:
        named = {"/".join(gateway_place(name, namespace)) if name != "mesh" else name for name in match.gateways}
        mine = asking.gateways if node.kind == "router" else {"mesh"}
        if not named & mine:
            return f"it is for {', '.join(match.gateways)}"
    else:
        labels = dict(node.labels)
        for name, value in match.source_labels.items():
            if labels.get(name) != value:
                return f"it is for callers with {name}={value}"
        if match.source_namespace and match.source_namespace != node.namespace:
            return f"it is for callers of namespace {match.source_namespace}"
    return f"it is for port {match.port}" if match.port and match.port != asking.port else ""
