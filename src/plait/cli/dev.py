"""`plait dev`: commands for those who build plait."""

from __future__ import annotations

import sys

import click

from plait.app.conformance.run import SETS, answers
from plait.cli.group import CommandGroup


@click.group(cls=CommandGroup)
def dev() -> None:
    """Commands for those who build plait."""


@dev.command()
@click.argument("name", metavar="SET", type=click.Choice(list(SETS)))
def conformance(*, name: str) -> None:
    """Answer the conformance cases of SET: one JSON object a line on standard input, one on standard output.

    SET is validation, validation_legacy, analyze, routing, authz, mixer_expr or gatewayapi. The cases go through the
    functions that serve users; docs/conformance.md describes the protocol.
    """
    for line in answers(name, sys.stdin):
        click.echo(line)
