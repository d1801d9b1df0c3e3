"""`plait analyze`: what is wrong, in files, in the running mesh, or in the mesh once the files are applied."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.text import Text

from plait import __version__
from plait.analyze.kinds import NAMESPACE
from plait.analyze.meanings import MEANINGS
from plait.analyze.messages import MESSAGES
from plait.analyze.report import Reported, level_name, plain, reaches, sarif, worst
from plait.analyze.suppress import Suppression, Suppressions
from plait.analyze.world import Item
from plait.api.decode import problems_of
from plait.api.mesh_settings import KEY, NAME
from plait.api.problem import Level
from plait.api.yaml import read_yaml
from plait.app.analysis import Question, Scope, answer, objects_of_mesh
from plait.app.objects.given import Given, read_given
from plait.cli.context import FAILED, mesh, run, stop
from plait.cli.objects import FILES, RECURSIVE
from plait.cli.proxy_target import client_from, print_data

LEVELS = {level_name(level): level for level in Level}
_LEVEL = click.Choice(list(LEVELS), case_sensitive=False)
_COLOURS = {Level.ERROR: "bold red", Level.WARNING: "yellow", Level.INFO: "cyan"}


def _suppressions(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> tuple[Suppression, ...]:
    try:
        found = tuple(map(Suppression.parse, value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    for one in found:
        if one.fault:
            click.echo(f"no effect: -S {one.code}={one.resource}: {one.fault}", err=True)
    return found


SUPPRESS = click.option(
    "-S",
    "--suppress",
    "suppressed",
    multiple=True,
    callback=_suppressions,
    metavar="CODE=KIND NS/NAME",
    help="Do not show a message about an object; * stands for any part of it.",
)
FAILURE = click.option(
    "--failure-threshold", type=_LEVEL, default="Error", show_default=True, help="Exit with 1 from this level on."
)
SHOWN = click.option(
    "--output-threshold", type=_LEVEL, default="Info", show_default=True, help="Show findings from this level on."
)
IGNORE_UNKNOWN = click.option(
    "--ignore-unknown", is_flag=True, help="Pass over what is in the files and is no object, without a word."
)
MESH_CONFIG = click.option(
    "--mesh-config",
    "--meshConfigFile",
    "mesh_config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings of the mesh to assume, instead of those of the ConfigMap istio.",
)


@click.command(
    epilog="""\b
Examples:
  plait analyze                                     the running mesh
  plait analyze -f shop/ -R                         what applying these files would bring
  plait analyze --files-only -o sarif -f shop/      files alone, for CI
  plait analyze -n sock-shop --failure-threshold Warning
  plait analyze -S "IST0102=Namespace scratch" -S "PLT0007=VirtualService sock-shop/*"
  plait analyze --list
