"""Policies of access and of tokens: workloads and namespaces that are not there, and keys fetched from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.fields import labels, mapping, mappings, sequence, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import (
    AUTHORIZATION_POLICY,
    DEPLOYMENT,
    KUBERNETES_GATEWAY,
    NAMESPACE,
    REQUEST_AUTHENTICATION,
)
from plait.analyze.messages import (
    JWKS_UNRESTRICTED,
    NAMES_NOTHING,
    NO_MATCHING_WORKLOADS,
    NOBODY_TO_ASK,
    REFERENCE_NOT_FOUND,
)
from plait.analyze.pods import PODS_BY_NAMESPACE, pod_in_ambient, pod_in_mesh, pods_selected
from plait.analyze.selectors import selector_text
from plait.analyze.world import Item, World
from plait.mesh.config import MeshConfig, mesh_config
from plait.mesh.providers import Unknown, authorizer
from plait.snapshot.chosen import GATEWAY_NAME


def _check(world: World, item: Item) -> Iterator[Finding]:
    yield from _workloads(world, item)
    yield from _namespaces(world, item)


def _workloads(world: World, item: Item) -> Iterator[Finding]:
    """Istio: a policy of the root namespace holds for the whole mesh, and needs no pod unless it has a selector."""
    selective = isinstance(item.spec.get("selector"), dict)
    everywhere = item.namespace == world.root_namespace
    if everywhere and not selective:
        return
    selector = labels(item.spec, "selector", "matchLabels")
    pods = pods_selected(world, selector, None if everywhere else item.namespace)
    if not any(pod_in_mesh(world, pod) or pod_in_ambient(pod) for pod in pods):
        what = selector_text(selector) or _targets_text(item) or f"a policy for the whole of namespace {item.namespace}"
        path = "spec.selector.matchLabels" if selective else ""
        yield found(NO_MATCHING_WORKLOADS, item, path, value=selector or None, labels=what)


def _targets(item: Item) -> list[dict[str, Any]]:
    """What a policy is attached to; `targetRefs` take the place of `targetRef`."""
    several = [target for _, target in mappings(item.spec, "targetRefs")]
    single = item.spec.get("targetRef")
    return several or ([single] if isinstance(single, dict) else [])


def _targets_text(item: Item) -> str:
    return ", ".join(f"{text(target, 'kind')} {text(target, 'name')}" for target in _targets(item))


def _check_targets(world: World, item: Item) -> Iterator[Finding]:
    """A target stands for the proxies of a Gateway of the Gateway API; that of others is a waypoint, of which there are
    none here.
    """
    targets = _targets(item)
    if not targets:
        return
    names = {
        text(target, "name")
        for target in targets
        if (text(target, "group"), text(target, "kind")) == KUBERNETES_GATEWAY
    }
    pods = list(world.find(PODS_BY_NAMESPACE, item.namespace))
    if any(pod.labels.get(GATEWAY_NAME) in names for pod in pods):
        return
    if item.kind == AUTHORIZATION_POLICY and not any(pod_in_mesh(world, pod) or pod_in_ambient(pod) for pod in pods):
        # Istio has a message for that.
        return
    path = "spec.targetRefs" if sequence(item.spec, "targetRefs") else "spec.targetRef"
    where = f" in namespace {item.namespace}" if item.namespace else ""
    detail = f"no proxy{where} belongs to {_targets_text(item)}: it has no effect"
    yield found(NAMES_NOTHING, item, path, fix="selector.matchLabels, for sidecars and ingress gateways", detail=detail)


def _namespaces(world: World, item: Item) -> Iterator[Finding]:
    for rule, content in mappings(item.spec, "rules"):
        for origin, entry in mappings(content, "from"):
            source = mapping(entry, "source")
            for field in ("namespaces", "notNamespaces"):
                for index, name in enumerate(texts(source, field)):
                    if not any(_covers(name, there.name) for there in world.all(NAMESPACE)):
                        path = f"spec.rules[{rule}].from[{origin}].source.{field}[{index}]"
                        yield found(
                            REFERENCE_NOT_FOUND, item, path, value=name, detail=f"there is no namespace {name!r}"
                        )


def _covers(pattern: str, name: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return pattern.lower() == name.lower()


def _check_provider(world: World, item: Item) -> Iterator[Finding]:
    """Whether anybody can be asked by a policy with the action CUSTOM."""
    if text(item.spec, "action") != "CUSTOM":
        return
    name = text(item.spec, "provider", "name")
    base = MeshConfig(domain=world.domain, root_namespace=world.root_namespace)
    reader = world.reader
    asked = authorizer(reader, mesh_config(reader, base), name)
    if isinstance(asked, Unknown):
        detail = f"what its rules match is denied: {asked.reason}"
        fix = "a provider of extensionProviders in the settings of the mesh"
        yield found(NOBODY_TO_ASK, item, "spec.provider.name", fix=fix, value=name, detail=detail)


_BLOCKED: Final = "BLOCKED_CIDRS_IN_JWKS_URIS"
#: As many names are shown.
_SHOWN: Final = 5


def _check_fetching(world: World, item: Item) -> Iterator[Finding]:
    if item.labels.get("app") != "istiod":
        return
    names = sorted(policy.full_name for policy in world.all(REQUEST_AUTHENTICATION))
    if not names:
        return
    for _, container in mappings(item.spec, "template", "spec", "containers"):
        if any(text(entry, "name") == _BLOCKED and entry.get("value") for _, entry in mappings(container, "env")):
            return
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    yield found(
        JWKS_UNRESTRICTED,
        item,
        "spec.template.spec.containers",
        fix=f"the variable {_BLOCKED} of container discovery, with the ranges of addresses that are to be refused",
        count=len(names),
        names=shown,
    )


ANALYZERS: Final = (
    Analyzer(
        name="auth.AuthorizationPoliciesAnalyzer",
        messages=(NO_MATCHING_WORKLOADS, REFERENCE_NOT_FOUND),
        subjects=(AUTHORIZATION_POLICY,),
        check=_check,
    ),
    Analyzer(
        name="plait.Targets",
        messages=(NAMES_NOTHING,),
        subjects=(AUTHORIZATION_POLICY, REQUEST_AUTHENTICATION),
        check=_check_targets,
    ),
    Analyzer(
        name="plait.Providers", messages=(NOBODY_TO_ASK,), subjects=(AUTHORIZATION_POLICY,), check=_check_provider
    ),
    Analyzer(
        name="authn.BlockedCIDRsAnalyzer",
        messages=(JWKS_UNRESTRICTED,),
        subjects=(DEPLOYMENT,),
        check=_check_fetching,
    ),
)
