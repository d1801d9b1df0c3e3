"""What the groups of commands have in common: other names, near misses, and how a command line ends."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import click

from plait.cli.context import INTERRUPTED, stop


class CommandGroup(click.Group):
    """`aliases` are other names that people know a command by, from Istio's tool most of all."""

    def __init__(self, *args: Any, aliases: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.aliases = aliases or {}

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line. That its output cannot be written, or some file, is no fault of the program."""
        for stream in (sys.stdout, sys.stderr):
            # A terminal, or a locale, that lacks a letter gets its number.
            if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"plait: {where}{error.strerror or error}", err=True)
            # What is still in a buffer would be tried again at the end.
            if sys.stdout is sys.__stdout__:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Ctrl-C ends with the status that shells know it by; click's own would be 1, which means findings here."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            stop("interrupted", INTERRUPTED)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """By name or alias."""
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is asked for; of one that is not there, those that were perhaps meant are told."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            name = error.command_name
            known = self.list_commands(ctx)
            near = [each for each in known if each.startswith(name)] or get_close_matches(name, known)
            meant = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(known)}"
            raise click.UsageError(f"no command {name!r}; {meant}", ctx=ctx) from error
