"""What an image reference means on this machine: tables of name patterns and the processes they stand for.

A table is a YAML file. Several are read in order; the most specific pattern wins, and among equals the later table,
so that users overrule what is built in. Nothing here runs anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, get_args

import yaml

Role = Literal["app", "proxy", "proxy-init", "pause"]

#: The table that comes with plait; the first one to load.
BUILTIN_TABLE: Final = Path(__file__).with_name("builtin.yaml")

_HOSTS: Final = ("docker.io/", "index.docker.io/", "registry-1.docker.io/")
_FIELDS: Final = ("match", "command", "args", "env", "packages", "programs", "persist", "user", "workdir", "role")
_PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_WILDCARDS: Final = re.compile(r"\[[^]]*]|[*?]")
_REFERENCE: Final = re.compile(r"\$(\$|\(([^)]+)\))?")


class TableError(ValueError):
    """An image table cannot be used; says which file and entry, and what to write."""


class Images:
    """The image table in its newest state."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.problem: str | None = None

    def find(self, reference: str) -> Image | None:
        """The entry for a reference. A table that cannot be read leaves the last good one in use, and `problem`."""
        try:
            self._table = self._table.reloaded()
            self.problem = None
        except (TableError, OSError) as error:
            self.problem = str(error)
        return self._table.find(reference)

    def role(self, container: Mapping[str, Any]) -> Role | None:
        """What a container of a pod does; None while nothing is known of its image."""
        image = self.find(container.get("image", ""))
        return role_of(image, tuple(container.get("args") or ())) if image is not None else None


def _no_env() -> Mapping[str, str]:
    return MappingProxyType({})


def _no_programs() -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One entry: what runs for the images whose reference matches `match`.

    `command` and `args` are an image's ENTRYPOINT and CMD. `packages` are Debian packages laid under the pod's file
    system. `programs` are executables that the image has: a path in the pod and the words that it stands for, before
    its own arguments. What is below the `persist` paths outlives the pod. `user` is the uid and gid where the pod names
    none.
    """

    match: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=_no_env)
    packages: tuple[str, ...] = ()
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=_no_programs)
    persist: tuple[str, ...] = ()
    user: int = 0
    workdir: str = "/"
    role: Role = "app"

    def entry(self) -> dict[str, Any]:
        """The entry as a table has it, without what is default."""
        written: dict[str, Any] = {"match": self.match}
        for name in ("command", "args", "packages", "persist"):
            if value := getattr(self, name):
                written[name] = list(value)
        if self.env:
            written["env"] = dict(self.env)
        if self.programs:
            written["programs"] = {path: list(words) for path, words in self.programs.items()}
        for name, default in (("user", 0), ("workdir", "/"), ("role", "app")):
            if (value := getattr(self, name)) != default:
                written[name] = value
        return written


def normalise(reference: str) -> str:
    """A reference without Docker Hub's host and `library/`, with its tag: `docker.io/library/mongo` is `mongo:latest`.

    A digest is kept only where there is no tag.
    """
    name, at, digest = reference.partition("@")
    for host in _HOSTS:
        name = name.removeprefix(host)
    name = name.removeprefix("library/")
    if ":" in name.rpartition("/")[2]:
        return name
    return f"{name}:{at}{digest}" if at else f"{name}:latest"


def role_of(image: Image, args: Sequence[str]) -> Role:
    """What a container does: the proxy's image loads the capture rules when it is told `istio-iptables`."""
    if image.role == "proxy" and tuple(args[:1]) == ("istio-iptables",):
        return "proxy-init"
    return image.role


def argv(
    image: Image,
    command: Sequence[str] = (),
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    *,
    python: str = "python",
) -> tuple[str, ...]:
    """The words to execute, by Kubernetes' rules; empty where nothing says what to run.

    The container's `command` takes the place of the image's command and arguments, its `args` that of the image's
    arguments. With `env`, `$(NAME)` in the container's words is replaced and `$$(NAME)` is `$(NAME)`; the image's own
    words are never expanded. A program named `python` or `python3` is the interpreter `python`.
    """
    if env is not None:
        command, args = [expand(word, env) for word in command], [expand(word, env) for word in args]
    words = [*command, *args] if command else [*image.command, *(args or image.args)]
    if words and words[0] in {"python", "python3"}:
        words[0] = python
    return tuple(words)


def expand(word: str, env: Mapping[str, str]) -> str:
    """Kubernetes' `$(NAME)`: a name that is not defined stays as written, `$$` is one dollar sign."""

    def value(found: re.Match[str]) -> str:
        if found[1] == "$":
            return "$"
        return env.get(found[2], found[0]) if found[2] else found[0]

    return _REFERENCE.sub(value, word)


class _File(NamedTuple):
    path: Path
    #: Tells whether it has changed; None where it is not there.
    stamp: tuple[int, int, int] | None
    images: tuple[Image, ...]

    @classmethod
    def read(cls, path: Path) -> _File:
        # The stamp comes first: a file that changes meanwhile is read again next time.
        stamp = _stamp(path)
        return cls(path, stamp, read_table(path) if stamp is not None else ())


