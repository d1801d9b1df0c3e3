"""What a Deployment needs done next, from it and its ReplicaSets as they are. Pure.

One pass does one kind of thing; what it did changes the cache, which queues the next pass. So each plan is made from
a world in which nothing is half done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from plait.machine.controllers.conditions import find_condition
from plait.machine.controllers.deployment_status import (
    NEW_CREATED,
    PAUSED,
    RESUMED,
    TIMED_OUT,
    counted_status,
    is_complete,
    progressing,
    rollout_status,
)
from plait.machine.controllers.objects import format_time, is_deleting
from plait.machine.controllers.rolling import (
    Budget,
    Size,
    next_new_size,
    next_old_sizes,
    proportional_sizes,
    rolling_budget,
)
from plait.machine.controllers.templates import (
    DESIRED,
    MOST,
    number_annotation,
    replicaset_for,
    revised_annotations,
    revision_of,
    same_template,
    wanted_count,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

Object = dict[str, Any]

_DEFAULT_HISTORY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Create this ReplicaSet, then write the Deployment's `status`."""

    replicaset: Object
    status: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjust:
    """Merge `change` into a ReplicaSet; `resized` is (from, to) if that scales it."""

    replicaset: Object
    change: Object
    resized: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Delete a ReplicaSet of the history."""

    replicaset: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """Write the revision into the Deployment's annotation."""

    revision: int


