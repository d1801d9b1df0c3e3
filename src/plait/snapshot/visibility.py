"""Who sees an object: `exportTo` of rules and the annotation of Services, as scopes.

A scope is a namespace, or `*` for everybody. A reader in namespace N looks into the scopes `*` and N.
"""

from __future__ import annotations

from typing import Final

from plait.api.kubernetes import Service

EVERYBODY: Final = "*"
EXPORT_ANNOTATION: Final = "networking.istio.io/exportTo"


def scopes(export_to: tuple[str, ...], namespace: str) -> frozenset[str]:
    """The scopes that `exportTo` of an object of `namespace` names; nothing said means everybody, `~` nobody."""
    if not export_to or EVERYBODY in export_to:
        return frozenset({EVERYBODY})
    return frozenset(namespace if scope == "." else scope for scope in export_to if scope != "~")


def visible_in(found: tuple[str, ...], namespace: str) -> bool:
    """Whether callers in `namespace` see what is in these scopes; no namespace: whether anybody does."""
    return EVERYBODY in found or (namespace in found if namespace else bool(found))


def service_scopes(service: Service, default: tuple[str, ...] = ()) -> frozenset[str]:
    """The scopes of a Service; `default` where it says nothing."""
    text = service.metadata.annotations.get(EXPORT_ANNOTATION, "")
    listed = tuple(part.strip() for part in text.split(",") if part.strip())
    return scopes(listed or default, service.metadata.namespace)
