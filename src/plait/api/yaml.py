"""Reads manifests as kubectl does, and remembers where everything stands.

A file is split at `---` lines first, so that one broken document does not hide the others. Values are built from
PyYAML's events (libyaml when present) without recursion, so that no input can exhaust the stack; aliases count each
time they are used, so that none can exhaust memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import yaml

from plait.api.yaml_scalars import key_text, plain_scalar

Position: TypeAlias = tuple[int, int]
"""Line and column, from 1."""

_SEPARATOR: Final = re.compile(r"---\s*(?:#.*)?")
_MAX_NODES: Final = 1_000_000
_MAX_DEPTH: Final = 500
#: The left part of an IPv6 prefix such as `2001:db8::`: libyaml takes the last colon for the sign of a key.
_IPV6_KEY: Final = re.compile(r"[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{0,4})*:")
#: An IPv6 address among others in brackets: libyaml does not take its colons there, Go's YAML does.
_FLOW_IPV6: Final = re.compile(r"(?<=[\[,\s])([0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?:/\d+)?)(?=\s*[,\]])")
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAG: Final = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document that is not empty. `positions` leads from a path (`spec.http[0].match`) to where its key stands."""

    value: Any
    file: str
    line: int
    positions: Mapping[str, Position]

    def position(self, path: str) -> Position:
        """Where `path` stands, or the nearest place above it that exists."""
        while path and path not in self.positions:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.positions.get(path, (self.line, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxProblem:
    """Why a document could not be read."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds. `doubtful` documents have keys twice, each a problem too: what comes last is their value."""

    documents: tuple[Document, ...]
    problems: tuple[SyntaxProblem, ...]
    doubtful: tuple[Document, ...] = ()


def read_yaml(text: str, file: str = "-") -> Reading:
    """All documents of `text`; a document that cannot be read is a problem and the others are still read."""
    documents: list[Document] = []
    doubtful: list[Document] = []
    problems: list[SyntaxProblem] = []
    for first_line, part in _parts(text):
        try:
            builder, value = _built(first_line, part)
        except _ReadError as error:
            problems.append(SyntaxProblem(file=file, line=error.line, column=error.column, message=error.message))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            line, column = (mark.line + first_line, mark.column + 1) if mark is not None else (first_line, 1)
            message = getattr(error, "problem", None) or str(error).partition("\n")[0]
            problems.append(SyntaxProblem(file=file, line=line, column=column, message=message))
        else:
            problems += (
                SyntaxProblem(file=file, line=e.line, column=e.column, message=e.message) for e in builder.twice
            )
            if value is not None:
                document = Document(value=value, file=file, line=builder.first_line, positions=builder.positions)
                (doubtful if builder.twice else documents).append(document)
    return Reading(tuple(documents), tuple(problems), tuple(doubtful))


def _built(first_line: int, text: str) -> tuple[_Builder, Any]:
    builder = _Builder(first_line)
    try:
        return builder, builder.build(text)
    except yaml.YAMLError as error:
        quoted = _FLOW_IPV6.sub(r'"\1"', text)
        if quoted == text or "':'" not in str(getattr(error, "problem", "")):
            raise
    builder = _Builder(first_line)
    return builder, builder.build(quoted)


def objects(reading: Reading) -> Iterator[Any]:
    """The objects of all documents, those of a `List` one by one."""
    for document in reading.documents:
        value = document.value
        if (
            isinstance(value, dict)
            and str(value.get("kind", "")).endswith("List")
            and isinstance(value.get("items"), list)
        ):
            yield from value["items"]
        else:
            yield value


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """(number of the first line, text) of each document."""
    lines: list[str] = []
    start = 1
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(keepends=True), 1):
        if line.startswith("---") and _SEPARATOR.fullmatch(line.rstrip()):
            yield start, "".join(lines)
            lines, start = [], number + 1
        else:
            lines.append(line)
    yield start, "".join(lines)


class _ReadError(Exception):
    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


@dataclass(slots=True)
class _Frame:
    """A collection under construction."""

    value: dict[str, Any] | list[Any]
    path: str
    anchor: str | None
    line: int
    column: int
    key: str | None = None
    merges: list[Any] = field(default_factory=list)
    #: The only key was plain, and its value empty: see _IPV6_KEY.
    bare_key: str | None = None


class _Builder:
    """Builds one document's value from events."""

    def __init__(self, first_line: int) -> None:
        self.first_line = first_line
        self.positions: dict[str, Position] = {}
        self._offset = first_line
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._stack: list[_Frame] = []
        self._nodes = 0
        self._seen = 0
        self._root: Any = None
        self.twice: list[_ReadError] = []

    def build(self, text: str) -> Any:
        for event in yaml.parse(text, Loader=_LOADER):
            mark: Any = event.start_mark
            place = (mark.line + self._offset, mark.column + 1)
            match event:
                case yaml.DocumentStartEvent():
                    self._seen += 1
                    if self._seen > 1:
                        raise _ReadError(*place, "a second document begins without a line `---` of its own")
                case yaml.ScalarEvent():
                    self._scalar(event, place)
                case yaml.AliasEvent():
                    if event.anchor not in self._anchors:
                        raise _ReadError(*place, f"unknown alias {event.anchor!r}")
                    value, size = self._anchors[event.anchor]
                    self._count(size, place)
                    self._add(value, place)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._open(event, place)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._close()
        return self._root

    def _count(self, number: int, place: Position) -> None:
        self._nodes += number
        if self._nodes > _MAX_NODES:
            raise _ReadError(*place, f"more than {_MAX_NODES} values in one document")

    def _path(self) -> str:
        """The path of the value that comes next."""
        if not self._stack:
            return ""
        frame = self._stack[-1]
        if isinstance(frame.value, list):
            return f"{frame.path}[{len(frame.value)}]"
        return f"{frame.path}.{frame.key}" if frame.path else str(frame.key)

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _scalar(self, event: Any, place: Position) -> None:
        self._count(1, place)
        plain = event.implicit[0]
        text: str = event.value
        value: Any = plain_scalar(text) if plain and event.tag in {None, "!"} else text
        if event.tag not in {None, "!", _STRING_TAG}:
            value = plain_scalar(text)
        if self._expects_key():
            frame = self._stack[-1]
            frame.key = "<<" if plain and text == "<<" else key_text(value)
            if frame.key != "<<" and isinstance(frame.value, dict) and frame.key in frame.value:
                self.twice.append(_ReadError(*place, f"key {frame.key!r} is already set in this map"))
                path = self._path()
                self.positions = {at: where for at, where in self.positions.items() if not _inside(at, path)}
            frame.bare_key = text if plain and not frame.value else None
            self.positions.setdefault(self._path(), place)
            return
        if self._stack and not (plain and text == ""):
            self._stack[-1].bare_key = None
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._add(value, place)

    def _open(self, event: Any, place: Position) -> None:
        self._count(1, place)
        if self._expects_key():
            raise _ReadError(*place, "a key must be a text")
        if len(self._stack) >= _MAX_DEPTH:
            raise _ReadError(*place, f"nested more than {_MAX_DEPTH} levels deep")
        path = self._path()
        self.positions.setdefault(path, place)
        if not self._stack:
            self.first_line = place[0]
        else:
            self._stack[-1].bare_key = None
        fresh: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._stack.append(_Frame(fresh, path, event.anchor, place[0], place[1]))

    def _close(self) -> None:
        frame = self._stack.pop()
        value: Any = frame.value
        if frame.merges and isinstance(value, dict):
            value = self._merged(frame, value)
        if (
            isinstance(value, dict)
            and len(value) == 1
            and frame.bare_key is not None
            and _IPV6_KEY.fullmatch(frame.bare_key)
        ):
            value = frame.bare_key + ":"
        if frame.anchor:
            self._anchors[frame.anchor] = (value, _size(value))
        self._add(value, (frame.line, frame.column))

    def _merged(self, frame: _Frame, own: dict[str, Any]) -> dict[str, Any]:
        """`<<`: entries of other maps, where there is none of the map's own."""
        result = dict(own)
        for merge in frame.merges:
            for source in merge if isinstance(merge, list) else [merge]:
                if not isinstance(source, dict):
                    raise _ReadError(frame.line, frame.column, "<< wants a map or a list of maps")
                for key, value in source.items():
                    result.setdefault(key, value)
        return result

    def _add(self, value: Any, place: Position) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if isinstance(frame.value, list):
            self.positions.setdefault(f"{frame.path}[{len(frame.value)}]", place)
            frame.value.append(value)
        elif frame.key is None:
            raise _ReadError(*place, "a key must be a text")
        elif frame.key == "<<":
            frame.merges.append(value)
            frame.key = None
        else:
            frame.value[frame.key] = value
            frame.key = None


def _inside(path: str, outer: str) -> bool:
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def _size(value: Any) -> int:
    """How many values an anchored value counts for."""
    total = 0
    pending = [value]
    while pending:
        item = pending.pop()
        total += 1
        if total > _MAX_NODES:
            break
        if isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return total
