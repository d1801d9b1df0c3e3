"""Webhooks of the injector and the validator: overlaps, services that are not there, addresses of elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from itertools import product
from typing import Any, Final
from urllib.parse import urlsplit

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import labels, mapping, mappings, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import MUTATING_WEBHOOK, SERVICE, VALIDATING_WEBHOOK, Kind
from plait.analyze.messages import EXTERNAL_ADDRESS, EXTERNAL_CONTROL_PLANE, INVALID_WEBHOOK
from plait.analyze.pods import INJECT, INJECTION, REVISION
from plait.analyze.selectors import label_selector_holds
from plait.analyze.world import Item, World
from plait.api.names import is_hostname

_Hook = tuple[Item, int, dict[str, Any]]


def _check(world: World, item: Item) -> Iterator[Finding]:
    hooks = world.derived("injecting-webhooks", (MUTATING_WEBHOOK,), lambda: _injecting(world))
    mine = [hook for hook in hooks if hook[0] is item]
    if not mine:
        return
    yield from (
        finding
        for about, finding in world.derived("overlaps", (MUTATING_WEBHOOK,), lambda: _overlaps(hooks))
        if about is item
    )
    for _, index, hook in mine:
        service = mapping(hook, "clientConfig", "service")
        if not service:
            # It is called by an address of its own.
            continue
        namespace, name = text(service, "namespace"), text(service, "name")
        if world.get(SERVICE, namespace, name) is None:
            detail = f"it asks Service {namespace}/{name}, which is not there"
            yield found(INVALID_WEBHOOK, item, f"webhooks[{index}].clientConfig.service", detail=detail)


def _injecting(world: World) -> tuple[_Hook, ...]:
    """The webhooks of every injector."""
    result: list[_Hook] = []
    for item in world.all(MUTATING_WEBHOOK):
        hooks = list(mappings(item.obj, "webhooks"))
        istios = any(text(hook, "name").endswith("istio.io") for _, hook in hooks)
        if istios or _revisions(item):
            result += [(item, index, hook) for index, hook in hooks]
    return tuple(result)


def _revisions(item: Item) -> frozenset[str]:
    """Every revision that an injector speaks of."""
    result = {item.labels[REVISION]} if REVISION in item.labels else set()
    for _, hook in mappings(item.obj, "webhooks"):
        for field in ("namespaceSelector", "objectSelector"):
            selector = mapping(hook, field)
            wanted = labels(selector, "matchLabels")
            if REVISION in wanted:
                result.add(wanted[REVISION])
            for _, expression in mappings(selector, "matchExpressions"):
                if text(expression, "key") == REVISION:
                    result.update(texts(expression, "values"))
    return frozenset(result)


def _overlaps(hooks: tuple[_Hook, ...]) -> tuple[tuple[Item, Finding], ...]:
    """Istio: for every combination of labels that users give, at most one webhook may take a pod."""
    revisions = sorted({revision for item in {hook[0] for hook in hooks} for revision in _revisions(item)})
    result: dict[tuple[Item, str], Finding] = {}
    namespaces = _combinations(INJECTION, ("enabled", "disabled"), revisions)
    objects = _combinations(INJECT, ("true", "false"), revisions)
    for namespace, pod in product(namespaces, objects):
        taking = [hook for hook in hooks if _takes(hook[2], namespace, pod)]
        names = {f"{item.name}/{text(hook, 'name')}" for item, _, hook in taking}
        if len(names) < 2:
            continue
        for item, index, hook in taking:
            others = ", ".join(sorted(names - {f"{item.name}/{text(hook, 'name')}"}))
            where = ", ".join(f"{key}={value}" for key, value in {**namespace, **pod}.items()) or "no label"
            detail = f"webhook {text(hook, 'name')} and {others} take the same pods ({where}): they are injected twice"
            result.setdefault((item, others), found(INVALID_WEBHOOK, item, f"webhooks[{index}]", detail=detail))
    return tuple((item, finding) for (item, _), finding in result.items())


def _combinations(label: str, values: tuple[str, ...], revisions: list[str]) -> list[dict[str, str]]:
    plain: list[dict[str, str]] = [{}, *({label: value} for value in values)]
    return plain + [{**base, REVISION: revision} for revision in revisions for base in plain]


def _takes(hook: Mapping[str, Any], namespace: Mapping[str, str], pod: Mapping[str, str]) -> bool:
    return label_selector_holds(hook.get("namespaceSelector"), namespace) and label_selector_holds(
        hook.get("objectSelector"), pod
    )


#: How the names of Istio's webhooks begin; a revision and a namespace may follow.
_OWN: Final[dict[Kind, tuple[str, ...]]] = {
    VALIDATING_WEBHOOK: ("istio-validator", "istiod-default-validator"),
    MUTATING_WEBHOOK: ("istio-sidecar-injector",),
}


def _check_external(_world: World, item: Item) -> Iterator[Finding]:
    if not item.name.startswith(_OWN[item.kind]):
        return
    for index, hook in mappings(item.obj, "webhooks"):
        config, name = mapping(hook, "clientConfig"), text(hook, "name")
        path = f"webhooks[{index}].clientConfig"
        address = config.get("url")
        if address is None:
            if not config.get("service"):
                yield found(EXTERNAL_CONTROL_PLANE, item, path, address="", webhook=name, detail="is missing")
            continue
        fault, is_address = _judge(str(address))
        if fault:
            yield found(
                EXTERNAL_CONTROL_PLANE, item, f"{path}.url", value=address, address=address, webhook=name, detail=fault
            )
        elif is_address:
            yield found(EXTERNAL_ADDRESS, item, f"{path}.url", value=address, address=address, webhook=name)


def _judge(address: str) -> tuple[str, bool]:
    """(what is wrong with an address, whether it is one of numbers). No name is looked up: that only names a network
    could never know are found wrong.
    """
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return "is no URL", False
    try:
        ip_address(host)
    except ValueError:
        pass  # a name, to be judged as one
    else:
        return "", True
    if not host:
        return "names no host", False
    if host == "localhost":
        return "", False
    if not is_hostname(host) or "." not in host.removesuffix(".") or host.endswith(".invalid"):
        return f"names host {host!r}, which no DNS knows", False
    return "", False


ANALYZERS: Final = (
    Analyzer(name="webhook.Analyzer", messages=(INVALID_WEBHOOK,), subjects=(MUTATING_WEBHOOK,), check=_check),
    Analyzer(
        name="externalcontrolplane.ExternalControlPlaneAnalyzer",
        messages=(EXTERNAL_CONTROL_PLANE, EXTERNAL_ADDRESS),
        subjects=(VALIDATING_WEBHOOK, MUTATING_WEBHOOK),
        check=_check_external,
    ),
)
