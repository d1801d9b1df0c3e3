"""How far which generation of which object is, at the proxies of the roll. No clock and no I/O: time is handed in.

An object's generation goes out with one publication, a *batch*, to the views that differ because of it. A proxy
acknowledges batches in order, so one number (its *level*) says what it has; another says up to where a probe through
its data plane was answered. An object is settled when both have reached its batch at every proxy of its views.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plait.delivery.settled.roll import Proxy, Resource, Roll
from plait.delivery.settled.verdict import Blame, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from plait.api.meta import ObjectKey
    from plait.xds.carriage import Carried

#: How many proxies are named in words.
_NAMED = 3


@dataclass(slots=True)
class _Entry:
    """One object. `wants` says which batch a proxy of each view needs; None: to be found out, since the object changed
    before anybody could be told.
    """

    generation: int
    batch: int
    wants: Mapping[str, int] | None
    probe: bool = True
    done: bool = False
    refusals: dict[int, Blame] = field(default_factory=dict)
    withdrawn: Blame | None = None
    refusers: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Count:
    proxies: int
    acknowledged: int
    warming: int
    settled: int
    failed: int
    examples: tuple[str, ...]


class Ledger:
    """See the module. `away` is how many seconds a proxy that lost its stream is waited for."""

    def __init__(self, *, away: float = 3.0) -> None:
        self.roll = Roll(away=away)
        self._entries: dict[ObjectKey, _Entry] = {}
        self._pending: dict[ObjectKey, None] = {}
        self._wants: dict[tuple[int, frozenset[str]], Mapping[str, int]] = {}
        self._begun = False
        self.batch = 0

    # objects

    def published(self, batch: int, carried: Iterable[Carried], resources: frozenset[Resource] = frozenset()) -> None:
        """A publication of `resources` went out, or was found to change nothing."""
        self.batch = batch
        self._wants.clear()
        for one in carried:
            known = self._entries.get(one.object)
            if known is not None and known.generation == one.generation and not one.views:
                continue
            wants: Mapping[str, int] | None = self._all_at(batch, one.views)
            probe = not one.endpoints_only
            if not self._begun:
                wants = None
            elif known is not None and not known.done:
                # What the generation before changed has to arrive as well.
                wants = None if known.wants is None else {**known.wants, **dict.fromkeys(one.views, batch)}
                probe = probe or known.probe
            entry = self._entries[one.object] = _Entry(one.generation, batch, wants, probe)
            if known is not None:
                if known.generation == one.generation:
                    entry.withdrawn, entry.refusers = known.withdrawn, known.refusers
                for connection, blame in known.refusals.items():
                    if self._stays_refused(connection, one.object, resources):
                        entry.refusals[connection] = blame
            self._pending[one.object] = None

    def removed(self, key: ObjectKey) -> None:
        """An object is deleted."""
        self._entries.pop(key, None)
        self._pending.pop(key, None)

    def begin(self, views_of: Callable[[ObjectKey], frozenset[str]], current: Callable[[ObjectKey, int], bool]) -> None:
        """Proxies have had the time to connect: from now on objects can be settled.

        Those of which `current` says that their status is of this generation were settled by the process before.
        """
        self._begun = True
        for key in tuple(self._pending):
            entry = self._entries[key]
            if current(key, entry.generation):
                entry.done = True
                entry.wants = {}
                del self._pending[key]
            elif entry.wants is None:
                entry.wants = self._all_at(entry.batch, views_of(key))

    def _all_at(self, batch: int, views: frozenset[str]) -> Mapping[str, int]:
        """Objects of a publication that concern the same views share what they want, and are counted once."""
        return self._wants.setdefault((batch, views), dict.fromkeys(views, batch))

    @property
    def pending(self) -> tuple[ObjectKey, ...]:
        """Objects that wait for something."""
        return tuple(self._pending)

    # proxies

    def placed(self, connection: int, views: tuple[str, ...], batch: int) -> None:
        """A proxy has these views from `batch` on. What objects want of the views that it leaves they want of these:
        with them it gets what it has not got by the others.
        """
        proxy = self.roll.get(connection)
        left = set(proxy.views).difference(views) if proxy is not None else set()
        moved: dict[int, Mapping[str, int]] = {}
        for key in self._pending:
            entry = self._entries[key]
            wants = entry.wants
            if wants is None or wants.keys().isdisjoint(left):
                continue
            if id(wants) not in moved:
                came = [view for view in views if view not in wants]
                moved[id(wants)] = {**wants, **dict.fromkeys(came, batch)} if came else wants
            entry.wants = moved[id(wants)]
        self.roll.placed(connection, views, batch)

    def disconnected(self, connection: int, now: float) -> None:
        """A stream is over, and what was refused on it forgotten."""
        proxy = self.roll.disconnected(connection, now)
        for keys in tuple(proxy.refused.values()) if proxy is not None else ():
            self._take_back(connection, keys)

    def state_of(self, connection: int) -> dict[str, str | int]:
        """One proxy: the batches it acknowledged and a probe proved, and whether objects wait for it and why."""
        proxy = self.roll.get(connection)
        if proxy is None:
            return {}
        state = "SETTLED"
        if proxy.warming:
            state = "WARMING"
        elif proxy.failure:
            state = "NO ANSWER"
        elif self.due_of(connection) is not None or any(
            self._lacks(proxy, self._entries[key]) for key in self._pending
        ):
            state = "WAITING"
        return {
            "status": state,
            "batch": self.batch,
            "acknowledged": proxy.level,
            "probed": proxy.probed,
            "error": proxy.failure,
        }

    @staticmethod
    def _lacks(proxy: Proxy, entry: _Entry) -> bool:
        """Whether an object waits for more than a proxy has acknowledged."""
        return entry.wants is not None and any(entry.wants.get(view, -1) > proxy.level for view in proxy.views)

    def due(self) -> dict[int, int]:
        """Which proxies are to be probed, each for what batch: those that acknowledged what an object waits for."""
        found: dict[int, int] = {}
        for wants in self._probed_for():
            for connection, proxy, batch in self.roll.needs(wants):
                if proxy.probed < batch <= proxy.level:
                    found[connection] = proxy.level
        return found

    def due_of(self, connection: int) -> int | None:
        """For what batch one proxy is to be probed, if it is."""
        proxy = self.roll.get(connection)
        if proxy is not None:
            for wants in self._probed_for():
                batch = max((wants.get(view, -1) for view in proxy.views), default=-1)
                if proxy.probed < batch <= proxy.level:
                    return proxy.level
        return None

    def _probed_for(self) -> Iterator[Mapping[str, int]]:
        """What objects want that wait and are to be proved, each once: many may want the same."""
        seen: set[int] = set()
        for key in self._pending:
            entry = self._entries[key]
            if entry.wants is not None and entry.probe and id(entry.wants) not in seen:
                seen.add(id(entry.wants))
                yield entry.wants

    # refusals

    def refused(
        self, connection: int, resource: Resource, blames: Mapping[ObjectKey, Blame], *, withdrawn: bool
    ) -> None:
        """A proxy refused a resource. Of an object `withdrawn` for it that stays true until it changes."""
        proxy = self.roll.get(connection)
        for key, blame in blames.items():
            entry = self._entries.get(key)
            if entry is None:
                continue
            if withdrawn:
                entry.withdrawn = blame
                entry.refusers.add(connection)
            elif proxy is not None:
                entry.refusals[connection] = blame
            self._pending[key] = None
            entry.done = False
            if entry.wants is None and self._begun:
                entry.wants = {}
        if proxy is not None and not withdrawn:
            proxy.refused[resource] = tuple(blames)

    def still_refused(self, connection: int, rejected: Mapping[str, Iterable[str]]) -> None:
        """What a proxy refuses at the moment, by type; the rest it has taken back."""
        proxy = self.roll.get(connection)
        if proxy is None or not proxy.refused:
            return
        for type_url, name in tuple(proxy.refused):
            if name not in rejected.get(type_url, ()):
                self._take_back(connection, proxy.refused.pop((type_url, name)))

    def _take_back(self, connection: int, keys: Iterable[ObjectKey]) -> None:
        proxy = self.roll.get(connection)
        left = {key for keys in proxy.refused.values() for key in keys} if proxy is not None else set()
        for key in keys:
            entry = self._entries.get(key)
            if entry is not None and key not in left and entry.refusals.pop(connection, None) is not None:
                self._pending[key] = None
                entry.done = False

    def _stays_refused(self, connection: int, key: ObjectKey, resources: frozenset[Resource]) -> bool:
        """Whether a proxy refuses something of an object that is not among the `resources` on their way to it."""
        proxy = self.roll.get(connection)
        if proxy is None:
            return False
        for resource, keys in proxy.refused.items():
            if resource in resources:
                proxy.refused[resource] = tuple(other for other in keys if other != key)
        return any(key in keys for keys in proxy.refused.values())

    # verdicts

    def verdicts(self, now: float, *, held: bool = False) -> dict[ObjectKey, Verdict]:
        """How far every pending object is; settled ones are pending no more. With `held` none settles yet."""
        self.roll.give_up(now)
        counts: dict[tuple[int, bool], _Count] = {}
        found: dict[ObjectKey, Verdict] = {}
        for key in tuple(self._pending):
            entry = self._entries[key]
            place = (id(entry.wants), entry.probe)
            if place not in counts:
                counts[place] = self._count(entry)
            found[key] = verdict = self._verdict(entry, counts[place], held=held or not self._begun)
            # A refused object stays in the books until it changes or the proxies take it.
            if verdict.state in {"Settled", "Rejected"}:
                entry.done = verdict.state == "Settled"
                del self._pending[key]
        return found

    def _count(self, entry: _Entry) -> _Count:
        if entry.wants is None:
            return _Count(0, 0, 0, 0, 0, ())
        needs = [(proxy, batch) for _, proxy, batch in self.roll.needs(entry.wants)]
        away = self.roll.away(entry.wants)
        acknowledged = [(proxy, batch) for proxy, batch in needs if proxy.level >= batch]
        done = [proxy for proxy, batch in acknowledged if not entry.probe or proxy.probed >= batch]
        tried = [proxy for proxy, batch in acknowledged if entry.probe and proxy.probed < batch <= proxy.tried]
        warming = [proxy for proxy in tried if proxy.warming]
        failed = [proxy for proxy in tried if proxy.failure and not proxy.warming]
        waited = [*(f"{name} (lost its stream)" for name in away), *(p.name for p, batch in needs if p.level < batch)]
        if not waited:
            waited = [proxy.name for proxy in warming] or [f"{proxy.name} ({proxy.failure})" for proxy in failed]
        return _Count(
            len(needs) + len(away), len(acknowledged), len(warming), len(done), len(failed), tuple(waited[:_NAMED])
        )

    @staticmethod
    def _verdict(entry: _Entry, count: _Count, *, held: bool) -> Verdict:
        blame = entry.withdrawn or next(iter(entry.refusals.values()), None)
        state: State = "Progressing"
        if blame is not None:
            state = "Rejected"
        elif entry.wants is None or held:
            pass
        elif count.settled == count.proxies:
            state = "Settled"
        elif count.warming:
            state = "Warming"
        elif count.failed and count.settled + count.failed == count.proxies:
            state = "ProbeFailed"
        return Verdict(
            generation=entry.generation,
            state=state,
            proxies=max(count.proxies, len(entry.refusers)),
            acknowledged=max(0, count.acknowledged - len(entry.refusals)),
            warming=count.warming,
            rejected=len(entry.refusers) if entry.withdrawn else len(entry.refusals),
            settled=count.settled,
            examples=count.examples,
            blame=blame,
        )