@dataclass(frozen=True, slots=True)
class Table:
    """Entries of several tables, frozen at the moment they were read."""

    images: tuple[Image, ...]
    files: tuple[_File, ...] = ()

    @classmethod
    def load(cls, paths: Iterable[Path | str]) -> Table:
        """Read the tables in order; a file that is not there is an empty table. Raises TableError and OSError."""
        return cls._of([_File.read(path) for path in map(Path, paths)])

    @classmethod
    def _of(cls, files: Sequence[_File]) -> Table:
        return cls(tuple(image for file in files for image in file.images), tuple(files))

    def reloaded(self) -> Table:
        """The same table, or a new one where a file has changed since. Raises what `load` raises.

        The last file is the user's. The others come with plait and never go for good: one that has gone was moved by a
        newer plait, installed over the one that runs, and what it said holds until that is started.
        """
        last = len(self.files) - 1
        now = [
            file
            if (stamp := _stamp(file.path)) == file.stamp or (stamp is None and index != last)
            else _File.read(file.path)
            for index, file in enumerate(self.files)
        ]
        return self if tuple(now) == self.files else self._of(now)

    def find(self, reference: str) -> Image | None:
        """The entry for an image reference, or None where no pattern matches."""
        name = normalise(reference)
        best: tuple[tuple[int, int], int] | None = None
        for index, image in enumerate(self.images):
            pattern = _pattern(image.match)
            if fnmatchcase(name, pattern):
                rank = (_specificity(pattern), index)
                best = rank if best is None else max(best, rank)
        return None if best is None else self.images[best[1]]


def read_table(path: Path) -> tuple[Image, ...]:
    """The entries of one file. Raises TableError where it is not a table and OSError where it cannot be read."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise TableError(f"{path}: not YAML: {error}") from error
    if document is None:
        return ()
    if not isinstance(document, dict) or set(document) != {"images"}:
        raise TableError(f"{path}: write one list named `images:`")
    entries = document["images"]
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise TableError(f"{path}: images: write a list of entries, each with `match:` and `command:`")
    return tuple(parse_entry(entry, where=f"{path}: images[{index}]") for index, entry in enumerate(entries))


def parse_entry(entry: Any, *, where: str = "image") -> Image:
    """An entry from its YAML form; `where` begins the message of the TableError."""
    if not isinstance(entry, Mapping):
        raise TableError(f"{where}: write a map with `match:` and `command:`")
    match = entry.get("match")
    if not isinstance(match, str) or not match.strip():
        raise TableError(f"{where}: match: write the image's name as a pattern, such as example/app:*")
    where = f"{where} ({match})"
    if unknown := [str(key) for key in entry if key not in _FIELDS]:
        raise TableError(f"{where}: {unknown[0]}: no such field; there are {', '.join(_FIELDS)}")
    role = entry.get("role", "app")
    if role not in get_args(Role):
        raise TableError(f"{where}: role: {role!r}; write one of {', '.join(get_args(Role))}")
    user = entry.get("user", 0)
    if not isinstance(user, int) or isinstance(user, bool) or not 0 <= user < 65536:
        raise TableError(f"{where}: user: {user!r}; write a uid from 0 to 65535")
    packages = _words(entry, "packages", where)
    for package in packages:
        if not _PACKAGE.fullmatch(package):
            raise TableError(f"{where}: packages: {package!r} is not the name of a Debian package")
    persist = _words(entry, "persist", where)
    workdir = entry.get("workdir", "/")
    programs = _programs(entry.get("programs"), where)
    paths = [("workdir", workdir), *(("persist", path) for path in persist), *(("programs", path) for path in programs)]
    for name, value in paths:
        if not isinstance(value, str) or not value.startswith("/") or ".." in value.split("/"):
            raise TableError(f"{where}: {name}: {value!r}; write an absolute path")
    return Image(
        match=match.strip(),
        command=_words(entry, "command", where),
        args=_words(entry, "args", where),
        env=_env(entry.get("env"), where),
        packages=packages,
        programs=programs,
        persist=persist,
        user=user,
        workdir=workdir,
        role=role,
    )


def _words(entry: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    value = entry.get(name)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise TableError(f"{where}: {name}: {value!r}; write a list of words, such as [sleep, infinity]")
    for word in value:
        if not isinstance(word, str):
            raise TableError(f"{where}: {name}: {word!r} is not a string; write it in quotes")
        if "\0" in word:
            raise TableError(f"{where}: {name}: {word!r} holds a zero byte, which no program can be given")
    return tuple(value)


def _env(value: Any, where: str) -> Mapping[str, str]:
    if value is None:
        return _no_env()
    if not isinstance(value, Mapping):
        raise TableError(f"{where}: env: {value!r}; write a map of names and values")
    for name, setting in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise TableError(f"{where}: env: {name!r} is not the name of a variable")
        if not isinstance(setting, str) or "\0" in setting:
            raise TableError(f"{where}: env: {name}: {setting!r} is not a string; write it in quotes")
    return MappingProxyType(dict(value))


def _programs(value: Any, where: str) -> Mapping[str, tuple[str, ...]]:
    if value is None:
        return _no_programs()
    if not isinstance(value, Mapping):
        raise TableError(f"{where}: programs: {value!r}; write a map of paths and commands, such as /bin/app: [sh, -c]")
    found = {path: _words(value, path, f"{where}: programs") for path in value}
    for path, words in found.items():
        if not words:
            raise TableError(f"{where}: programs: {path}: write a command, such as [python, -m, app]")
    return MappingProxyType(found)


def _pattern(match: str) -> str:
    """A pattern without a tag is for every tag."""
    for host in _HOSTS:
        match = match.removeprefix(host)
    match = match.removeprefix("library/")
    return match if ":" in match.rpartition("/")[2] else f"{match}:*"


def _specificity(pattern: str) -> tuple[int, int]:
    """Literal characters count for a pattern, wildcards against it."""
    literal, wildcards = _WILDCARDS.subn("", pattern)
    return len(literal), -wildcards


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
