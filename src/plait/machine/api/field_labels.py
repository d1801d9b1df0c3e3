"""Which fields a selector may name, by collection: those that Kubernetes' own server knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plait.machine.api.errors import bad_request
from plait.machine.api.selectors import field_paths

if TYPE_CHECKING:
    from plait.machine.api.registry import Resource

_ALL: Final = frozenset({"metadata.name", "metadata.namespace"})
_INVOLVED: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
#: Beside the name and the namespace, which all kinds have.
_MORE: Final[dict[tuple[str, str], frozenset[str]]] = {
    ("", "pods"): frozenset(
        {
            "spec.hostNetwork", "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
            "status.nominatedNodeName", "status.phase", "status.podIP", "status.podIPs",
        }
    ),
    ("", "events"): frozenset(
        {"reason", "reportingComponent", "source", "type", *(f"involvedObject.{name}" for name in _INVOLVED)}
    ),
    ("", "namespaces"): frozenset({"status.phase"}),
    ("", "nodes"): frozenset({"spec.unschedulable"}),
    ("", "secrets"): frozenset({"type"}),
    ("", "services"): frozenset({"spec.clusterIP", "spec.type"}),
    ("apps", "replicasets"): frozenset({"status.replicas"}),
    ("batch", "jobs"): frozenset({"status.successful"}),
}  # fmt: skip
#: Newer names of the same fields, in the other group of events.
_NEW_EVENTS: Final = frozenset({"reportingController", *(f"regarding.{name}" for name in _INVOLVED)})


def check_fields(selector: str, resource: Resource) -> None:
    """Raise 400 where a field selector names what cannot be selected by.

    Kinds of users are left out: their definitions may name any field as selectable.
    """
    if resource.kind.custom:
        return
    known = _ALL | _MORE.get(resource.collection, frozenset())
    if resource.collection[1] == "events":
        known |= _NEW_EVENTS
    for path in field_paths(selector):
        if path not in known:
            raise bad_request(
                f'Unable to find "{resource.api_version}, Resource={resource.kind.plural}" that match field selector '
                f'"{selector}": field label not supported: {path}; {", ".join(sorted(known))} are'
            )
