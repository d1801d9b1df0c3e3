"""What holds of an AuthorizationPolicy that cannot be used, where there is no version before.

Such a policy must not be as good as none: who stored it meant to keep somebody out. Istio leaves out what it cannot
build so that less is let through: a rule of an ALLOW policy, a condition of another. So it is here, by whole rules.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from plait.api.decode import decode
from plait.api.meta import Metadata, ObjectKey
from plait.api.security import AuthorizationPolicy, AuthorizationPolicySpec, Rule

_WHOM: Final = ("selector", "targetRef", "targetRefs")
_WHAT: Final = ("action", "provider")
#: What a target is found by; a `namespace` beside it is refused, and says nothing that is not so anyway.
_TARGET: Final = ("group", "kind", "name")
_EVERYBODY: Final[tuple[Any, ...]] = ({},)


def salvaged(key: ObjectKey, obj: dict[str, Any]) -> AuthorizationPolicy:
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
