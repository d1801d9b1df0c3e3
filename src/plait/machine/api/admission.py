"""The door of the store: what plait's own rules may change in, or refuse of, an object about to be written.

The engine calls one `Admission` for every create and update, after defaults are filled in and before validation; it
is pure, so a dry run calls it too. `plait.app` wires the real one (sidecar injection, checks of Istio objects).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from plait.machine.api.registry import Collection
    from plait.machine.api.schema.fields import FieldError
    from plait.machine.api.store import Change, Entry

Json = dict[str, Any]
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who asks: name, uid, groups, and what the authenticator knows beyond that."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] | None = None


class Objects(Protocol):
    """The stored objects, to be looked at only; what changed since a version costs what changed. A `Store` is one."""

    @property
    def version(self) -> int:
        """The newest resourceVersion."""
        ...

    def floor(self, collection: Collection) -> int:
        """The oldest version from which changes of a collection are still known."""
        ...

    def entries(self, collection: Collection, namespace: str = "") -> Iterator[Entry]:
        """Every object of a collection."""
        ...

    def changes(self, collection: Collection, after: int) -> list[Change]:
        """Changes of a collection after a version."""
        ...


class Work(Protocol):
    """How pure work that an object's size makes long is done. What it is given and gives is not to be changed."""

    def __call__(self, name: str, given: object, make: Callable[[], _Made]) -> _Made:
        """What `make` gives, which depends on `given` alone; may raise PendingError, so that it is done meanwhile."""
        ...


def at_once(name: str, given: object, make: Callable[[], _Made]) -> _Made:
    """Work that is done where it comes up."""
    del name, given
    return make()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRequest:
    """One object on its way into the store, in its stored version.

    `old` is None on CREATE. `namespace_object` is the Namespace it goes to, None for cluster-wide kinds. `objects` is
    what is stored at this moment, None where there is no store. `settled`: nothing but metadata differs from `old`.
    """

    operation: Literal["CREATE", "UPDATE"]
    group: str
    version: str
    kind: str
    namespace: str
    name: str
    obj: Json
    old: Json | None
    namespace_object: Json | None
    dry_run: bool
    user: User
    objects: Objects | None = None
    settled: bool = False
    work: Work = at_once


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionResult:
    """The object to store, what to tell the user, and why not to store it, if so."""

    obj: Json
    warnings: tuple[str, ...] = ()
    errors: tuple[FieldError, ...] = ()


class PendingError(Exception):
    """Admission has to find something out before it can judge: `wait`, a bounded time, and ask it again."""

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        super().__init__("admission waits")
        self.wait = wait


class Admission(Protocol):
    """The same request always gets the same result. `obj` and `old` are not changed."""

    def admit(self, request: AdmissionRequest) -> AdmissionResult:
        """What becomes of the object. Does no I/O of its own; raises PendingError where some is needed first."""
        ...

    def beside(self, group: str, obj: Json, faults: Sequence[FieldError]) -> tuple[FieldError, ...]:
        """What else is wrong with an object that is refused for `faults` of its form, to be told along with them."""
        ...


class Convert(Protocol):
    """Turns an object of an old group version into the stored one, with warnings that say what to write today."""

    def __call__(self, obj: Json, *, stored: Json | None) -> tuple[Json, tuple[str, ...]]:
        """A new object; `obj` is not changed. `stored` is what it replaces, if it does."""
        ...
