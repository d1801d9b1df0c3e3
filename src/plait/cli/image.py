"""`plait image`: which program an image name stands for."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from plait.app.images import table_paths
from plait.cli.context import FAILED, mesh, stop
from plait.cli.group import CommandGroup
from plait.cli.proxy_target import table
from plait.machine.images.table import Image, TableError, read_table
from plait.machine.images.user_table import UserTable


@click.group(cls=CommandGroup)
def image() -> None:
    """Manage the image table: which program runs for which image name.

    A pod on this machine is a process, not a container: the table says which one. Later entries win over earlier ones,
    the user's over those of demos and of plait.
    """


@image.command(
    "add",
    epilog="""\b
Examples:
  plait image add 'shop/cart:*' -- node /srv/cart/server.js
  plait image add 'shop/cart:2' --env PORT=8080 --user 10001 -- python -m cart
  plait image add 'cache:*' --package redis-server -- redis-server --bind 0.0.0.0

`python` is plait's own interpreter. A running mesh takes the entry at once: pods that wait for the image start.
""",
)
@click.argument("pattern")
@click.argument("command", nargs=-1)
@click.option("--env", "environment", multiple=True, metavar="NAME=VALUE", help="A variable; may be repeated.")
@click.option(
    "--package", "packages", multiple=True, help="A Debian package laid over the pod's files; may be repeated."
)
@click.option(
    "--persist", multiple=True, metavar="PATH", help="A path kept until the object is deleted; may be repeated."
)
@click.option("--user", type=int, help="The uid it runs as unless the pod says otherwise; 0 if not given.")
@click.option("--workdir", help="Where it starts; / if not given.")
@click.pass_context
def add(  # noqa: PLR0917 -- one parameter an option
    ctx: click.Context,
    pattern: str,
    command: tuple[str, ...],
    environment: tuple[str, ...],
    packages: tuple[str, ...],
    persist: tuple[str, ...],
    user: int | None,
    workdir: str | None,
) -> None:
    """Add an entry for the images that match PATTERN (`*` stands for anything), or replace it."""
    entry: dict[str, object] = {"match": pattern, "command": list(command)}
    variables = dict(_variable(text) for text in environment)
    given = {"env": variables, "packages": list(packages), "persist": list(persist), "user": user, "workdir": workdir}
    entry |= {name: value for name, value in given.items() if value not in (None, {}, [])}
    try:
        added = _user_table(ctx).add(entry)
    except TableError as error:
        stop(str(error), FAILED)
    click.echo(f"{added.match} -> {shlex.join(added.command)}")


@image.command("remove")
@click.argument("pattern")
@click.pass_context
def remove(ctx: click.Context, pattern: str) -> None:
    """Remove the user's entry with this PATTERN; running pods go on."""
    try:
        found = _user_table(ctx).remove(pattern)
    except TableError as error:
        stop(str(error), FAILED)
    if not found:
        stop(f"no entry of yours has the pattern {pattern!r}; see: plait image list", FAILED)


@image.command("list")
@click.pass_context
def show(ctx: click.Context) -> None:
    """List the entries, the ones that win last."""
    rows: list[tuple[str, ...]] = []
    for path in table_paths(mesh(ctx).state):
        try:
            entries = read_table(path) if path.exists() else ()
        except TableError as error:
            stop(str(error), FAILED)
        rows += [(entry.match, _command(entry), ",".join(entry.packages), _short(path)) for entry in entries]
    click.echo(table(("IMAGE", "COMMAND", "PACKAGES", "TABLE"), rows))


def _user_table(ctx: click.Context) -> UserTable:
    return UserTable(table_paths(mesh(ctx).state)[-1])


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r}: write NAME=VALUE", param_hint="--env")
    return name, value


def _command(entry: Image) -> str:
    """The command on one line: programs may be written out in the table, over many."""
    words = shlex.join((*entry.command, *entry.args)) or f"({entry.role})"
    first, newline, _ = words.partition("\n")
    return f"{first} …" if newline else first


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
