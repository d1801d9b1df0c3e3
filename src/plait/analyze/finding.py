"""What an analyzer says: one message about one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plait.analyze.messages import Message
from plait.api.meta import ObjectKey
from plait.api.problem import Level, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`path` leads to the field that is at fault, `fix` says what to write instead; both may be empty.

    `also` are further paths of the same object with the same fault. `cluster` is the cluster the object is in, where
    several are looked at together. `group` is the API group of its kind, as two groups have a kind Gateway; None where
    the finding is about no object of the API.
    """

    message: Message
    object: ObjectKey
    text: str
    path: str = ""
    fix: str = ""
    value: Any = None
    also: tuple[str, ...] = ()
    cluster: str = ""
    group: str | None = None

    @property
    def code(self) -> str:
        """The message's code."""
        return self.message.code

    @property
    def level(self) -> Level:
        """The message's level."""
        return self.message.level

    @property
    def resource(self) -> str:
        """`VirtualService shop/web`, as Istio's tool names objects; a cluster-scoped one has no namespace."""
        key = self.object
        return f"{key.kind} {key.namespace}/{key.name}" if key.namespace else f"{key.kind} {key.name}"

    @property
    def problem(self) -> Problem:
        """The same as a Problem, for those who know no codes."""
        return Problem(
            object=self.object, path=self.path, message=self.text, level=self.level, fix=self.fix, value=self.value
        )

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        also = f" (also at {', '.join(self.also)})" if self.also else ""
        return f"{self.resource}: {where}{self.text}{also}" + (f"; {self.fix}" if self.fix else "")
