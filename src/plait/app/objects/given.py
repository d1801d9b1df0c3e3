"""Objects as users hand them over: files, folders or standard input, each object with the place it was written at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.api.yaml import Document, Position, SyntaxProblem, read_yaml

_ENDINGS = frozenset({".yaml", ".yml", ".json"})
STDIN = "STDIN"


class ObjectsError(Exception):
    """What was asked cannot be done; `lines` say why, one fault each, and nothing was written."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One object; `root` is where it stands in its document: empty, or `items[2]` in a List."""

    obj: dict[str, Any]
    document: Document
    root: str = ""

    @property
    def file(self) -> str:
        """The file's path as given, STDIN for standard input."""
        return self.document.file

    def position(self, path: str = "") -> Position:
        """Line and column of a field of the object, or of the nearest one above it that was written."""
        whole = f"{self.root}.{path}" if self.root and path else self.root or path
        return self.document.position(whole)

    def where(self, path: str = "") -> str:
        """`file:line` of a field."""
        return f"{self.file}:{self.position(path)[0]}"

    @property
    def title(self) -> str:
        """`VirtualService sock-shop/front-end`, as far as it was written."""
        metadata = self.obj.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        name = "/".join(str(metadata[key]) for key in ("namespace", "name") if metadata.get(key))
        return f"{self.obj.get('kind') or 'object'} {name}".rstrip()


def read_given(
    names: Sequence[str],
    *,
    stdin: Callable[[], str],
    recursive: bool = False,
    on_fault: Callable[[str], None] | None = None,
) -> tuple[Given, ...]:
    """All objects of the files, in order; `-` is standard input.

    Raises ObjectsError with every fault of every file; with `on_fault`, that is told each of them and what can be read
    is read.
    """
    given: list[Given] = []
    faults: list[str] = []
    for name in names:
        try:
            for file, text in _texts(name, stdin, recursive=recursive):
                reading = read_yaml(text, file)
                faults += [f"{problem}; nothing of this document can be read" for problem in reading.problems]
                for document in reading.documents:
                    found, wrong = objects_of(document)
                    given += found
                    faults += map(str, wrong)
        except (OSError, UnicodeDecodeError, ObjectsError) as error:
            faults += _unreadable(name, error)
    if on_fault is not None:
        for fault in faults:
            on_fault(fault)
        return tuple(given)
    if faults:
        raise ObjectsError(faults)
    if not given:
        raise ObjectsError([f"no objects in {', '.join(names)}"])
    return tuple(given)


def texts_of(names: Sequence[str], *, stdin: Callable[[], str], recursive: bool) -> Iterator[tuple[str, str]]:
    """(file, text) of everything named. Raises ObjectsError with what cannot be read."""
    for name in names:
        try:
            yield from _texts(name, stdin, recursive=recursive)
        except (OSError, UnicodeDecodeError) as error:
            raise ObjectsError(_unreadable(name, error)) from error


def _texts(name: str, stdin: Callable[[], str], *, recursive: bool) -> Iterator[tuple[str, str]]:
    if name == "-":
        yield STDIN, stdin()
        return
    if name.startswith(("http://", "https://")):
        raise ObjectsError([f"{name}: addresses are not read; write: curl -fsSL {name} | plait apply -f -"])
    path = Path(name)
    if not path.is_dir():
        yield name, path.read_text(encoding="utf-8")
        return
    inside = path.rglob("*") if recursive else path.iterdir()
    files = sorted(entry for entry in inside if entry.suffix in _ENDINGS and entry.is_file())
    if not files:
        raise ObjectsError([f"{name}: no .yaml, .yml or .json files in this folder"])
    for file in files:
        yield str(file), file.read_text(encoding="utf-8")


def _unreadable(name: str, error: Exception) -> list[str]:
    if isinstance(error, ObjectsError):
        return list(error.lines)
    if isinstance(error, OSError):
        return [f'the path "{name}" cannot be read: {error.strerror or error}']
    return [f"{name}: not UTF-8 text: {error}"]


def objects_of(document: Document) -> tuple[list[Given], list[SyntaxProblem]]:
    """The objects of a document, those of a List one by one; and what is wrong with their outermost form."""
    value = document.value
    if isinstance(value, dict) and str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        parts = [(item, f"items[{index}]") for index, item in enumerate(value["items"])]
    else:
        parts = [(value, "")]
    found: list[Given] = []
    faults: list[SyntaxProblem] = []
    for part, root in parts:
        if isinstance(part, dict):
            one = Given(obj=part, document=document, root=root)
            wrong = _outline(one)
            faults += wrong
            if not wrong:
                found.append(one)
        else:
            line, column = document.position(root)
            message = "an object was expected here: write apiVersion, kind and metadata"
            faults.append(SyntaxProblem(file=document.file, line=line, column=column, message=message))
    return found, faults


def _outline(given: Given) -> list[SyntaxProblem]:
    found: list[SyntaxProblem] = []

    def fault(path: str, message: str) -> None:
        line, column = given.position(path)
        found.append(SyntaxProblem(file=given.file, line=line, column=column, message=message))

    if not isinstance(given.obj.get("kind"), str) or not given.obj["kind"]:
        fault("", "object without kind; write for example kind: VirtualService")
    version = given.obj.get("apiVersion")
    if version is not None and not isinstance(version, str):
        fault("apiVersion", f"{given.title}: apiVersion must be text, not {version!r}")
    metadata = given.obj.get("metadata")
    if not isinstance(metadata, dict):
        fault("metadata", f"{given.title}: metadata is missing; write metadata: {{name: …}}")
        return found
    for field in ("name", "namespace", "generateName"):
        value = metadata.get(field)
        if value is not None and not isinstance(value, str):
            fault(f"metadata.{field}", f"{given.title}: metadata.{field} must be text; {_quoted(value)}")
    if all(metadata.get(field) is None or metadata[field] == "" for field in ("name", "generateName")):
        fault("metadata", f"{given.title}: metadata.name is missing; write a name")
    return found


def _quoted(value: Any) -> str:
    if isinstance(value, bool):
        return f"write it in quotes: YAML reads {'y, yes, on' if value else 'n, no, off'} as {str(value).lower()}"
    return f'write "{value}" in quotes'
