"""`plait completion SHELL`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from plait.cli.context import stop


@click.command(
    epilog="""\b
Examples:
  source <(plait completion bash)
  plait completion zsh > "${fpath[1]}/_plait"
  plait completion fish > ~/.config/fish/completions/plait.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> None:
    """Print the completion script of a shell."""
    found = get_completion_class(shell)
    if found is None:
        stop(f"no completion for {shell}")
    click.echo(found(ctx.find_root().command, {}, "plait", "_PLAIT_COMPLETE").source())
