"""Whether a pod gets a sidecar: Istio's rules, most specific first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plait.inject import annotations as names
from plait.inject.config import SYSTEM_NAMESPACES, InjectConfig

_YES = frozenset({"y", "yes", "true", "on"})


@dataclass(frozen=True, slots=True)
class Decision:
    """`inject` and, where the labels ask for what cannot be done, a warning that says why and what to write."""

    inject: bool
    warning: str | None = None


def decide(
    pod: Mapping[str, Any], *, namespace: Mapping[str, Any], carries_sidecar: bool, config: InjectConfig
) -> Decision:
    """Weigh the pod's own wish, a sidecar it already carries, and its namespace's labels.

    `carries_sidecar` says that the manifest came with a sidecar written into it: that counts as asking for one. A
    namespace labelled `istio-injection: disabled` cannot be overruled by a pod's label, as with Istio's webhooks.
    """
    metadata = pod.get("metadata") or {}
    labels = metadata.get("labels") or {}
    home = (namespace.get("metadata") or {}).get("name") or metadata.get("namespace") or "default"
    wish = labels.get(names.INJECT) or names.of(pod).get(names.INJECT)
    wanted = None if wish is None else wish.lower() in _YES

    if (pod.get("spec") or {}).get("hostNetwork"):
        if wanted or carries_sidecar:
            return Decision(False, "a pod on the host's network gets no sidecar; remove spec.hostNetwork to have one")
        return Decision(False)
    if home in SYSTEM_NAMESPACES:
        return Decision(False)
    if home == config.root_namespace:
        # The control plane's own pods must start without one; gateways there ask by label.
        return Decision(bool(wanted))
    if wanted is False:
        return Decision(False)
    if carries_sidecar:
        return Decision(True)
    return _by_labels(labels, namespace, wanted=bool(wanted), config=config)


def _by_labels(
    labels: Mapping[str, str], namespace: Mapping[str, Any], *, wanted: bool, config: InjectConfig
) -> Decision:
    namespace_labels = (namespace.get("metadata") or {}).get("labels") or {}
    switch = namespace_labels.get("istio-injection")
    if switch == "enabled":
        return Decision(True)
    if switch == "disabled":
        warning = (
            f"label {names.INJECT}: the namespace says istio-injection=disabled, so there is no sidecar; "
            "change the namespace's label"
        )
        return Decision(False, warning if wanted else None)
    revision = namespace_labels.get(names.REVISION) or labels.get(names.REVISION)
    if revision is None:
        return Decision(wanted)
    if revision == config.revision:
        return Decision(True)
    return Decision(
        False,
        f"label {names.REVISION}={revision}: no control plane has this revision, so there is no sidecar; "
        f"write {names.REVISION}={config.revision} or istio-injection=enabled",
    )
