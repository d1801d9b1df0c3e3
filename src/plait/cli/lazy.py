"""A group whose commands are imported when they are called: none waits for what another imports, and help for none."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from plait.cli.group import CommandGroup


class Entry(NamedTuple):
    """Where a command is, as `module:attribute`, and what it does, in a line."""

    place: str
    says: str


class LazyGroup(CommandGroup):
    """`sections` are commands by name, below headings."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, Entry]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections
        self._lazy = {name: entry.place for section in sections.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, without importing anything."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one that is asked for."""
        cmd_name = self.aliases.get(cmd_name, cmd_name)
        if cmd_name not in self.commands and (place := self._lazy.get(cmd_name)) is not None:
            module, _, attribute = place.partition(":")
            self.add_command(getattr(importlib.import_module(module), attribute), cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The sections, without importing anything."""
        longest = max(map(len, self._lazy))
        for heading, entries in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(longest), entry.says) for name, entry in entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names that begin so, without importing anything."""
        found = [
            CompletionItem(name, help=entry.says)
            for section in self.sections.values()
            for name, entry in section.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]
