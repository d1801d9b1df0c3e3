"""Makes docs/reference from the code: every command with its --help, every kind the API serves.

    .venv/bin/python scripts/generate_reference.py           writes the files
    .venv/bin/python scripts/generate_reference.py --check   exit status 1 when one of them is stale

The output depends on the code alone: not on the machine, the environment or the width of the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from plait.analyze.meanings import MEANINGS
from plait.analyze.messages import MESSAGES
from plait.analyze.registry import ANALYZERS
from plait.api import inert as istio_inert
from plait.api.mesh_inert import PROXY_ROWS, ROWS
from plait.cli.main import main as plait
from plait.machine.api import inert
from plait.machine.api.schema import ServedKind, load_schemas

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
WIDTH = 100
_LIMITS = "../features/limits.md#where-it-works"
_MADE = "<!-- Made by scripts/generate_reference.py from the code. Change the code, then run it again. -->\n"


def pages() -> dict[str, str]:
    """The files of docs/reference by name."""
    return {"cli.md": cli_page(), "kinds.md": kinds_page(), "messages.md": messages_page()}


def cli_page() -> str:
    """Every command with its help text."""
    commands = list(_commands(plait, _context(plait, "plait", None)))
    parts = [
        _MADE,
        "# Commands\n",
        "Results go to standard output; progress and complaints go to standard error.\n",
        _table(("exit status", "means"), _EXIT_CODES),
        "\n".join(f"- [`{path}`](#{path.replace(' ', '-')})" for path, _ in commands) + "\n",
    ]
    for path, text in commands:
        parts.append(f"## {path}\n\n```\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


#: See plait.cli.context.
_EXIT_CODES = (
    ("0", "fine"),
    ("1", "failed, or there are findings (a proxy refused something, a mesh is not ready)"),
    ("2", "the command line is wrong"),
    ("3", "the mesh is not running"),
    ("4", "the machine lacks something a mesh needs; `plait doctor` says what"),
    ("5", "not ready in time; the mesh is left running for a look"),
    ("130", "interrupted by Ctrl-C; `plait up` has stopped what it had begun"),
)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """What click makes when the command is called, but as wide as the page."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    return click.Context(command, info_name=name, parent=parent, **settings)


def _commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """(path, help) of a command and of those below it, in the order in which help lists them."""
    yield context.command_path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _commands(below, _context(below, name, context))


def kinds_page() -> str:
    """Every kind that the machine's API serves, and the fields that have no effect."""
    kinds = load_schemas().kinds
    istio = [kind for kind in kinds if kind.custom]
    requests = [kind for kind in kinds if not kind.stored and "list" not in kind.verbs]
    made = [kind for kind in kinds if not kind.stored and "list" in kind.verbs]
    kubernetes = [kind for kind in kinds if kind.stored and not kind.custom]
    columns = ("kind", "API versions, preferred first", "name", "short", "scope", "subresources")
    return "\n".join(
        [
            _MADE,
            "# What the machine's API serves\n",
            "An object is stored in the first of the versions listed; the others are accepted and served too.\n",
            "## Kubernetes' kinds\n",
            "A kind that does not act yet is checked and stored; creating one is answered with a Warning.\n",
            _table((*columns, "acts"), ((*_row(kind), _acts(kind)) for kind in kubernetes)),
            f"Verbs of each: {_verbs(kubernetes)}.\n",
            "## Istio's kinds\n",
            _table((*columns, "acts"), ((*_row(kind), _acts(kind)) for kind in istio)),
            f"Verbs of each: {_verbs(istio)}.\n",
            "## Kinds that are a request and its answer\n",
            _table(columns[:-1], (_row(kind)[:-1] for kind in requests)),
            f"Verbs of each: {_verbs(requests)}.\n",
            "## Kinds that are made when asked for\n",
            "PodMetrics and NodeMetrics are measured; Endpoints are made of EndpointSlices, and kept as such.\n",
            _table((*columns[:-1], "verbs"), ((*_row(kind)[:-1], _verbs([kind])) for kind in made)),
            "## Fields without effect\n",
            "These fields of served kinds are accepted and stored. Who writes one gets a Warning with these words.\n",
            f"Limits of memory and CPU get one on machines [that cannot enforce them]({_LIMITS}).\n",
            *_inert_tables(),
        ]
    )


