"""The objects an analysis is about, of all kinds, as JSON, with the indexes that analyzers ask for.

An index is built when it is first asked for and kept up to date afterwards. So the analysis of a whole mesh looks at
each object a few times, and the check of one object at the door costs what that object touches, not what the mesh has.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from plait.analyze import kinds
from plait.analyze.fields import labels, mapping, text
from plait.analyze.kinds import Kind
from plait.api.decode import Decoded, decode, knows, problems_of
from plait.api.meta import ObjectKey
from plait.api.salvage import salvageable, salvaged
from plait.api.yaml import read_yaml
from plait.mesh.destination_rules import rules_finder
from plait.snapshot.reader import Reader
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance

T = TypeVar("T")


@dataclass(eq=False)
class Item:
    """One object; equal only to itself. `cluster` is empty unless several clusters are looked at.

    `decoded` is what is known of it already as the mesh reads it; None: it is read when somebody asks.
    """

    __slots__ = ("_decoded", "_kept", "cluster", "key", "kind", "labels", "obj", "spec")

    def __init__(self, obj: dict[str, Any], *, cluster: str = "", decoded: Decoded | None = None) -> None:
        self.obj = obj
        self.cluster = cluster
        self.kind = kinds.kind_of(text(obj, "apiVersion"), text(obj, "kind"))
        self.key = ObjectKey(self.kind[1], text(obj, "metadata", "namespace"), text(obj, "metadata", "name"))
        self.labels = labels(obj, "metadata", "labels")
        self.spec = mapping(obj, "spec")
        self._decoded = decoded
        self._kept: dict[Hashable, Any] = {}

    @property
    def namespace(self) -> str:
        """Empty for a cluster-scoped object."""
        return self.key.namespace

    @property
    def name(self) -> str:
        """Its name within the namespace."""
        return self.key.name

    @property
    def full_name(self) -> str:
        """NAMESPACE/NAME, or the name alone."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def annotations(self) -> dict[str, str]:
        """Its annotations."""
        return labels(self.obj, "metadata", "annotations")

    @property
    def age(self) -> tuple[str, str, str]:
        """Sort key: the oldest first; what has no time yet comes last, then by name."""
        return text(self.obj, "metadata", "creationTimestamp") or "~", self.name, self.namespace

    @property
    def decoded(self) -> Decoded:
        """As the mesh reads it, with what is wrong in the object itself; of a kind that it does not read that alone."""
        if self._decoded is None:
            self._decoded = decode(self.obj) if knows(*self.kind) else Decoded(None, None, problems_of(self.obj))
        return self._decoded

    def kept(self, name: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives about this object alone, computed once."""
        if name not in self._kept:
            self._kept[name] = make()
        found: T = self._kept[name]
        return found


@dataclass(frozen=True, eq=False)
class Index:
    """How objects of some kinds are found: by each of the values that `keys` gives for an object and the domain."""

    kinds: tuple[Kind, ...]
    keys: Callable[[Item, str], Iterable[Hashable]]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What holds for the whole analysis and is no object: given settings win over those found in ConfigMaps.

    `now` is when certificates are judged; None: their time is not looked at. `allocates` says that the control plane
    gives addresses to ServiceEntries that have none, as plait does, and `ipv4_only` that pods have no IPv6.
    """

    domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    mesh_config: dict[str, Any] | None = None
    mesh_networks: dict[str, Any] | None = None
    now: datetime | None = None
    allocates: bool = False
    ipv4_only: bool = False


#: What holds in a mesh of plait.
PLAIT: Final = Surroundings(allocates=True, ipv4_only=True)
#: The ConfigMap that holds the mesh's settings, in the root namespace.
_SETTINGS = "istio"


class World:
    """The objects and their indexes. Not to be changed while an analyzer runs."""

    def __init__(self, items: Iterable[Item] = (), surroundings: Surroundings | None = None) -> None:
        self.surroundings = surroundings or Surroundings()
        self._items: dict[Kind, dict[tuple[ObjectKey, str], Item]] = {}
        self._indexes: dict[Index, dict[Hashable, dict[Item, None]]] = {}
        self._derived: dict[Hashable, tuple[tuple[Kind, ...], Any]] = {}
        self._pending: dict[ObjectKey, Item | None] = {}
        #: Of which the mesh's view has no version that can be used, but what is salvaged of one that cannot.
        self._salvaged: set[ObjectKey] = set()
        #: What is tried, and the view with it, of which nothing may stay: what is in use may depend on the past.
        self._tried: dict[ObjectKey, Item | None] | None = None
        self._trial: Snapshot | None = None
        #: Settings of the mesh as they were read, with the ConfigMap they were read from.
        self._settings: dict[str, tuple[Item | None, dict[str, Any]]] = {}
        self._snapshot = Snapshot(self.surroundings.domain)
        for item in items:
            self.put(item)

    # contents

    def put(self, item: Item) -> None:
        """Add an object, or replace the one of the same name."""
        place = (item.key, item.cluster)
        objects = self._items.setdefault(item.kind, {})
        old = objects.get(place)
        objects[place] = item
        self._changed(item.kind, old, item)
        self._to_read(item.kind, item.key, item)

    def remove(self, kind: Kind, key: ObjectKey, cluster: str = "") -> None:
        """Forget an object; one that is not there is no fault."""
        old = self._items.get(kind, {}).pop((key, cluster), None)
        if old is not None:
            self._changed(kind, old, None)
            self._to_read(kind, key, None)

    def _to_read(self, kind: Kind, key: ObjectKey, item: Item | None) -> None:
        """The mesh's view of it is to be brought up to date; of a kind that only shares its name it has none."""
        if not knows(*kind):
            return
        if self._tried is None:
            if key in self._pending and item is not None and item.decoded.key and item.decoded.value is None:
                # What was there a moment ago decides what is in use of this one.
                self._catch_up()
            self._pending[key] = item
        else:
            self._tried[key] = item
            self._trial = None

    def _changed(self, kind: Kind, old: Item | None, new: Item | None) -> None:
        self._derived = {name: entry for name, entry in self._derived.items() if kind not in entry[0]}
        for index, table in self._indexes.items():
            if kind not in index.kinds:
                continue
            if old is not None:
                for value in index.keys(old, self.domain):
                    found = table.get(value, {})
                    found.pop(old, None)
                    if not found:
                        table.pop(value, None)
                    self._moved(index, value)
            if new is not None:
                for value in index.keys(new, self.domain):
                    table.setdefault(value, {})[new] = None
                    self._moved(index, value)

    def _moved(self, index: Index, value: Hashable) -> None:
        """What an index has under `value` is other than before; for who keeps results."""

    @contextmanager
    def trying(self, item: Item) -> Iterator[None]:
        """The world as it would be with `item`; afterwards it is as before. Not within another."""
        before = self._items.get(item.kind, {}).get((item.key, item.cluster))
        self._tried = {}
        self.put(item)
        try:
            yield
        finally:
            if before is None:
                self.remove(item.kind, item.key, item.cluster)
            else:
                self.put(before)
            self._tried = self._trial = None

    def all(self, *wanted: Kind) -> Iterator[Item]:
        """Every object of these kinds, in the order in which they came."""
        for kind in wanted:
            yield from self._items.get(kind, {}).values()

    def has(self, kind: Kind) -> bool:
        """Whether there is any object of a kind."""
        return bool(self._items.get(kind))

    def everything(self) -> Iterator[Item]:
        """Every object."""
        for objects in self._items.values():
            yield from objects.values()

    def get(self, kind: Kind, namespace: str, name: str, cluster: str = "") -> Item | None:
        """One object."""
        return self._items.get(kind, {}).get((ObjectKey(kind[1], namespace, name), cluster))

    def find(self, index: Index, value: Hashable) -> tuple[Item, ...]:
        """The objects that an index has under `value`."""
        return tuple(self._table(index).get(value, ()))

    def each(self, index: Index, value: Hashable) -> Iterator[Item]:
        """The same one by one, for those who stop at the first that will do."""
        yield from self._table(index).get(value, ())

    def values(self, index: Index) -> Iterator[Hashable]:
        """The values under which an index has objects."""
        return iter(tuple(self._table(index)))

    def _table(self, index: Index) -> dict[Hashable, dict[Item, None]]:
        table = self._indexes.get(index)
        if table is None:
            table = {}
            for kind in index.kinds:
                for item in self._items.get(kind, {}).values():
                    for value in index.keys(item, self.domain):
                        table.setdefault(value, {})[item] = None
            self._indexes[index] = table
        return table

    def derived(self, name: Hashable, wanted: tuple[Kind, ...], make: Callable[[], T]) -> T:
        """What `make` gives, computed once for as long as no object of these kinds changes."""
        if name not in self._derived:
            self._derived[name] = wanted, make()
        found: T = self._derived[name][1]
        return found

    def named(self, key: ObjectKey, cluster: str = "", group: str | None = None) -> Item | None:
        """The object of a key; without a `group`, whichever group its kind is of."""
        for kind, objects in self._items.items():
            if kind[1] == key.kind and group in {None, kind[0]} and (item := objects.get((key, cluster))) is not None:
                return item
        return None

    # the mesh's view of it

    @property
    def domain(self) -> str:
        """The domain of Services."""
        return self.surroundings.domain

    @property
    def root_namespace(self) -> str:
        """Whose rules hold for the whole mesh."""
        return text(self.mesh_config, "rootNamespace") or self.surroundings.root_namespace

    @property
    def mesh_config(self) -> dict[str, Any]:
        """The mesh's settings, in Istio's words; empty where none are given."""
        if self.surroundings.mesh_config is not None:
            return self.surroundings.mesh_config
        return self._setting("mesh")

    def _setting(self, name: str) -> dict[str, Any]:
        item = self.get(kinds.CONFIG_MAP, self.surroundings.root_namespace, _SETTINGS)
        if item is None:
            return {}
        known, value = self._settings.get(name, (None, {}))
        if known is not item:
            documents = read_yaml(text(item.obj, "data", name)).documents
            value = mapping(documents[0].value) if documents else {}
            self._settings[name] = item, value
        return value

    def mesh_networks(self) -> tuple[ObjectKey, dict[str, Any]]:
        """The networks of the mesh, and the object that says so."""
        given = self.surroundings.mesh_networks
        if given is not None:
            return ObjectKey(kinds.MESH_NETWORKS[1], self.surroundings.root_namespace, "meshnetworks"), given
        key = ObjectKey("ConfigMap", self.surroundings.root_namespace, _SETTINGS)
        return key, self._setting("meshNetworks")

    @property
    def reader(self) -> Reader:
        """The same objects as the mesh reads them; of one that it could not use the version before stays, and of some
        that have none what is salvaged.
        """
        self._catch_up()
        snapshot = self._snapshot
        if self._tried is not None:
            if self._trial is None:
                self._trial, _ = advance(snapshot, self._typed_changes(self._tried, set(self._salvaged)))
            snapshot = self._trial
        return Reader(snapshot.get, self.domain)

    def _catch_up(self) -> None:
        if self._pending:
            self._snapshot, _ = advance(self._snapshot, self._typed_changes(self._pending, self._salvaged))
            self._pending = {}

    def _typed_changes(self, pending: dict[ObjectKey, Item | None], without: set[ObjectKey]) -> Iterator[ObjectChange]:
        """`without`: those in use of which there is no version that can be used."""
        for key, item in pending.items():
            if item is None:
                without.discard(key)
                yield ObjectChange(key, None)
                continue
            read, value, _ = item.decoded
            if read is None:
                continue
            if value is not None:
                without.discard(read)
                yield ObjectChange(read, value)
            elif salvageable(read) and (read in without or self._snapshot.object(read) is None):
                without.add(read)
                yield ObjectChange(read, salvaged(read, item.obj, self.root_namespace))

    def rules_of(self, namespace: str) -> Callable[[str, str], tuple[ObjectKey, ...]]:
        """Finds the DestinationRules for (host, namespace of its Service) as callers in `namespace` see them."""
        return self.derived(
            ("rules-of", namespace),
            (kinds.DESTINATION_RULE, kinds.CONFIG_MAP),
            lambda: rules_finder(self.reader, namespace, self.root_namespace),
        )
