"""The incremental core as one object: changes of objects in, changes of views out. Synchronous and without I/O.

`apply` takes what happened; nothing is computed for views nobody has. `take` brings every live view up to date and
tells what is different from the last `take`. The cost of one change is what depends on it, not the size of the mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from plait.api.decode import decode, decoded_kinds
from plait.api.destinationrule import DestinationRule
from plait.api.envoyfilter import EnvoyFilter
from plait.api.meta import ObjectKey
from plait.api.problem import Problem
from plait.api.salvage import salvageable, salvaged
from plait.kit.memo import Key, Memo
from plait.mesh.config import MeshConfig
from plait.mesh.credentials import Credential, secret_names
from plait.mesh.halves import Halves
from plait.mesh.inbound import InboundPort
from plait.mesh.keyless import Keyless
from plait.mesh.node import ProxyNode
from plait.snapshot.keys import SERVICE_ENTRY, HostPort
from plait.snapshot.reader import Reader
from plait.snapshot.snapshot import ObjectChange, Snapshot, advance, entries_of
from plait.snapshot.tokens import KeySource, KeysWanted, key_sources
from plait.xds.blame import common_path, patch_path, path_in
from plait.xds.carriage import Carriage, Carried
from plait.xds.changes import Change, CredentialStatus, Remove, Upsert
from plait.xds.fragments import Fragments
from plait.xds.live import LiveViews
from plait.xds.moves import Moves
from plait.xds.patch.fragments import OUT_OF_SERVICE, out_of_service
from plait.xds.patch.problems import patch_problems
from plait.xds.patch.withdrawals import Withdrawals
from plait.xds.resource import Resource, ViewUpdate
from plait.xds.tls import WantedCredential
from plait.xds.tokens import KEYS, keys_key
from plait.xds.views import PLACING, ViewKey, views_of

__all__ = ["Change", "CredentialStatus", "Engine", "Remove", "Upsert"]

_POD_FACTS: Final = "pod-facts"
_GROUPS: Final = frozenset(decoded_kinds())


class Engine:
    """The mesh's configuration, kept up to date for the views of attached proxies."""

    def __init__(self, mesh: MeshConfig | None = None) -> None:
        self.mesh = mesh or MeshConfig()
        self._tell: Callable[[frozenset[Key]], None] = lambda _: None
        self.snapshot = Snapshot(self.mesh.domain, root_namespace=self.mesh.root_namespace)
        self._memo = Memo(Fragments(self.mesh).compute, self._read)
        self._live = LiveViews(self._memo)
        self._withdrawals = Withdrawals()
        self._halves = Halves(self.mesh.domain)
        self._keyless = Keyless()
        self._keys: dict[KeySource, str] = {}
        self._carriage = Carriage()
        self._moves = Moves()
        self._carried: tuple[Carried, ...] = ()
        self._problems: dict[ObjectKey, tuple[Problem, ...]] = {}
        self._salvaged: set[ObjectKey] = set()
        self._nodes: dict[ProxyNode, int] = {}
        self._views: dict[ProxyNode, tuple[ViewKey, ...]] = {}
        self._moved: dict[ProxyNode, None] = {}

    def _read(self, key: Key) -> Any:
        if key[0] == OUT_OF_SERVICE and isinstance(key[1], ObjectKey):
            return self._withdrawals.reason(key[1])
        if key[0] == KEYS and isinstance(key[1], KeySource):
            return self._keys.get(key[1])
        return self.snapshot.get(key)

    def entry(self, key: Key) -> Any:
        """What the snapshot of the moment has under `key`."""
        return self.snapshot.get(key)

    def listen(self, changed: Callable[[frozenset[Key]], None]) -> None:
        """Who is to hear which entries of the snapshot have changed, as soon as they have; it must cost little."""
        self._tell = changed

    # --- in ------------------------------------------------------------------------------------------------------

    def apply(self, changes: Iterable[Change], *, patient: bool = False) -> None:
        """Take over changes, in order. An object that cannot be used becomes a Problem; its last good version stays.
        Of a policy of access or of mutual TLS without one what keeps others out is used (`salvaged`).

        With `patient` a change that would leave a route without its subset waits for the other half (`Halves`).
        """
        objects: list[ObjectChange] = []
        for change in changes:
            if isinstance(change, Remove):
                if (change.group, change.kind) in _GROUPS:
                    key = ObjectKey(change.kind, change.namespace, change.name)
                    self._problems.pop(key, None)
                    self._salvaged.discard(key)
                    self._carriage.gone(key)
                    objects.append(ObjectChange(key, None))
                continue
            decoded = decode(change.obj)
            if decoded.key is None:
                continue
            self._problems.pop(decoded.key, None)
            self._carriage.note(change.obj, decoded.key)
            found = decoded.problems
            if isinstance(decoded.value, EnvoyFilter):
                found += patch_problems(decoded.key, decoded.value)
            if found:
                self._problems[decoded.key] = found
            if decoded.value is not None:
                self._salvaged.discard(decoded.key)
                objects.append(ObjectChange(decoded.key, decoded.value))
            elif salvageable(decoded.key) and not self._has_used(decoded.key, objects):
                self._salvaged.add(decoded.key)
                kept = salvaged(decoded.key, change.obj, self.mesh.root_namespace)
                objects.append(ObjectChange(decoded.key, kept))
        self._advance(self._keyless.admit(self._halves.admit(objects, patient=patient), patient=patient))

    def _has_used(self, key: ObjectKey, objects: list[ObjectChange]) -> bool:
        """Whether there is a version that could be used, of an object that now cannot."""
        if key in self._salvaged:
            return False
        # What is in the snapshot may have been changed or deleted just before.
        before = next((each.value for each in reversed(objects) if each.key == key), self.snapshot.object(key))
        return before is not None

    @property
    def held(self) -> frozenset[ObjectKey]:
        """Objects whose newest state waits for another object or for keys, which should come soon."""
        return self._halves.held | self._keyless.held

    def release(self, keys: Iterable[ObjectKey]) -> None:
        """Wait no longer: these objects are as they are."""
        keys = tuple(keys)
        self._advance([*self._halves.release(keys), *self._keyless.release(keys)])

    @property
    def keys_wanted(self) -> tuple[KeysWanted, ...]:
        """The keys that are to be fetched for objects as they are now, those that wait for them included."""
        known: tuple[KeysWanted, ...] = self.snapshot.get(key_sources()) or ()
        return tuple(dict.fromkeys((*known, *self._keyless.wanted)))

    def keys_came(self, source: KeySource, keys: str | None) -> None:
        """The keys of a source, as JSON; None: they were looked for in vain. What came once stays until others come."""
        if keys is not None and keys != self._keys.get(source):
            self._keys[source] = keys
            entry = keys_key(source)
            self._memo.invalidate((entry,))
            for wanted in self.keys_wanted:
                if wanted.source == source:
                    self._carriage.again(wanted.key, entry)
        self._advance(self._keyless.looked(source))

    def keys_forgotten(self, source: KeySource) -> None:
        """Nobody wants the keys of a source any more."""
        self._keyless.forget(source)
        if self._keys.pop(source, None) is not None:
            self._memo.invalidate((keys_key(source),))

    def _advance(self, objects: list[ObjectChange]) -> None:
        before = self.snapshot
        causes: dict[ObjectKey, set[Key]] = {}
        self.snapshot, changed = advance(self.snapshot, objects, causes)
        self._tell(changed)
        back = self._back_in_service(before, objects)
        for entry in back:
            if isinstance(entry[1], ObjectKey):
                causes.setdefault(entry[1], set()).add(entry)
        changed |= back
        self._carriage.caused(causes)
        if changed:
            self._memo.invalidate(changed)
        if any(key[0] in PLACING for key in changed) or any(change.key.kind == "Node" for change in objects):
            self._place_again(self._nodes)
        elif any(key[0] == _POD_FACTS for key in changed):
            self._place_again([node for node in self._nodes if (_POD_FACTS, node.namespace, node.pod) in changed])

    def _back_in_service(self, before: Snapshot, objects: list[ObjectChange]) -> frozenset[Key]:
        back: set[Key] = set()
        for key in {change.key for change in objects if change.key.kind == "EnvoyFilter"}:
            old, new = before.object(key), self.snapshot.object(key)
            same = isinstance(old, EnvoyFilter) and isinstance(new, EnvoyFilter) and old.spec == new.spec
            if not same and self._withdrawals.changed(key):
                back.add(out_of_service(key))
        return frozenset(back)

    def refused(self, type_url: str, resources: Iterable[tuple[str, str]], reason: str) -> str:
        """A proxy refused resources (name and version). The EnvoyFilter that is taken out of service, if one made them.

        The next `take` tells what these resources are without it. What has changed meanwhile is not looked at.
        """
        suspects: dict[ObjectKey, None] = {}
        for name, version in resources:
            for fragment in self._live.makers(type_url, name):
                now: Resource | None = self._memo.get(fragment)
                if now is not None and (not version or now.version == version):
                    suspects.update(dict.fromkeys(self._patched_by(fragment)))
        chosen = self._withdrawals.withdraw(suspects, reason)
        if chosen is None:
            return ""
        self._memo.invalidate((out_of_service(chosen),))
        return str(chosen)

    def _patched_by(self, fragment: Key) -> tuple[ObjectKey, ...]:
        """The EnvoyFilters that changed a resource."""
        if fragment[0] == "patch-added":
            *_, name = fragment
            held: Any = fragment[1]
            patches = ((item.rule, self._memo.get(("ready-patches", item.rule))) for item in held)
            return tuple(rule for rule, ready in patches if any(patch.adds(name) for _, patch in ready))
        if fragment[0] != "patched":
            return ()
        found: tuple[ObjectKey, ...] = self._memo.get(("patched-by", *fragment[1:]))
        return found

    def attach(self, node: ProxyNode) -> tuple[str, ...]:
        """A proxy came; the names of its views. Every `attach` wants its `detach`."""
        self._nodes[node] = self._nodes.get(node, 0) + 1
        if node not in self._views:
            self._views[node] = ()
            self._place(node)
        return tuple(view.name for view in self._views[node])

    def detach(self, node: ProxyNode) -> None:
        """A proxy went. Views that nobody has any more are forgotten."""
        count = self._nodes.get(node, 0)
        if count > 1:
            self._nodes[node] = count - 1
        elif count == 1:
            del self._nodes[node]
            self._moved.pop(node, None)
            for view in self._views.pop(node):
                self._live.release(view)
            self._memo.sweep()

    def _place(self, node: ProxyNode) -> bool:
        """Give `node` the views it belongs to; True when they are others than before."""
        before = self._views[node]
        views = views_of(Reader(self.snapshot.get, self.mesh.domain), node, self.mesh.root_namespace)
        if views == before:
            return False
        self._moves.note(before, views, self._live.picture)
        self._views[node] = views
        for view in views:
            self._live.use(view)
        for view in before:
            self._live.release(view)
        return True

    def _place_again(self, nodes: Iterable[ProxyNode]) -> None:
        for node in nodes:
            if self._place(node):
                self._moved[node] = None

    # --- out -----------------------------------------------------------------------------------------------------

    def moved(self) -> tuple[tuple[ProxyNode, tuple[str, ...]], ...]:
        """Attached proxies whose views are others since the last call (a rule began to look at their labels).

        Call it before `take` or `taking`, whose updates are of the new views.
        """
        nodes, self._moved = self._moved, {}
        return tuple((node, tuple(view.name for view in self._views[node])) for node in nodes)

    def take(self) -> tuple[ViewUpdate, ...]:
        """What is different in live views since the last call, in the order of delivery for each view.

        The first update of a view is complete: one for each type, even an empty one.
        """
        return tuple(self.taking())

    def taking(self) -> Iterator[ViewUpdate]:
        """The same as it becomes known, view by view. To be used up before anything else is asked of the engine."""
        touched = self._memo.take_touched()
        updates = []
        for update in self._live.updates(touched):
            updates.append(update)
            yield update
        moves = self._moves.take(self._live.picture)
        self._carried += self._carriage.take(self._memo, updates, self._live.holding, held=self.held, moves=moves)
        self._memo.sweep()

    def carried(self) -> tuple[Carried, ...]:
        """The objects that changed before the last `take`, with the views it told of because of them; told once."""
        carried, self._carried = self._carried, ()
        return carried

    def concerned(self, key: ObjectKey) -> frozenset[str]:
        """The live views that an object has a part in, as of the last `take`; an EnvoyFilter: that it changes."""
        if key.kind == "EnvoyFilter":
            return self._live.having(self._patcher(key))
        found = self._memo.standing_on(entries_of(self.snapshot, key))
        return frozenset(view for fragment in found for view in self._live.holding(fragment))

    def _patcher(self, key: ObjectKey) -> Callable[[Key], bool]:
        return lambda fragment: key in self._patched_by(fragment)

    # --- questions -----------------------------------------------------------------------------------------------

    def views(self) -> tuple[str, ...]:
        """The names of the live views."""
        return self._live.names()

    def resources(self, view: str, type_url: str) -> tuple[Resource, ...]:
        """What a live view has as of the last `take`, sorted by name; empty for an unknown view."""
        return self._live.told(view, type_url)

    def credentials(self) -> tuple[CredentialStatus, ...]:
        """The credentials that attached proxies ask for, as of the last `take`."""
        found: list[CredentialStatus] = []
        for view in self._live.asking():
            namespace = view.namespace
            kind = "gateway-credentials" if view.side == "gw" else "sidecar-credentials"
            wanted: tuple[WantedCredential, ...] = self._memo.get((kind, view))
            for item in wanted:
                credential: Credential = self._memo.get(("credential", namespace, item.name))
                secrets = tuple((namespace, name) for name in secret_names(item.name, namespace))
                found.append(
                    CredentialStatus(
                        object=item.origin.object,
                        path=item.origin.path,
                        secrets=secrets,
                        problem=credential.problem,
                        unusable=credential.secret,
                    )
                )
        return tuple(dict.fromkeys(found))

    def problems_of(self, key: ObjectKey) -> tuple[Problem, ...]:
        """What is wrong with one object as it was written."""
        return self._problems.get(key, ())

    def problems(self) -> Mapping[ObjectKey, tuple[Problem, ...]]:
        """What is wrong with the objects applied so far, each in itself; `plait.analyze` says what is wrong between."""
        result = dict(self._problems)
        for rule in self._withdrawals.rules():
            problem = self._withdrawals.problem(rule)
            if problem is not None:
                result[rule] = (*result.get(rule, ()), problem)
        return result

    def origin_of(self, type_url: str, name: str, version: str = "") -> tuple[str, ...]:
        """The objects (`KIND/NAMESPACE/NAME`) that a resource of any live view was made from, users' rules first."""
        found = {key for key in self._origin_keys(type_url, name, version) if self.snapshot.object(key) is not None}
        return tuple(str(key) for key in sorted(found, key=lambda key: (key.kind in _PLATFORM_KINDS, key)))

    def path_of(self, key: ObjectKey, type_url: str, name: str, version: str = "") -> str:
        """The path in `key` that a resource of a live view comes from; empty where that is not known."""
        paths: set[str] = set()
        for fragment in self._live.makers(type_url, name, version):
            if key.kind == "EnvoyFilter":
                paths.add(patch_path(self._memo.get, fragment, key))
            elif (made := self._memo.get(fragment)) is not None:
                paths.add(path_in(made.encoded, key))
        found = common_path(paths - {""})
        if not found and isinstance(rule := self.snapshot.object(key), DestinationRule) and rule.spec.traffic_policy:
            # A cluster without a subset has nothing else of a rule.
            return "spec.trafficPolicy"
        return found

    def _origin_keys(self, type_url: str, name: str, version: str) -> Iterator[ObjectKey]:
        for fragment in self._live.makers(type_url, name, version):
            if fragment[0] == "patched":
                # Of the EnvoyFilters that might have changed it only those that did.
                yield from self._patched_by(fragment)
                *_, inner = fragment
                read = inner if isinstance(inner, tuple) else fragment
            else:
                read = fragment
            found = (key[-1] for key in self._memo.sources(read) if isinstance(key[-1], ObjectKey))
            # All EnvoyFilters have been asked whether they name a filter (`anchored`).
            yield from (key for key in found if key.kind != "EnvoyFilter")
            yield from _objects_in(read)

    @property
    def computed(self) -> Mapping[str, int]:
        """How often fragments of each kind have been computed: cost without a clock."""
        return self._memo.computed


def _objects_in(key: Key) -> Iterator[ObjectKey]:
    """The ServiceEntries and Sidecars whose ports stand in the key of a fragment, which so need not read them."""
    for part in key:
        if isinstance(part, HostPort):
            if part.kind == SERVICE_ENTRY:
                yield part.key
        elif isinstance(part, InboundPort):
            if part.bound:
                yield part.origin.object
        elif isinstance(part, tuple):
            yield from _objects_in(part)


_PLATFORM_KINDS: Final = frozenset({"Service", "EndpointSlice", "Pod", "Namespace", "Secret"})
