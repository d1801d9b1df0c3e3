"""`plait validate`: manifests against all that would be asked of them at the door, without a mesh."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.text import Text

from plait.api.problem import Level
from plait.app.objects.given import ObjectsError, texts_of
from plait.app.objects.validate import Finding, findings_of_text, validator
from plait.cli.context import FAILED
from plait.cli.manifests import refuse
from plait.cli.objects import FILES, RECURSIVE
from plait.cli.proxy_target import print_data

_COLOURS = {Level.ERROR: "bold red", Level.WARNING: "yellow", Level.INFO: "cyan"}


@click.command(
    epilog="""\b
Examples:
  plait validate -f shop/ -R
  plait validate -f route.yaml -o json
  helm template shop | plait validate -f -
"""
)
@FILES
@RECURSIVE
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
def validate(*, files: tuple[str, ...], recursive: bool, output: str, strict: bool) -> None:
    """Check manifests: their fields, the CEL rules of their kinds, and what Istio demands beyond.

    All findings are told at once, each with its place in the file. Needs no mesh. Exits with 1 if an object would be
    refused. What objects mean to each other is the part of plait analyze.
    """
    if not files:
        raise click.UsageError("say what to check: -f FILE, -f DIR or -f -")
    try:
        texts = list(texts_of(files, stdin=sys.stdin.read, recursive=recursive))
    except ObjectsError as error:
        refuse(error, "nothing was checked")
    checker = validator()
    found = [each for file, text in texts for each in findings_of_text(checker, text, file=file)]
    if output == "text":
        _print(found, len(texts))
    else:
        print_data([dict(each.as_json()) for each in found], output)
    if any(each.is_error or strict for each in found):
        raise SystemExit(FAILED)


def _print(found: list[Finding], files: int) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for each in found:
        where = f"{each.file}:{each.line}:{each.column}: " if each.file else ""
        what = ": ".join(part for part in (each.object, each.path, each.message) if part)
        line = Text(where)
        line.append(each.level.value, style=_COLOURS[each.level])
        line.append(f": {what}" + (f"; {each.fix}" if each.fix else ""))
        line.append(f" [{each.code}]", style="dim")
        console.print(line)
    errors = sum(each.is_error for each in found)
    rest = len(found) - errors
    many = f"{files} file" + ("s" if files != 1 else "")
    said = f"{errors} error{'s' if errors != 1 else ''}, {rest} warning{'s' if rest != 1 else ''} in {many}"
    console.print(said if found else f"no findings in {many}")
