"""Labels, and how policies and rules name the workloads they are for."""

from __future__ import annotations

import re
from typing import Final

from plait.api.selection import LabelSelector, TargetReference
from plait.api.validate.findings import Findings

_LABEL: Final = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?"
_KEY: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*/)?[a-zA-Z0-9](?:[-_.a-zA-Z0-9]*[a-zA-Z0-9])?")
_VALUE: Final = re.compile(r"(?:[a-zA-Z0-9](?:[-_.a-zA-Z0-9]*[a-zA-Z0-9])?)?")
_MAX: Final = 63


def is_label_name(name: str) -> bool:
    """Names of labels and annotations, with a domain before them or without."""
    prefix, slash, last = name.rpartition("/")
    return len(last) <= _MAX and not (slash and len(prefix) > 253) and bool(_KEY.fullmatch(name))


def validate_labels(path: str, labels: dict[str, str], findings: Findings) -> None:
    """Names and values as Kubernetes has them."""
    for name, value in labels.items():
        if not name:
            findings.error(path, "a label without a name", fix="a name such as app")
        elif not is_label_name(name):
            findings.error(f"{path}[{name}]", f"{name!r} is not the name of a label", fix="letters, digits, - _ .")
        if len(value) > _MAX or not _VALUE.fullmatch(value):
            findings.error(
                f"{path}[{name}]", f"{value!r} is not the value of a label", fix="letters, digits, - _ .", value=value
            )


def validate_selector(path: str, labels: dict[str, str] | None, findings: Findings) -> None:
    """Istio: a selector compares labels for equality, so that neither names nor values have wildcards.

    `path` is that of the labels.
    """
    if labels is None:
        return
    if not labels:
        findings.warn(
            path.rpartition(".")[0],
            "has no labels, so every workload of the namespace is meant",
            fix="labels, or no selector",
        )
    for name, value in labels.items():
        if not name:
            findings.error(path, "a label without a name", fix="a name such as app")
        for text in (name, value):
            if "*" in text:
                findings.error(f"{path}[{name}]", f"{text!r} has a wildcard", fix="the whole text", value=text)


def validate_targets(
    selector: LabelSelector | None,
    target: TargetReference | None,
    targets: tuple[TargetReference, ...],
    findings: Findings,
    *,
    named: bool = False,
) -> None:
    """Istio: selector, targetRef and targetRefs exclude each other; references stay in their namespace.

    `named` says that this may be said: of an EnvoyFilter's references Istio asks nothing.
    """
    validate_selector("spec.selector.matchLabels", selector.match_labels if selector is not None else None, findings)
    several = [
        name
        for name, given in (("selector", selector), ("targetRef", target), ("targetRefs", targets))
        if given is not None and given != ()
    ]
    if len(several) > 1:
        findings.error("spec", f"{' and '.join(several)} exclude each other", fix="only targetRefs, or only selector")
    for path, each in (("spec.targetRef", target), *((f"spec.targetRefs[{n}]", t) for n, t in enumerate(targets))):
        if each is None:
            continue
        if not each.name:
            findings.error(f"{path}.name", "a name is missing", fix="the name of the Gateway or Service")
        if each.namespace and not (named and each.namespace == findings.key.namespace):
            findings.error(
                f"{path}.namespace", "only an object of this namespace can be referred to", fix="remove it",
                value=each.namespace,
            )  # fmt: skip
        if (each.group, each.kind) not in _TARGETS:
            tell = findings.warn if named else findings.error
            tell(
                f"{path}.kind",
                f"{'/'.join(part for part in (each.group, each.kind) if part)!r} cannot be a target",
                fix="Gateway or GatewayClass of gateway.networking.k8s.io, Service, or ServiceEntry",
                value=each.kind,
            )


_TARGETS: Final = frozenset(
    {
        ("gateway.networking.k8s.io", "Gateway"),
        ("gateway.networking.k8s.io", "GatewayClass"),
        ("gateway.networking.k8s.io", "ListenerSet"),
        ("gateway.networking.x-k8s.io", "XListenerSet"),
        ("networking.istio.io", "ServiceEntry"),
        ("", "Service"),
        ("core", "Service"),
    }
)
