"""`plait load`: fortio's load generator under plait's name."""

from __future__ import annotations

import click

from plait.load import fortio


@click.command(
    "load",
    epilog="""\b
Examples:
  plait load -c 3 -qps 0 -n 20 http://127.0.0.1:8080/     20 calls on 3 connections, as fast as possible
  plait load -qps 50 -t 1m -json result.json http://h/    50 a second for a minute; the result as JSON
  plait load -curl http://127.0.0.1:8080/                 one call: headers and body
  plait load -h                                           all flags
""",
    short_help="Put load on a URL and measure it, as fortio does.",
    # -h and -help are fortio's: they list the flags.
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["--help"],
    },
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[FLAGS] URL")
@click.pass_context
def load(ctx: click.Context, *, arguments: tuple[str, ...]) -> None:
    """Put load on a URL and measure it: fortio's flags, text, JSON and exit status.

    The same as `fortio load`. Exit status: 0 when a run came about, whatever was answered; 1 when not; 2 wrong flags.
    """
    ctx.exit(fortio.main(["load", *arguments]))
