"""Which kinds the machine's API serves, as values: names, versions, verbs, subresources, table columns.

Built-in kinds are listed in `builtin.py`; Istio's come from package data made of Istio's own CRDs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: What a stored kind answers to, in the order discovery shows it.
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupVersion:
    """An API group and version; the core group is the empty string."""

    group: str
    version: str

    @classmethod
    def parse(cls, api_version: str) -> GroupVersion:
        """From the `apiVersion` of an object: `v1`, `apps/v1`."""
        group, _, version = api_version.rpartition("/")
        return cls(group=group, version=version)

    def __str__(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a Table. `path` is a JSONPath (`.spec.host`); empty where the server computes the cell.

    `priority` 0 shows always, others with `-o wide` only. `type` is `string`, `integer`, `boolean` or `date`.
    """

    name: str
    type: str = "string"
    path: str = ""
    priority: int = 0
    format: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A subresource and the kind it speaks: `scale` of a Deployment speaks autoscaling/v1 Scale.

    `part` is the path of what it alone may write, and the only thing that it writes; empty for those with other ways.
    """

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]
    part: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePaths:
    """Where a kind has what `scale` shows; `selector` is empty where the kind has no selector as a text."""

    spec: tuple[str, ...]
    status: tuple[str, ...]
    selector: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedKind:
    """A kind of the API.

    `version` is the one objects are stored in; `served_versions` are those of `group`, preferred first; `aliases` are
    further group versions under which the same objects are read and written (the old groups of Deployment).
    `acts` is False for a kind that is accepted and stored without effect yet.
    `stored` is False for kinds that only exist as a request and its answer (TokenReview).
    `scale` is set for kinds whose replicas are elsewhere than a Deployment's.
    `definitions` maps each served `apiVersion` to its type's name in the schema data.
    `other_columns` are those of versions that have not `columns`; `deprecated` says of a version what its users read.
    """

    group: str
    version: str
    served_versions: tuple[str, ...]
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    columns: tuple[Column, ...] = ()
    aliases: tuple[GroupVersion, ...] = ()
    acts: bool = True
    stored: bool = True
    custom: bool = False
    scale: ScalePaths | None = None
    definitions: dict[str, str] = field(default_factory=dict, hash=False)
    other_columns: dict[str, tuple[Column, ...]] = field(default_factory=dict, hash=False)
    deprecated: dict[str, str] = field(default_factory=dict, hash=False)

    def columns_of(self, version: str) -> tuple[Column, ...]:
        """The columns of one version."""
        return self.other_columns.get(version, self.columns)

    @property
    def api_version(self) -> str:
        """`apiVersion` of stored objects."""
        return str(GroupVersion(group=self.group, version=self.version))

    @property
    def list_kind(self) -> str:
        """Kind of a list of these."""
        return f"{self.kind}List"

    @property
    def resource(self) -> str:
        """The name error messages use: `deployments.apps`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def endpoints(self) -> tuple[GroupVersion, ...]:
        """Every group version this kind is served under, the preferred first, aliases last."""
        own = tuple(GroupVersion(group=self.group, version=version) for version in self.served_versions)
        return own + self.aliases

    @property
    def has_status(self) -> bool:
        """Whether status is written through its own subresource."""
        return any(sub.name == "status" for sub in self.subresources)

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name, if served."""
        return next((sub for sub in self.subresources if sub.name == name), None)