Action = Make | Adjust | Drop | Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Actions in order; without any, the `status` to be, and the seconds after which time may change it."""

    actions: tuple[Action, ...] = ()
    status: Object = field(default_factory=dict)
    again: float | None = None


def find_new(deployment: Object, sets: Sequence[Object]) -> Object | None:
    """The ReplicaSet of the present template; should there be several, the oldest."""
    template = deployment["spec"]["template"]
    matching = [each for each in sets if same_template(each["spec"]["template"], template)]
    return min(matching, key=_age, default=None)


def budget_of(deployment: Object) -> Budget:
    """What the strategy allows."""
    replicas = wanted_count(deployment)
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Budget(replicas=replicas, surge=0, unavailable=0)
    rolling = strategy.get("rollingUpdate") or {}
    return rolling_budget(replicas, rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%"))


def plan_deployment(deployment: Object, sets: Sequence[Object], *, old_pods: bool, now: datetime) -> Plan:
    """The next step. `sets` are all ReplicaSets it controls; `old_pods` says whether pods of old ones still exist."""
    world = _World(deployment, tuple(sets), now)
    if is_deleting(deployment):
        status = counted_status(deployment, world.new, world.sets, budget=world.budget, now=format_time(now))
        return Plan(status=status)
    if (paused := world.pausing()) is not None:
        return Plan(status=paused)
    if actions := world.bookkeeping():
        return Plan(actions=actions)
    if world.is_paused or world.was_scaled():
        actions = world.scale()
        if world.is_paused and not actions:
            actions = world.forget_history()
    elif (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
        actions = world.recreate(old_pods=old_pods)
    else:
        actions = world.roll()
    if not actions and not world.is_paused and is_complete(deployment, deployment.get("status") or {}):
        actions = world.forget_history()
    if actions:
        return Plan(actions=actions)
    status, again = rollout_status(deployment, world.new, world.sets, budget=world.budget, now=now)
    return Plan(status=status, again=again)


class _World:
    """One Deployment and its ReplicaSets, with the questions a plan asks."""

    def __init__(self, deployment: Object, sets: tuple[Object, ...], now: datetime) -> None:
        self.deployment = deployment
        self.sets = tuple(sorted(sets, key=_age))
        self.now = now
        self.budget = budget_of(deployment)
        self.new = find_new(deployment, self.sets)
        self.olds = tuple(each for each in self.sets if each is not self.new)
        self.replicas = wanted_count(deployment)
        self.is_paused = bool(deployment["spec"].get("paused"))

    def pausing(self) -> Object | None:
        """The status that says that a rollout was paused or goes on, if it does not say so yet."""
        known = find_condition((self.deployment.get("status") or {}).get("conditions"), "Progressing")
        says_paused = known is not None and known.get("reason") == PAUSED
        if known is not None and known.get("reason") == TIMED_OUT:
            return None
        status = None
        if self.is_paused and not says_paused:
            status = progressing(
                self.deployment, "Unknown", reason=PAUSED, message="Deployment is paused", now=self.now
            )
        elif not self.is_paused and says_paused:
            status = progressing(
                self.deployment, "Unknown", reason=RESUMED, message="Deployment is resumed", now=self.now
            )
        return status if status and status != self.deployment.get("status") else None

    def bookkeeping(self) -> tuple[Action, ...]:
        """Revision, carried annotations and minReadySeconds of the newest ReplicaSet, revision of the Deployment."""
        if self.new is None:
            return ()
        revision = self.next_revision()
        change: Object = {}
        if annotations := revised_annotations(self.deployment, self.new, revision):
            change["metadata"] = {"annotations": dict(annotations)}
        min_ready = int(self.deployment["spec"].get("minReadySeconds") or 0)
        if int(self.new["spec"].get("minReadySeconds") or 0) != min_ready:
            change["spec"] = {"minReadySeconds": min_ready}
        actions: list[Action] = [Adjust(replicaset=self.new, change=change)] if change else []
        revision = max(revision, revision_of(self.new))
        if revision_of(self.deployment) != revision:
            actions.append(Number(revision=revision))
        return tuple(actions)

    def next_revision(self) -> int:
        """One more than any old ReplicaSet has."""
        return max((revision_of(each) for each in self.olds), default=0) + 1

    def was_scaled(self) -> bool:
        """Whether `replicas` changed since the ReplicaSets were last sized."""
        for each in self.sets:
            desired = number_annotation(each, DESIRED)
            if wanted_count(each) > 0 and desired is not None and desired != self.replicas:
                return True
        return False

    def scale(self) -> tuple[Action, ...]:
        """Bring the sizes in line with `replicas` without moving the rollout on."""
        active = [each for each in self.sets if wanted_count(each) > 0]
        if len(active) <= 1:
            only = active[0] if active else (self.new or (self.sets[-1] if self.sets else None))
            return self._resize({only["metadata"]["name"]: self.replicas}) if only is not None else ()
        if self.new is not None and self._is_saturated(self.new):
            return self._resize({each["metadata"]["name"]: 0 for each in self.olds})
        if not self.was_scaled():
            return ()
        if (self.deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            return self._resize({each["metadata"]["name"]: wanted_count(each) for each in active})
        return self._resize(proportional_sizes(self.budget, [self._size(each) for each in active]))

    def roll(self) -> tuple[Action, ...]:
        """One step of a rolling update: grow the new, else shrink the old."""
        total = sum(wanted_count(each) for each in self.sets)
        wanted = wanted_count(self.new) if self.new is not None else 0
        size = next_new_size(self.budget, wanted=wanted, total=total)
        if self.new is None:
            return (self._make(size),)
        if grown := self._resize({self.new["metadata"]["name"]: size}):
            return grown
        olds = [self._size(each) for each in self.olds if wanted_count(each) > 0]
        return self._resize(next_old_sizes(self.budget, self._size(self.new), olds))

    def recreate(self, *, old_pods: bool) -> tuple[Action, ...]:
        """First all old pods go, then the new ones come."""
        if actions := self._resize({each["metadata"]["name"]: 0 for each in self.olds}):
            return actions
        if old_pods:
            return ()
        if self.new is None:
            return (self._make(self.replicas),)
        return self._resize({self.new["metadata"]["name"]: self.replicas})

    def forget_history(self) -> tuple[Action, ...]:
        """Drop the oldest empty ReplicaSets beyond revisionHistoryLimit."""
        limit = self.deployment["spec"].get("revisionHistoryLimit")
        limit = _DEFAULT_HISTORY if limit is None else int(limit)
        kept = [each for each in self.olds if not is_deleting(each)]
        surplus = sorted(kept, key=lambda each: (revision_of(each), _age(each)))[: max(0, len(kept) - limit)]
        return tuple(Drop(replicaset=each) for each in surplus if _is_empty(each))

    def _make(self, replicas: int) -> Make:
        made = replicaset_for(self.deployment, replicas=replicas, most=self.budget.most, revision=self.next_revision())
        message = f'Created new replica set "{made["metadata"]["name"]}"'
        status = progressing(self.deployment, "True", reason=NEW_CREATED, message=message, now=self.now)
        return Make(replicaset=made, status=status)

    def _resize(self, sizes: Mapping[str, int]) -> tuple[Adjust, ...]:
        """Changes of those whose size, or the note of what it was made for, differs."""
        changes = []
        for each in self.sets:
            size = sizes.get(each["metadata"]["name"])
            if size is None:
                continue
            before = wanted_count(each)
            note = {DESIRED: str(self.replicas), MOST: str(self.budget.most)}
            noted = number_annotation(each, DESIRED) == self.replicas and (
                number_annotation(each, MOST) == self.budget.most
            )
            if size == before and (noted or size == 0):
                continue
            change: Object = {"metadata": {"annotations": note}, "spec": {"replicas": size}}
            changes.append(Adjust(replicaset=each, change=change, resized=(before, size) if size != before else None))
        return tuple(changes)

    def _is_saturated(self, new: Object) -> bool:
        return (
            wanted_count(new) == self.replicas
            and number_annotation(new, DESIRED) == self.replicas
            and int((new.get("status") or {}).get("availableReplicas") or 0) == self.replicas
        )

    def _size(self, each: Object) -> Size:
        status = self.deployment.get("status") or {}
        return Size(
            name=each["metadata"]["name"],
            wanted=wanted_count(each),
            available=int((each.get("status") or {}).get("availableReplicas") or 0),
            age=_age(each),
            most=number_annotation(each, MOST) or int(status.get("replicas") or 0),
        )


def _age(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("creationTimestamp") or "", obj["metadata"]["name"]


def _is_empty(each: Object) -> bool:
    status = each.get("status") or {}
    return (
        wanted_count(each) == 0
        and not status.get("replicas")
        and each["metadata"].get("generation", 0) <= status.get("observedGeneration", 0)
    )
