"""Forms of Istio 1.0 that the mesh still takes as they are, written as one would today; the meaning stays.

Fields that today's types do not have any more are `former`'s part: those are rewritten at the door already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from plait.api.former import Note
from plait.api.names import gateway_place

Json = dict[str, Any]

_WHY: Final = "is the form of Istio 1.0"


def renewed(obj: Json) -> tuple[Json, tuple[Note, ...]]:
    """An object of networking.istio.io in today's words, and what that changed; the very object if nothing."""
    version, kind, spec = str(obj.get("apiVersion") or ""), obj.get("kind"), obj.get("spec")
    if not version.startswith("networking.istio.io/") or not isinstance(spec, dict):
        return obj, ()
    notes: list[Note] = []
    if kind == "VirtualService":
        made = _each(_bound(spec, "spec", notes), "http", "spec", lambda rule, path: _rule(rule, path, notes))
        for protocol in ("http", "tls", "tcp"):
            made = _each(made, protocol, "spec", lambda rule, path: _matches(rule, path, notes))
    elif kind == "DestinationRule":
        made = _inside(spec, "trafficPolicy", "spec", lambda policy, path: _policy(policy, path, notes))
        made = _each(
            made,
            "subsets",
            "spec",
            lambda subset, at: _inside(subset, "trafficPolicy", at, lambda policy, path: _policy(policy, path, notes)),
        )
    else:
        return obj, ()
    return ({**obj, "spec": made} if notes else obj), tuple(notes)


def _matches(rule: Json, path: str, notes: list[Note]) -> Json:
    return _each(rule, "match", path, lambda match, at: _bound(match, at, notes))


def _bound(part: Json, path: str, notes: list[Note]) -> Json:
    """`gateways` by NAMESPACE/NAME, where they have the form of a host."""
    names = part.get("gateways")
    if not isinstance(names, list):
        return part
    made = [_place(name) if isinstance(name, str) else name for name in names]
    changed = [(index, new) for index, (old, new) in enumerate(zip(names, made, strict=True)) if old != new]
    notes.extend(Note(f"{path}.gateways[{index}]", _WHY, new) for index, new in changed)
    return {**part, "gateways": made} if changed else part


def _place(name: str) -> str:
    return "/".join(gateway_place(name, "")) if "." in name and "/" not in name else name


def _rule(rule: Json, path: str, notes: list[Note]) -> Json:
    for name in ("mirrorPercent", "mirror_percent"):
        rule = _moved(rule, path, name, "mirrorPercentage", make=_percentage, notes=notes)
    rule = _inside(
        rule,
        "corsPolicy",
        path,
        lambda cors, at: _moved(cors, at, "allowOrigin", "allowOrigins", make=_exactly, notes=notes),
    )
    return _inside(rule, "fault", path, lambda fault, at: _fault(fault, at, notes))


def _fault(fault: Json, path: str, notes: list[Note]) -> Json:
    for name in ("delay", "abort"):
        fault = _inside(
            fault, name, path, lambda part, at: _moved(part, at, "percent", "percentage", make=_percentage, notes=notes)
        )
    return fault


def _policy(policy: Json, path: str, notes: list[Note]) -> Json:
    def one(part: Json, at: str) -> Json:
        part = _inside(
            part,
            "outlierDetection",
            at,
            lambda outlier, where: _moved(
                outlier, where, "consecutiveErrors", "consecutive5xxErrors", make=_as_it_is, notes=notes
            ),
        )
        return _inside(part, "loadBalancer", at, lambda balancer, where: _balancer(balancer, where, notes))

    return _each(one(policy, path), "portLevelSettings", path, one)


def _balancer(balancer: Json, path: str, notes: list[Note]) -> Json:
    if balancer.get("simple") != "LEAST_CONN":
        return balancer
    notes.append(Note(f"{path}.simple", "LEAST_CONN was renamed", "LEAST_REQUEST"))
    return {**balancer, "simple": "LEAST_REQUEST"}


def _percentage(old: Any) -> Any:
    return {"value": old}


def _exactly(old: Any) -> Any:
    return [{"exact": text} for text in old] if isinstance(old, list) else old


def _as_it_is(old: Any) -> Any:
    return old


def _moved(part: Json, path: str, old: str, new: str, *, make: Callable[[Any], Any], notes: list[Note]) -> Json:
    """`old` under its new name; beside the new field it has no effect, and goes."""
    if part.get(old) is None:
        return part
    beside = part.get(new) is not None
    notes.append(Note(f"{path}.{old}", f"has no effect beside {new}" if beside else _WHY, f"{new}"))
    return {
        (new if name == old else name): (make(value) if name == old else value)
        for name, value in part.items()
        if name != old or not beside
    }


def _inside(part: Json, name: str, path: str, change: Callable[[Json, str], Json]) -> Json:
    found = part.get(name)
    return {**part, name: change(found, f"{path}.{name}")} if isinstance(found, dict) else part


def _each(part: Json, name: str, path: str, change: Callable[[Json, str], Json]) -> Json:
    found = part.get(name)
    if not isinstance(found, list):
        return part
    made = [
        change(item, f"{path}.{name}[{index}]") if isinstance(item, dict) else item for index, item in enumerate(found)
    ]
    return {**part, name: made}
