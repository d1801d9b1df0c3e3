"""What a request path names: a resource of a group version, or something else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plait.machine.api.auth.permissions import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Subresources of namespaces; any other third step is a collection inside the namespace.
_OF_NAMESPACE = frozenset({"status", "finalize"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePath:
    """A path below `/api/v1` or `/apis/GROUP/VERSION`. `rest` is what follows a proxy subresource."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    def action(self, method: str, *, watch: bool) -> Action:
        """What the request wants to do, for authorization."""
        if method in {"GET", "HEAD"}:
            verb = "get" if self.name else "watch" if watch else "list"
        elif method == "DELETE":
            verb = "delete" if self.name else "deletecollection"
        else:
            verb = _VERBS.get(method, method.lower())
        return Action(
            verb=verb,
            group=self.group,
            resource=self.plural,
            subresource=self.subresource,
            namespace=self.namespace,
            name=self.name,
        )


def parse_path(path: str) -> ResourcePath | None:
    """The resource a path names; None for paths that name none (discovery, health, OpenAPI)."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, steps = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, steps = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if steps[0] == "namespaces" and len(steps) > 2 and steps[2] not in _OF_NAMESPACE:
        namespace, steps = steps[1], steps[2:]
    return ResourcePath(
        group=group,
        version=version,
        plural=steps[0],
        namespace=namespace,
        name=steps[1] if len(steps) > 1 else "",
        subresource=steps[2] if len(steps) > 2 else "",
        rest="/".join(steps[3:]),
    )


def has_true(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter, malformed values counting as false: for deciding before anything may be refused."""
    return query.get(name, "") in {"1", "t", "T", "TRUE", "true", "True"}
