"""`plait logs`: what plait's own processes wrote."""

from __future__ import annotations

from pathlib import Path

import click

from plait.app.logtail import follow, last_lines, text_of
from plait.cli.context import FAILED, mesh, run, stop


@click.command(
    epilog="""\b
Examples:
  plait logs                 what there is
  plait logs node -f         the node's log as it grows
  plait logs api --tail 50

Logs of pods are kubectl's: kubectl logs -n istio-system deploy/istiod
"""
)
@click.argument("process", required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as the log grows; end with Ctrl-C.")
@click.option("--tail", default=200, show_default=True, help="How many lines from the end; -1 for all.")
@click.pass_context
def logs(ctx: click.Context, *, process: str | None, following: bool, tail: int) -> None:
    """Show the log of one of plait's own processes: launcher, api, node, relay."""
    folder = mesh(ctx).state.logs
    files = {path.stem: path for path in sorted(folder.glob("*.log"))} if folder.exists() else {}
    if process is None:
        for name, path in files.items():
            click.echo(f"{name:10} {path} ({path.stat().st_size} bytes)")
        return
    if process not in files:
        stop(f"no log of {process!r}; there is: {', '.join(files) or 'none yet'}", FAILED)
    for line in last_lines(files[process], tail):
        click.echo(text_of(line))
    if following:
        try:
            run(_follow(files[process]))
        except KeyboardInterrupt:
            return


async def _follow(path: Path) -> None:
    async for line in follow(path):
        click.echo(text_of(line))
