"""Manifests against everything that would be asked of them at the door, without a mesh: schema, CEL rules, meaning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import msgspec

from plait.analyze import finding as analyze
from plait.analyze.kinds import VIRTUAL_SERVICE
from plait.analyze.shadowing import unreachable_rules
from plait.analyze.world import Item
from plait.api import former, former_policies
from plait.api.problem import Level, Problem
from plait.api.yaml import Document, SyntaxProblem, read_yaml
from plait.app.former_policies import sentence
from plait.app.objects.given import Given, objects_of
from plait.app.objects.kinds import OLD_GROUPS
from plait.app.readable import meaning
from plait.inject import InjectConfig, convert_workload
from plait.machine.api.schema import TYPE_INVALID, UNKNOWN, FieldError, Schemas, load_schemas

#: Code of an object of a kind that is not served.
UNKNOWN_KIND: Final = "UnknownKind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong or doubtful. `line` and `column` count from 1; `path` and `fix` may be empty."""

    code: str
    level: Level
    object: str
    path: str
    message: str
    fix: str = ""
    value: Any = None
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def is_error(self) -> bool:
        """Whether the object would be refused."""
        return self.level is Level.ERROR

    def as_json(self) -> Mapping[str, Any]:
        """What `-o json` prints."""
        return {
            "code": self.code,
            "level": self.level.value,
            "object": self.object,
            "path": self.path,
            "value": self.value,
            "message": self.message,
            "fix": self.fix,
            "file": self.file,
            "line": self.line,
            "column": self.column,
        }

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.file else ""
        what = ": ".join(part for part in (self.object, self.path, self.message) if part)
        return f"{where}{self.level.value}: {what}" + (f"; {self.fix}" if self.fix else "") + f" [{self.code}]"


class Validator:
    """Finds what is wrong with objects one by one; what objects are to each other is `analyze`'s part."""

    def __init__(self, schemas: Schemas) -> None:
        self.schemas = schemas

    def check(self, obj: Any) -> Iterator[Finding]:
        """All findings about one object of any version and kind, whatever it is."""
        if not isinstance(obj, dict):
            yield Finding(code="NotAnObject", level=Level.ERROR, object="", path="", message="an object was expected")
            return
        title = title_of(obj)
        try:
            msgspec.json.encode(obj)
        except (UnicodeEncodeError, ValueError) as error:
            # Half a surrogate pair, which no client can send; or nesting without end.
            message = "a text in it is not Unicode" if isinstance(error, UnicodeEncodeError) else str(error)
            yield Finding(code="NotJSON", level=Level.ERROR, object=title, path="", message=message)
            return
        version, name = obj.get("apiVersion"), obj.get("kind")
        if version is None and isinstance(name, str) and (todays := self._todays(name)):
            fix = f"apiVersion: {' or '.join(todays)}"
            message = "is missing, so that kubectl refuses the object"
            yield Finding(
                code="NoVersion", level=Level.ERROR, object=title, path="apiVersion", message=message, fix=fix
            )
            if len(todays) > 1:
                return
            version = todays[0]
            obj = {**obj, "apiVersion": version}
        kind = self.schemas.kind(version, name) if isinstance(version, str) and isinstance(name, str) else None
        if kind is None:
            message = f"no kind {name!r} is served" + (f" in version {version!r}" if version is not None else "")
            yield Finding(code=UNKNOWN_KIND, level=Level.ERROR, object=title, path="kind", message=message)
            return
        if kind.namespaced:
            # As the client fills it in; what is wrong is said of the object as it was written.
            obj = {**obj, "metadata": {"namespace": "default", **_mapping(obj.get("metadata"))}}
        obj, notes = former.present(obj)
        for note in notes:
            yield Finding(
                code="OldForm", level=Level.WARNING, object=title, path=note.path, message=note.message, fix=note.fix
            )
        made, warnings = convert_workload(obj) if not kind.custom else ({**obj, "apiVersion": version}, ())
        for text in warnings:
            yield Finding(code="OldForm", level=Level.WARNING, object="", path="", message=text)
        faults = [*self.schemas.strict(kind, made)]
        if all(fault.reason == UNKNOWN for fault in faults):
            faults += self.schemas.validate(kind, self.schemas.default(kind, made))
        mistyped = {fault.path for fault in faults if fault.reason == TYPE_INVALID}
        for fault in faults:
            # Of what is not even of the right type the type is told.
            if fault.reason == TYPE_INVALID or fault.path not in mistyped:
                yield _formal(fault, title)
        meant = meaning(obj, faults)
        if kind.group == former_policies.GROUP and not faults:
            peers, meant = former_policies.peers_of(obj, root=InjectConfig().root_namespace)
            if peers is not None:
                text = sentence(title, peers).removeprefix(f"{title}: ")
                yield Finding(code="OldForm", level=Level.WARNING, object=title, path="", message=text)
        for problem in meant:
            yield _meant(problem, title)
        if all(fault.reason == UNKNOWN for fault in faults) and (kind.group, kind.kind) == VIRTUAL_SERVICE:
            yield from (_hidden(one, title) for one in unreachable_rules(Item(obj)))

    def _todays(self, kind: str) -> tuple[str, ...]:
        """What `apiVersion` a kind has today, in each group that has it."""
        return tuple(
            each.api_version for each in self.schemas.kinds if each.kind == kind and each.group not in OLD_GROUPS
        )


