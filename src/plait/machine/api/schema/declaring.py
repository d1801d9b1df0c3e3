"""How built-in kinds are declared: names of their types, and the columns every kind has."""

from __future__ import annotations

from plait.machine.api.schema.kinds import Column, GroupVersion, ServedKind, Subresource

NAME = Column(name="Name", format="name", description="Name of the object, unique in its namespace")
AGE = Column(name="Age", description="Time since the object was created")
CREATE = ("create",)
READ_WRITE = ("get", "patch", "update")

OPENAPI = "io.k8s.api"
META = "io.k8s.apimachinery.pkg.apis.meta.v1"


def wide(name: str, description: str) -> Column:
    """A column that shows with `-o wide`."""
    return Column(name=name, priority=1, description=description)


def column(name: str, description: str, kind: str = "string") -> Column:
    """A column that always shows."""
    return Column(name=name, type=kind, description=description)


#: Of whatever makes pods.
WORKLOAD_WIDE = (
    wide("Containers", "Names of the containers of the pod template"),
    wide("Images", "Images of the containers of the pod template"),
    wide("Selector", "Labels by which pods are found"),
)


def _package(group: str) -> str:
    """The part of a type's name that stands for the group: `core`, `apps`, `discovery`."""
    return group.split(".", 1)[0] or "core"


def built_in(
    group: str, version: str, kind: str, plural: str, *, subs: tuple[Subresource, ...] = (), **more: object
) -> ServedKind:
    """A built-in kind; `status` adds that subresource, `more` are fields of ServedKind."""
    served: tuple[str, ...] = more.pop("served_versions", (version,))  # type: ignore[assignment]
    aliases: tuple[GroupVersion, ...] = more.get("aliases", ())  # type: ignore[assignment]
    pairs = [GroupVersion(group=group, version=item) for item in served] + list(aliases)
    status = Subresource(name="status", group=group, version=version, kind=kind, verbs=READ_WRITE)
    if more.pop("status", False):
        subs = (status, *subs)
    return ServedKind(
        group=group,
        version=version,
        served_versions=served,
        kind=kind,
        plural=plural,
        singular=kind.lower() if plural else "",
        subresources=subs,
        definitions={str(pair): f"{OPENAPI}.{_package(pair.group)}.{pair.version}.{kind}" for pair in pairs},
        **more,  # type: ignore[arg-type]
    )


def scale() -> Subresource:
    """The scale subresource."""
    return Subresource(name="scale", group="autoscaling", version="v1", kind="Scale", verbs=READ_WRITE)
