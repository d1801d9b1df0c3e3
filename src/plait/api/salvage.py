"""What holds of an AuthorizationPolicy or PeerAuthentication that cannot be used, where there is no version before.

Such a policy must not be as good as none: who stored it meant to keep somebody out. Istio leaves out what it cannot
build so that less is let through: a rule of an ALLOW policy, a condition of another. So it is here, by whole rules; and
what cannot be read of a demand for mutual TLS is STRICT, of as few workloads and ports as it can have been meant for.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from plait.api.decode import decode
from plait.api.meta import Metadata, ObjectKey
from plait.api.security import (
    AuthorizationPolicy,
    AuthorizationPolicySpec,
    MTLSMode,
    MutualTLS,
    PeerAuthentication,
    PeerAuthenticationSpec,
    Rule,
)
from plait.api.selection import LabelSelector

_WHOM: Final = ("selector", "targetRef", "targetRefs")
_WHAT: Final = ("action", "provider")
#: What a target is found by; a `namespace` beside it is refused, and says nothing that is not so anyway.
_TARGET: Final = ("group", "kind", "name")
_EVERYBODY: Final[tuple[Any, ...]] = ({},)
_STRICT: Final = MutualTLS("STRICT")


def salvageable(key: ObjectKey) -> bool:
    """Whether objects of this kind have a reading that lets less through than they would."""
    return key.kind in {"AuthorizationPolicy", "PeerAuthentication"}


def salvaged(
    key: ObjectKey, obj: dict[str, Any], root_namespace: str
) -> AuthorizationPolicy | PeerAuthentication | None:
    """What holds instead of `obj`, of which something cannot be read; None: nothing is needed of it.

    `key` is of a kind that is `salvageable`.
    """
    if key.kind == "PeerAuthentication":
        return _peers(key, obj, root_namespace)
    return _policy(key, obj)


# AuthorizationPolicy


def _policy(key: ObjectKey, obj: dict[str, Any]) -> AuthorizationPolicy:
    """The policy that lets through no more than `obj` would, of which something cannot be read.

    Of an ALLOW policy the rules that can be read, perhaps none; of another action a rule that cannot be read is for
    everybody. What says neither for whom it is nor what it does denies all: of the workloads that it chooses or, where
    these cannot be read, of its namespace (of the root namespace: of the mesh).
    """
    written = obj.get("spec")
    spec: dict[str, Any] = written if isinstance(written, dict) else {}
    whom: dict[str, Any] = {name: _target(spec[name]) for name in _WHOM if name in spec}
    head: dict[str, Any] = {**whom, **{name: spec[name] for name in _WHAT if name in spec}}
    annotations = obj["metadata"].get("annotations")
    base = _read(key, head, annotations)
    if base is None:
        # Istio: where it cannot be read that a policy is only tried, it is meant.
        annotations = None
        base = _read(key, head)
    if base is None:
        found = _read(key, {**whom, "action": "DENY"})
        return found or _denying(key)
    given = spec.get("rules") or ()
    rules: list[Rule] = []
    for each in given if isinstance(given, list | tuple) else (given,):
        found = _read(key, head, annotations, (each,))
        if found is not None:
            rules += found.spec.rules or ()
        elif base.spec.action != "ALLOW":
            rules.append(Rule())
    return msgspec.structs.replace(base, spec=msgspec.structs.replace(base.spec, rules=tuple(rules)))


def _target(written: Any) -> Any:
    if isinstance(written, list):
        return [_target(each) for each in written]
    if not isinstance(written, dict) or "name" not in written:
        return written
    return {name: written[name] for name in _TARGET if name in written}


def _read(
    key: ObjectKey, head: dict[str, Any], annotations: Any = None, rules: tuple[Any, ...] = _EVERYBODY
) -> AuthorizationPolicy | None:
    """None: it cannot be used."""
    metadata = {"name": key.name, "namespace": key.namespace, "annotations": annotations or {}}
    spec = {**head, "rules": list(rules)}
    obj = {"apiVersion": "security.istio.io/v1", "kind": key.kind, "metadata": metadata, "spec": spec}
    found = decode(obj).value
    return found if isinstance(found, AuthorizationPolicy) else None


def _denying(key: ObjectKey) -> AuthorizationPolicy:
    metadata = Metadata(name=key.name, namespace=key.namespace)
    return AuthorizationPolicy(metadata=metadata, spec=AuthorizationPolicySpec(action="DENY", rules=(Rule(),)))


# PeerAuthentication


def _peers(key: ObjectKey, obj: dict[str, Any], root_namespace: str) -> PeerAuthentication | None:
    """The one that lets no plain call in which `obj` would not.

    A mode that cannot be read is STRICT, of its port or of the rest. A port that cannot be read may be any: if STRICT
    is demanded there, it is of all that have no mode of their own. Labels that can be read choose. Where a selector has
    none, STRICT is for the namespace, before what else is for all of it; an exception is then for nobody.
    """
    created = obj["metadata"].get("creationTimestamp")
    metadata = Metadata(
        name=key.name, namespace=key.namespace, creation_timestamp=created if isinstance(created, str) else ""
    )
    first = msgspec.structs.replace(metadata, creation_timestamp="")
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return PeerAuthentication(first, PeerAuthenticationSpec(mtls=_STRICT))
    mode = _mode(key, spec.get("mtls"))
    ports, stray = _ports(key, spec.get("portLevelMtls"))
    labels, whole = _labels(key, spec.get("selector"))
    if whole:
        # Ports are those of selected workloads: without any Istio looks at none.
        selector, kept = (LabelSelector(labels), ports) if labels else (None, {})
        if labels and stray:
            mode = "STRICT"
        return PeerAuthentication(
            metadata, PeerAuthenticationSpec(selector=selector, mtls=MutualTLS(mode), port_level_mtls=kept or None)
        )
    if key.namespace == root_namespace or not (stray or "STRICT" in (mode, *(each.mode for each in ports.values()))):
        # In the root namespace one with a selector is for nobody.
        return None
    if labels:
        return PeerAuthentication(metadata, PeerAuthenticationSpec(selector=LabelSelector(labels), mtls=_STRICT))
    return PeerAuthentication(first, PeerAuthenticationSpec(mtls=_STRICT))


def _mode(key: ObjectKey, written: Any) -> MTLSMode:
    found = _read_peers(key, {"mtls": written})
    if found is None:
        return "STRICT"
    return found.spec.mtls.mode if found.spec.mtls is not None else "UNSET"


def _ports(key: ObjectKey, written: Any) -> tuple[dict[str, MutualTLS], bool]:
    """The modes of ports that can be read; whether STRICT is demanded of one that cannot."""
    if written is None:
        return {}, False
    if not isinstance(written, dict):
        return {}, True
    ports: dict[str, MutualTLS] = {}
    stray = False
    for port, tls in written.items():
        mode = _mode(key, tls)
        selected = {"selector": {"matchLabels": {"a": "b"}}, "portLevelMtls": {port: {}}}
        if _read_peers(key, selected) is not None:
            ports[port] = MutualTLS(mode)
        elif mode == "STRICT":
            stray = True
    return ports, stray


def _labels(key: ObjectKey, written: Any) -> tuple[dict[str, str], bool]:
    """The labels of a selector that can be read; whether these are all."""
    if (found := _read_peers(key, {"selector": written})) is not None:
        return dict(found.spec.selector.match_labels) if found.spec.selector is not None else {}, True
    given = written.get("matchLabels") if isinstance(written, dict) else None
    labels: dict[str, str] = {}
    for name, value in (given if isinstance(given, dict) else {}).items():
        if (one := _read_peers(key, {"selector": {"matchLabels": {name: value}}})) is not None:
            labels.update(one.spec.selector.match_labels if one.spec.selector is not None else {})
    return labels, False


def _read_peers(key: ObjectKey, spec: dict[str, Any]) -> PeerAuthentication | None:
    """None: it cannot be used."""
    metadata = {"name": key.name, "namespace": key.namespace}
    found = decode({"apiVersion": "security.istio.io/v1", "kind": key.kind, "metadata": metadata, "spec": spec}).value
    return found if isinstance(found, PeerAuthentication) else None