def messages_page() -> str:
    """Every message of an analysis."""
    given = [message for message in MESSAGES.values() if not message.unreported]
    kept = [message for message in MESSAGES.values() if message.unreported]
    analyzers = {
        message.code: ", ".join(f"`{one.name}`" for one in ANALYZERS if message in one.messages) for message in given
    }
    return "\n".join(
        [
            _MADE,
            "# Messages of `plait analyze`\n",
            "Codes and names that begin with IST are Istio's; PLT is what Istio cannot say.\n",
            _table(
                ("code", "name", "level", "means", "analyzer"),
                (
                    (
                        message.code,
                        message.name,
                        message.level.value.capitalize(),
                        MEANINGS[message.code],
                        analyzers[message.code],
                    )
                    for message in given
                ),
            ),
            "## Not given by plait\n",
            _table(("code", "name", "why"), ((message.code, message.name, message.unreported) for message in kept)),
        ]
    )


def _row(kind: ServedKind) -> tuple[str, ...]:
    return (
        kind.kind,
        ", ".join(f"`{version}`" for version in kind.endpoints),
        f"`{kind.plural}`",
        ", ".join(f"`{name}`" for name in kind.short_names),
        "namespace" if kind.namespaced else "cluster",
        ", ".join(f"`{sub.name}`" for sub in kind.subresources),
    )


def _acts(kind: ServedKind) -> str:
    return "yes" if kind.acts else "not yet"


def _verbs(kinds: Iterable[ServedKind]) -> str:
    sets = {kind.verbs for kind in kinds}
    if len(sets) != 1:
        raise ValueError(f"these kinds have different verbs, the page must show them one by one: {sets}")
    return ", ".join(f"`{verb}`" for verb in sets.pop())


def _inert_tables() -> Iterator[str]:
    """One table an object; the pod template of a workload has the rows of Pod."""
    pod = {row.path.removeprefix("spec."): row for row in inert.TABLE["", "Pod"]}
    for (group, kind), rows in {**inert.TABLE, **istio_inert.TABLE}.items():
        prefix = "spec.template.spec."
        if all(row.path.startswith(prefix) and row.path.removeprefix(prefix) in pod for row in rows):
            yield f"### {kind}\n\nIn `spec.template.spec`, those of Pod.\n"
            continue
        yield f"### {kind}{f' ({group})' if group else ''}\n"
        yield _table(("field", "values", "says"), _inert_rows(rows))
    yield "### Settings of the mesh (ConfigMap `istio`, key `mesh`)\n"
    yield _table(("setting", "says"), ((f"`{row.path}`", row.says) for row in (*ROWS, *PROXY_ROWS)))


_MAIN, _INIT = "spec.containers[]", "spec.initContainers[]"


def _inert_rows(rows: Iterable[inert.Inert]) -> Iterator[tuple[str, ...]]:
    """Rows of init containers are those of containers: one line is enough for both."""
    paths = {row.path for row in rows}
    for row in rows:
        if _INIT in row.path and row.path.replace(_INIT, _MAIN) in paths:
            continue
        both = _MAIN in row.path and row.path.replace(_MAIN, _INIT) in paths
        path = row.path.replace(_MAIN, "spec.(init)containers[]") if both else row.path
        yield f"`{path}`", _values(row), row.says


def _values(row: inert.Inert) -> str:
    if row.only:
        # A capability may be written with or without its prefix: one of the two says it.
        return ", ".join(f"`{value}`" for value in sorted(map(_word, row.only)) if not value.startswith("CAP_"))
    return f"any but {', '.join(f'`{value}`' for value in sorted(map(_word, row.but)))}" if row.but else ""


def _word(value: object) -> str:
    """As YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def main() -> int:
    """Write the files, or say which are stale; the exit status."""
    found = pages()
    if sys.argv[1:] == ["--check"]:
        stale = [name for name, text in found.items() if _read(FOLDER / name) != text]
        for name in stale:
            print(f"docs/reference/{name} is stale: run scripts/generate_reference.py", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in found.items():
        (FOLDER / name).write_text(text)
        print(f"{name}: {len(text):,} characters", file=sys.stderr)
    return 0


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