"""
)
@click.argument("names", nargs=-1, metavar="[FILE|DIR|-]…")
@FILES
@RECURSIVE
@click.option("-n", "--namespace", help="Show findings of this namespace; objects that name none go there.")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Show findings of every namespace (usual).")
@click.option(
    "--use-mesh/--files-only",
    "use_mesh",
    default=None,
    help="Lay the files over the running mesh, or leave the mesh out. Usual: over the mesh if it runs.",
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "yaml", "sarif"]), default="text", help="How to print it."
)
@FAILURE
@SHOWN
@SUPPRESS
@MESH_CONFIG
@IGNORE_UNKNOWN
@click.option("-L", "--list", "listing", is_flag=True, help="List every message with its code and level.")
@click.pass_context
def analyze(
    ctx: click.Context,
    *,
    names: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    namespace: str | None,
    everywhere: bool,
    use_mesh: bool | None,
    output: str,
    failure_threshold: str,
    output_threshold: str,
    suppressed: tuple[Suppression, ...],
    mesh_config: Path | None,
    ignore_unknown: bool,
    listing: bool,
) -> None:
    """Find what is wrong with the configuration of the mesh, of files, or of both together.

    Files are laid over the running mesh: shown is what is wrong with their objects, and what goes wrong elsewhere
    because of them. An object is spared a message by its annotation galley.istio.io/analyze-suppress (codes, or *).

    Exit status: 0 nothing at or above the failure threshold, 1 findings or unreadable files, 2 wrong usage, 3 the mesh
    is not running.
    """
    if listing:
        click.echo(catalogue())
        return
    given, whole = given_objects((*names, *files), recursive=recursive, ignore_unknown=ignore_unknown)
    question = Question(
        given=given,
        mesh=mesh_objects(ctx, files=bool(names or files), use_mesh=use_mesh),
        namespace=namespace or "default",
        scope=Scope(namespace=None if everywhere else namespace),
        suppressions=Suppressions(suppressed),
        mesh_config=read_settings(mesh_config),
    )
    if not question.given:
        wants_namespace(question.mesh, None if everywhere else namespace)
    reported = answer(question)
    show(reported, output, whole=whole, threshold=LEVELS[output_threshold])
    ctx.exit(0 if whole and not fails(reported, failure_threshold) else FAILED)


def wants_namespace(objects: Sequence[Item] | None, name: str | None) -> None:
    """Stop where the mesh has no such namespace: that nothing is wrong in it would be no answer."""
    if objects is None or name is None:
        return
    there = sorted(item.name for item in objects if item.kind == NAMESPACE)
    if name not in there:
        stop(f"there is no namespace {name!r}; there are: {', '.join(there)}")


def fails(reported: Sequence[Reported], threshold: str) -> bool:
    """Whether there is a finding at or above a level."""
    bad = worst(reported)
    return bad is not None and reaches(bad, LEVELS[threshold])


def given_objects(names: Sequence[str], *, recursive: bool, ignore_unknown: bool) -> tuple[tuple[Given, ...], bool]:
    """The objects of files, and whether all of them could be read; what could not is told unless it is ignored. A file
    that is not there is no file with something unknown.
    """
    faults: list[str] = []
    given = read_given(names, stdin=sys.stdin.read, recursive=recursive, on_fault=faults.append) if names else ()
    missing = ignore_unknown and not all(name == "-" or Path(name).exists() for name in names)
    for fault in faults if not ignore_unknown or missing else ():
        click.echo(f"left out: {fault}", err=True)
    return given, not missing and (ignore_unknown or not faults)


def read_settings(path: Path | None) -> dict[str, Any] | None:
    """MeshConfig of a file."""
    if path is None:
        return None
    written = path.read_text(encoding="utf-8")
    reading = read_yaml(written, str(path))
    for problem in reading.problems:
        stop(str(problem))
    value = reading.documents[0].value if reading.documents else {}
    if not isinstance(value, dict):
        stop(f"{path}: settings of a mesh must be a map, such as {{accessLogFile: /dev/stdout}}")
    for fault in problems_of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": _STORED, "data": {KEY: written}}):
        if fault.level is Level.ERROR:
            inner = fault.path.removeprefix(f"data.{KEY}").lstrip(".")
            line, column = reading.documents[0].position(inner) if reading.documents else (1, 1)
            told = f"{path}:{line}:{column}: {inner}: {fault.message}"
            stop(f"{told}; {fault.fix}" if fault.fix else told)
    return value


#: Where a mesh has its settings.
_STORED: Final = {"name": NAME, "namespace": "istio-system"}


def mesh_objects(ctx: click.Context, *, files: bool, use_mesh: bool | None) -> Any:
    """The objects of the running mesh; None where it is to be left out."""
    found = mesh(ctx)
    if files and use_mesh is None:
        use_mesh = found.kubeconfig != found.state.kubeconfig or found.state.launcher_pid() is not None
    if use_mesh is False:
        if not files:
            raise click.UsageError("--files-only wants files: -f FILE, -f DIR or -f -")
        return None

    async def work() -> Any:
        async with client_from(ctx) as client:
            return await objects_of_mesh(client)

    return run(work())


def show(reported: Sequence[Reported], output: str, *, whole: bool, threshold: Level) -> None:
    """Print findings from a level on; `whole` says that all files could be read."""
    shown = [one for one in reported if reaches(one.finding.level, threshold)]
    if output == "sarif":
        print_data(sarif(shown, __version__), "json")
    elif output in {"json", "yaml"}:
        print_data([plain(one) for one in shown], output)
    else:
        _show_text(shown, hidden=len(reported) - len(shown), whole=whole)


def _show_text(reported: Sequence[Reported], *, hidden: int, whole: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for one in reported:
        finding = one.finding
        where = f"{finding.resource} {one.place}" if one.place is not None else finding.resource
        line = Text()
        line.append(level_name(finding.level), style=_COLOURS[finding.level])
        line.append(f" [{finding.code}]", style="bold")
        line.append(f" ({where}) ")
        line.append(str(finding).removeprefix(f"{finding.resource}: "))
        console.print(line)
    counts = {level: sum(one.finding.level is level for one in reported) for level in Level}
    told = [f"{count} {_noun(level, count)}" for level, count in counts.items() if count]
    if hidden:
        told.append(f"{hidden} below the output threshold")
    if told:
        console.print(", ".join(told))
    elif whole:
        console.print(Text("✔ nothing found", style="green"))
    else:
        console.print("nothing found in what could be read")


def _noun(level: Level, count: int) -> str:
    if level is Level.INFO:
        return "to know"
    return level.value if count == 1 else f"{level.value}s"


def catalogue() -> str:
    """Every message that can be reported, one a line."""
    rows = [message for message in MESSAGES.values() if not message.unreported]
    return "\n".join(f"{row.code}  {level_name(row.level):8} {row.name:48} {MEANINGS[row.code]}" for row in rows)
