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
    """`CODE=Kind namespace/name`; in the resource `*` stands for any text, and the code may be `*`."""

    code: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Suppression:
        """Read what a user wrote; raises ValueError that says what to write instead."""
        code, equals, resource = text.partition("=")
        if not equals or not code or not resource.strip():
            raise ValueError(f'{text!r} is no suppression; write for example "IST0102=Namespace default"')
        if code != "*" and code not in MESSAGES:
            raise ValueError(f"there is no message {code!r}; see: plait analyze --list")
        return cls(code, resource.strip())

    def hides(self, finding: Finding) -> bool:
        """Whether it is about this finding."""
        if self.code not in {"*", finding.code}:
            return False
        # As in Istio's tool, where an object of the default namespace is given without it.
        names = {finding.resource, finding.resource.replace(" default/", " ", 1)}
        return any(fnmatchcase(name, self.resource) for name in names)


@dataclass(frozen=True, slots=True)
class Suppressions:
    """All of the command line; those of annotations come from the objects themselves."""

    given: tuple[Suppression, ...] = ()

    def hides(self, world: World, finding: Finding) -> bool:
        """Whether a finding is not to be shown."""
        if any(one.hides(finding) for one in self.given):
            return True
        item = world.named(finding.object, finding.cluster)
        listed = item.annotations.get(ANNOTATION, "") if item is not None else ""
        codes = {code.strip() for code in listed.split(",")}
        return bool({"*", finding.code} & codes)
