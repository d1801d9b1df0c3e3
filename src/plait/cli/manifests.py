"""Manifests that a command was given and that it writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import click

from plait.app.objects.given import ObjectsError
from plait.app.objects.show import as_yaml
from plait.cli.context import FAILED, stop


def refuse(error: ObjectsError, outcome: str, code: int = FAILED) -> NoReturn:
    """End the command with each fault of what it was given in a line of its own."""
    for line in error.lines:
        click.echo(line, err=True)
    stop(outcome, code)


def write(objects: Iterable[Mapping[str, Any]], output: Path | None) -> None:
    """As YAML into a file, or to standard output."""
    text = "---\n".join(as_yaml(obj) for obj in objects)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        stop(f"{output}: {error.strerror}", FAILED)
