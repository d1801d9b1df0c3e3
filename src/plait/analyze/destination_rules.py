"""DestinationRules: servers nobody verifies, hosts that are not there, subsets without pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plait.analyze.analyzer import Analyzer, found
from plait.analyze.destinations import near_by
from plait.analyze.fields import labels, mapping, mappings, number, text, texts
from plait.analyze.finding import Finding
from plait.analyze.kinds import DESTINATION_RULE, SERVICE
from plait.analyze.known_hosts import find_host, known_hosts_under
from plait.analyze.messages import (
    NO_VERIFICATION,
    NO_VERIFICATION_AT_PORT,
    SUBSET_WITHOUT_PODS,
    UNKNOWN_RULE_HOST,
)
from plait.analyze.pods import ENTRIES_BY_NAMESPACE, endpoint_labels, pods_selected
from plait.analyze.selectors import selector_text, selects
from plait.analyze.world import Item, World
from plait.snapshot.hosts import complete_host, is_wildcard

_VERIFIABLE: Final = frozenset({"SIMPLE", "MUTUAL"})
_FIX: Final = (
    "caCertificates: the file with the authority's certificate, or credentialName in a rule with a workloadSelector"
)
_FIX_SKIPPED: Final = f"in its place {_FIX}"


def _check_verification(_world: World, item: Item) -> Iterator[Finding]:
    host = text(item.spec, "host")
    policy = mapping(item.spec, "trafficPolicy")
    if _unverified(item, tls := mapping(policy, "tls")):
        yield found(NO_VERIFICATION, item, "spec.trafficPolicy.tls", fix=_fix(tls), host=host, **_trusting(tls))
    for index, settings in mappings(policy, "portLevelSettings"):
        if _unverified(item, tls := mapping(settings, "tls")):
            path = f"spec.trafficPolicy.portLevelSettings[{index}].tls"
            port = number(settings, "port", "number")
            yield found(NO_VERIFICATION_AT_PORT, item, path, fix=_fix(tls), host=host, port=port, **_trusting(tls))


def _fix(tls: dict[str, Any]) -> str:
    return _FIX_SKIPPED if tls.get("insecureSkipVerify") else _FIX


def _trusting(tls: dict[str, Any]) -> dict[str, str]:
    """The mode, and whom proxies believe by such settings."""
    mode = text(tls, "mode")
    if tls.get("insecureSkipVerify"):
        effect = "has insecureSkipVerify: whoever answers is believed"
    elif text(tls, "credentialName"):
        effect = (
            "has a credentialName, which only gateways use while the rule has no workloadSelector: "
            "sidecars trust every authority of the machine" + (" and show no certificate" if mode == "MUTUAL" else "")
        )
    else:
        effect = "has no caCertificates: every authority of the machine is trusted"
    return {"mode": mode, "effect": effect}


def _unverified(item: Item, tls: dict[str, Any]) -> bool:
    """Istio: a credentialName counts only in rules with a workloadSelector, as others cannot fetch it."""
    if text(tls, "mode") not in _VERIFIABLE or text(tls, "caCertificates"):
        return False
    return not (text(tls, "credentialName") and isinstance(item.spec.get("workloadSelector"), dict))


def _check_subsets(world: World, item: Item) -> Iterator[Finding]:
    host = text(item.spec, "host")
    known = find_host(world, host, item.namespace, texts(item.spec, "exportTo"))
    full = complete_host(host, item.namespace, world.domain)
    if known is None:
        if is_wildcard(full) and any(True for _ in known_hosts_under(world, full, item.namespace)):
            return
        remark, fix = near_by(world, host, item.namespace)
        yield found(UNKNOWN_RULE_HOST, item, "spec.host", value=host, fix=fix, host=full, near=remark)
        return
    for index, subset in mappings(item.spec, "subsets"):
        wanted = {**known.selector, **labels(subset, "labels")}
        # Without labels it is the whole host under another policy, be there pods in the mesh or not.
        if wanted and not (
            _any_pod(world, wanted) or _any_entry(world, full, item.namespace, labels(subset, "labels"))
        ):
            path, shown = f"spec.subsets[{index}].labels", selector_text(wanted)
            fix = "labels that its pods carry"
            yield found(
                SUBSET_WITHOUT_PODS, item, path, value=wanted, fix=fix, subset=repr(text(subset, "name")), labels=shown
            )


def _any_pod(world: World, wanted: dict[str, str]) -> bool:
    # What a node adds to its pods' endpoints is not among the pods' own labels.
    own = {name: value for name, value in wanted.items() if not _of_nodes(name)}
    pods = pods_selected(world, own)
    return any(len(own) == len(wanted) or selects(wanted, endpoint_labels(world, pod)) for pod in pods)


def _any_entry(world: World, host: str, namespace: str, wanted: dict[str, str]) -> bool:
    """Whether an endpoint that is no pod carries the labels, as far as they are its own and not of its place."""
    own = {name: value for name, value in wanted.items() if not _of_nodes(name)}
    for known in known_hosts_under(world, host, namespace):
        listed = (labels(endpoint, "labels") for _, endpoint in mappings(known.spec, "endpoints"))
        if any(selects(own, carried) for carried in listed):
            return True
        place = ("selector",) if known.kind == SERVICE else ("workloadSelector", "labels")
        selector = labels(known.spec, *place)
        entries = world.each(ENTRIES_BY_NAMESPACE, known.namespace) if selector else ()
        if any(selects({**selector, **own}, {**labels(each.spec, "labels"), **each.labels}) for each in entries):
            return True
    return False


def _of_nodes(label: str) -> bool:
    return label.startswith("topology.") or label == "kubernetes.io/hostname"


ANALYZERS: Final = (
    Analyzer(
        name="destinationrule.CaCertificateAnalyzer",
        messages=(NO_VERIFICATION, NO_VERIFICATION_AT_PORT),
        subjects=(DESTINATION_RULE,),
        check=_check_verification,
    ),
    Analyzer(
        name="destinationrule.SubsetSelectPodAnalyzer",
        messages=(SUBSET_WITHOUT_PODS, UNKNOWN_RULE_HOST),
        subjects=(DESTINATION_RULE,),
        check=_check_subsets,
    ),
)
