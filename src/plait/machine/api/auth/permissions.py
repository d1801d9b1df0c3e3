"""Who may do what. Two roles and no configuration: those that run the mesh may do all, everybody else may look.

`system:masters` and the service accounts of `istio-system` are the first role. Other users and service accounts read
everything but Secrets, and may not step into pods (exec, port-forward, proxy) or ask for tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plait.machine.api.admission import User

_MASTERS = frozenset({"system:masters", "system:serviceaccounts:istio-system"})
_READ = frozenset({"get", "list", "watch"})
_INWARD = frozenset({"exec", "attach", "portforward", "proxy"})
#: Reviews about oneself: everybody who is known may ask.
_OWN_REVIEWS = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
#: Paths that tell nothing but that the server is there.
PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is to be done: a verb on a resource, or on a `path` that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def may(user: User, action: Action) -> bool:
    """Whether the user may do it."""
    if _MASTERS & set(user.groups):
        return True
    if action.path:
        return action.verb == "get"
    if action.resource in _OWN_REVIEWS:
        return action.verb == "create"
    if action.group == "" and action.resource == "secrets":
        return False
    return action.verb in _READ and action.subresource not in _INWARD


def refusal(user: User, action: Action) -> str:
    """Why not, in kubectl's words; stands after `... is forbidden: `."""
    if action.path:
        return f'User "{user.name}" cannot {action.verb} path "{action.path}"'
    resource = f"{action.resource}/{action.subresource}" if action.subresource else action.resource
    place = f' in the namespace "{action.namespace}"' if action.namespace else " at the cluster scope"
    return f'User "{user.name}" cannot {action.verb} resource "{resource}" in API group "{action.group}"{place}'


def rules(user: User) -> tuple[list[dict[str, list[str]]], list[dict[str, list[str]]]]:
    """Resource rules and non-resource rules, as SelfSubjectRulesReview lists them."""
    if _MASTERS & set(user.groups):
        return (
            [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        )
    readable = ["configmaps", "events", "namespaces", "nodes", "pods", "pods/log", "serviceaccounts", "services"]
    others = ["apps", "coordination.k8s.io", "discovery.k8s.io", "networking.istio.io", "security.istio.io"]
    others += ["telemetry.istio.io", "extensions.istio.io"]
    return (
        [
            {"verbs": sorted(_READ), "apiGroups": [""], "resources": readable},
            {"verbs": sorted(_READ), "apiGroups": others, "resources": ["*"]},
            {
                "verbs": ["create"],
                "apiGroups": ["authorization.k8s.io", "authentication.k8s.io"],
                "resources": sorted(_OWN_REVIEWS),
            },
        ],
        [{"verbs": ["get"], "nonResourceURLs": ["*"]}],
    )