@lru_cache(maxsize=1)
def validator() -> Validator:
    """The validator of this process; its schemas take 100 ms to read."""
    return Validator(load_schemas())


def findings(given: Iterable[Given], checker: Validator) -> Iterator[Finding]:
    """All findings about objects from files, with their places."""
    for one in given:
        for found in checker.check(one.obj):
            line, column = one.position(found.path)
            yield replace(found, file=one.file, line=line, column=column)


def findings_of_text(checker: Validator, text: str, *, file: str) -> list[Finding]:
    """All findings about a text of YAML documents, unreadable ones among them."""
    reading = read_yaml(text, file)
    found = [_unread("YAML", problem) for problem in reading.problems]
    for document in sorted((*reading.documents, *reading.doubtful), key=lambda document: document.line):
        found += _of_document(document, checker)
    return found


def _of_document(document: Document, checker: Validator) -> Iterator[Finding]:
    given, faults = objects_of(document)
    for fault in faults:
        yield _unread("Outline", fault)
    yield from findings(given, checker)


def _unread(code: str, problem: SyntaxProblem) -> Finding:
    return Finding(
        code=code, level=Level.ERROR, object="", path="", message=problem.message,
        file=problem.file, line=problem.line, column=problem.column,
    )  # fmt: skip


def title_of(obj: Mapping[str, Any]) -> str:
    """`VirtualService sock-shop/front-end`, as far as it is said."""
    metadata = _mapping(obj.get("metadata"))
    name = "/".join(str(metadata[part]) for part in ("namespace", "name") if metadata.get(part))
    return f"{obj.get('kind') or 'object'} {name}".rstrip()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _formal(fault: FieldError, title: str) -> Finding:
    return Finding(
        code=fault.reason, level=Level.ERROR, object=title, path=fault.path, message=fault.message, value=fault.value
    )


def _hidden(found: analyze.Finding, title: str) -> Finding:
    """A rule that another of the same object hides: told at the door as well."""
    return Finding(
        code=found.code, level=Level.WARNING, object=title, path=found.path, message=found.text, fix=found.fix,
        value=found.value,
    )  # fmt: skip


def _meant(problem: Problem, title: str) -> Finding:
    return Finding(
        code=problem.code,
        level=problem.level,
        object=title,
        path=problem.path,
        message=problem.message,
        fix=problem.fix,
        value=problem.value,
    )
