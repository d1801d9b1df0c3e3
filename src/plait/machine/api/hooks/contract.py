"""What a kind may add to the engine's one way of writing. The engine knows no kind; these hooks are its data."""
# ruff: noqa: ARG002 - every hook has all arguments of the contract

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from plait.machine.api.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address, IPv4Network

    from plait.machine.api.registry import Registry
    from plait.machine.api.schema.fields import FieldError
    from plait.machine.api.store import Entry, Store

Json = dict[str, Any]


class Create(Protocol):
    """Stores one more object on behalf of the engine, unless one of that name exists."""

    def __call__(self, group: str, plural: str, obj: Json) -> None:
        """`obj` is complete but for the fields every write fills in."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What hooks may look at and do. `clock` gives seconds since the epoch; `ca` is the API's root certificate."""

    store: Store
    registry: Registry
    clock: Callable[[], float]
    service_network: IPv4Network
    api_vip: IPv4Address
    ca: str
    create: Create


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """DeleteOptions of a request. `grace` is in seconds, None where the client leaves it to the kind."""

    grace: int | None = None
    propagation: str = "Background"
    uid: str = ""
    version: str = ""
    dry_run: bool = False


class Hook:
    """A kind without ways of its own. Subclasses override what their kind needs.

    `generation` says whether objects count changes of their spec in `metadata.generation`.
    `returns_deleted` says whether an immediate deletion is answered with the object rather than a Status.
    """

    generation = True
    returns_deleted = False

    def prepare(self, world: World, obj: Json, old: Json | None) -> tuple[FieldError, ...]:
        """Fill in what the server decides, in place: before admission, on create (`old` is None) and update."""
        return ()

    def warnings(self, world: World, obj: Json) -> Iterable[str]:
        """What a user should know about an object that is about to be stored."""
        return ()

    def admitted(self, world: World, obj: Json, old: Json | None) -> None:
        """Fill in what depends on what admission added, in place."""

    def created(self, world: World, entry: Entry) -> None:
        """What else comes into being with the object."""

    def refuse_delete(self, world: World, entry: Entry) -> str:
        """Why this object may not be deleted; empty if it may."""
        return ""

    def held(self, obj: Json) -> bool:
        """Whether something must still be done before an object being deleted may go."""
        return bool(obj["metadata"].get("finalizers"))

    def mark_deleted(self, world: World, obj: Json, options: DeleteOptions) -> bool:
        """Mark the copy `obj` as being deleted, in place. True: gone at once; False: somebody finishes it later."""
        if not self.held(obj):
            return True
        if not obj["metadata"].get("deletionTimestamp"):
            mark(world, obj, 0)
        return False


def mark(world: World, obj: Json, grace: int) -> None:
    """Set the deletion marks of an object, in place: it is to be gone `grace` seconds from now."""
    obj["metadata"]["deletionTimestamp"] = timestamp(world.clock() + grace)
    obj["metadata"]["deletionGracePeriodSeconds"] = grace
