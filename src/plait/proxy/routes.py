"""Routes as people ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from plait.proxy.origins import made_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SHOWN_DOMAINS = 2


class RouteRow(NamedTuple):
    """One line of `proxy-config route`."""

    name: str
    host: str
    domains: str
    match: str
    virtual_service: str


def route_rows(configurations: Iterable[Mapping[str, Any]]) -> list[RouteRow]:
    """One row per route, in the order in which Envoy tries them; configurations by number, then by name."""
    rows = []
    for configuration in sorted(configurations, key=_order):
        name = str(configuration.get("name") or "")
        for host in configuration.get("virtual_hosts") or ():
            head = (name, str(host.get("name") or ""), domains(host.get("domains") or ()))
            for route in host.get("routes") or ():
                makers = (made_by(each, kind) for kind in ("VirtualService", "Ingress") for each in (route, host))
                maker = next(filter(None, makers), "")
                rows.append(RouteRow(*head, match(route.get("match") or {}), maker or _status(route)))
            if not host.get("routes"):
                # A host without routes answers 404 to everything.
                rows.append(RouteRow(*head, "/*", "404"))
    return rows


def domains(names: Iterable[str]) -> str:
    """The first ones, and how many more; a name with a port says nothing that the one without does not."""
    listed = [name for name in names if not name.rpartition(":")[0] or name.rpartition(":")[0].count(":")]
    listed = listed or list(names)
    shown = ", ".join(listed[:_SHOWN_DOMAINS])
    return shown + (f" + {len(listed) - _SHOWN_DOMAINS} more..." if len(listed) > _SHOWN_DOMAINS else "")


def match(rule: Mapping[str, Any]) -> str:
    """The path of a route match, and what else it asks for in short."""
    if "path" in rule:
        shown = str(rule["path"])
    elif "safe_regex" in rule:
        shown = f"regex {(rule['safe_regex'] or {}).get('regex', '')}"
    elif "path_separated_prefix" in rule:
        shown = f"PathPrefix:{rule['path_separated_prefix']}"
    elif "connect_matcher" in rule:
        shown = "CONNECT"
    else:
        shown = f"{rule.get('prefix', '')}*"
    more = [f"{header.get('name', '')}" for header in rule.get("headers") or ()]
    more += [f"?{query.get('name', '')}" for query in rule.get("query_parameters") or ()]
    return f"{shown} ({', '.join(more)})" if more else shown


def _status(route: Mapping[str, Any]) -> str:
    answer = route.get("direct_response")
    return str(answer.get("status", "")) if answer else ""


def _order(configuration: Mapping[str, Any]) -> tuple[int, int, str]:
    name = str(configuration.get("name") or "")
    return (0, int(name), "") if name.isdigit() else (1, 0, name)
