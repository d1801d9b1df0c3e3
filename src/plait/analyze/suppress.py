"""Findings that somebody has asked not to see: by an annotation of the object, or on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from plait.analyze.finding import Finding
from plait.analyze.messages import MESSAGES
from plait.analyze.world import World

#: A comma-separated list of codes, or `*`.
ANNOTATION: Final = "galley.istio.io/analyze-suppress"


@dataclass(frozen=True, slots=True)
class Suppression:
    """`CODE=Kind namespace/name` or `CODE=Kind name.namespace`; in the resource `*` stands for any text, and the code
    may be `*`.
    """

    code: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Suppression:
        """Read what a user wrote; raises ValueError that says what to write instead."""
        code, equals, resource = text.partition("=")
        if not equals or not code or not resource.strip():
            raise ValueError(f'{text!r} is no suppression; write for example "IST0102=Namespace default"')
        return cls(code, resource.strip())

    @property
    def fault(self) -> str:
        """Why it hides nothing: a message that is not there may have been dropped, and is no reason to stop."""
        known = self.code == "*" or self.code in MESSAGES
        return "" if known else f"there is no message {self.code!r}; see: plait analyze --list"

    def hides(self, finding: Finding) -> bool:
        """Whether it is about this finding."""
        if self.code not in {"*", finding.code}:
            return False
        key = finding.object
        # As Istio's tool has them: without the default namespace, and NAME.NAMESPACE.
        names = {finding.resource, finding.resource.replace(" default/", " ", 1)}
        if key.namespace:
            names.add(f"{key.kind} {key.name}.{key.namespace}")
        return any(fnmatchcase(name, self.resource) for name in names)


@dataclass(frozen=True, slots=True)
class Suppressions:
    """All of the command line; those of annotations come from the objects themselves."""

    given: tuple[Suppression, ...] = ()

    def hides(self, world: World, finding: Finding) -> bool:
        """Whether a finding is not to be shown."""
        if any(one.hides(finding) for one in self.given):
            return True
        item = world.named(finding.object, finding.cluster, finding.group)
        listed = item.annotations.get(ANNOTATION, "") if item is not None else ""
        codes = {code.strip() for code in listed.split(",")}
        return bool({"*", finding.code} & codes)
