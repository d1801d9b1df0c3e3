"""`plait convert`: manifests of another time, written as one would today."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from plait.app.objects.convert import convert as converted
from plait.app.objects.given import ObjectsError, read_given
from plait.cli.manifests import refuse, write
from plait.cli.objects import FILES, RECURSIVE
from plait.machine.api.schema import load_schemas


@click.command(
    epilog="""\b
Examples:
  plait convert -f old.yaml                        to standard output; what was changed to standard error
  plait convert -f old.yaml -n shop -o new.yaml
  plait convert -R -f manifests/ | kubectl apply -f -
"""
)
@FILES
@RECURSIVE
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write here, not to stdout.")
@click.option("-n", "--namespace", default="", help="Namespace of objects that name none; usual is that of the others.")
def convert(*, files: tuple[str, ...], recursive: bool, output: Path | None, namespace: str) -> None:
    """Print manifests in today's form: API groups and fields of now, and no sidecar of another make.

    Needs no mesh, and changes nothing of what is meant: a route that leads astray does so afterwards. Comments are not
    kept. What has no form today is told, by file and line, and nothing is printed.
    """
    try:
        given = read_given(files, stdin=sys.stdin.read, recursive=recursive)
        made = converted(given, load_schemas(), namespace=namespace)
    except ObjectsError as error:
        refuse(error, "nothing was written")
    for one in made:
        for note in one.notes:
            click.echo(note, err=True)
    write((one.obj for one in made), output)
