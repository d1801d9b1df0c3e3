"""`plait status`, `plait doctor`, `plait kubeconfig`, `plait version`."""

from __future__ import annotations

import json
import subprocess

import click

from plait import __version__
from plait.app import checks, overview
from plait.app.plan import envoy_binary
from plait.app.state import command_for
from plait.cli.context import FAILED, MISSING_CAPABILITY, NOT_RUNNING, mesh, run, stop


@click.command(
    epilog="""\b
Examples:
  plait status
  plait status -o json
"""
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
@click.pass_context
def status(ctx: click.Context, *, output: str) -> None:
    """Show whether the mesh runs, its addresses, processes and proxies.

    Exit status: 0 ready, 1 running but not ready, 3 not running.
    """
    state = mesh(ctx).state
    found = run(overview.overview(state))
    if output == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
    if not found["processes"]:
        ctx.exit(NOT_RUNNING)
    ctx.exit(0 if found["ready"] else FAILED)


def _print(found: overview.Overview) -> None:
    if not found["processes"]:
        click.echo(f"the mesh {found['name']!r} is not running; start it with: {command_for(found['name'])} up")
        return
    click.echo(f"mesh {found['name']}: {'ready' if found['ready'] else 'not ready'}")
    for name, url in found["urls"].items():
        click.echo(f"  {name:9} {url}")
    click.echo(f"  {'proxies':9} {found['proxies']['synced']} of {found['proxies']['total']} in sync")
    if "problem" in found:
        click.echo(f"  problem   {found['problem']}")
    for text in found.get("closed", ()):
        click.echo(f"  closed    {text}")
    click.echo("\n    PID  PROCESS")
    for process in sorted(found["processes"], key=lambda process: process["name"].count("/") > 0):
        click.echo(f"{process['pid']:>7}  {process['name']}")


@click.command()
def doctor() -> None:
    """Try out everything a mesh needs of this machine, and print the line that mends what is missing.

    Exit status: 0 all there, 4 something a mesh cannot do without is missing.
    """
    findings = (*checks.examine().findings, *checks.limits())
    for finding in findings:
        if finding.problem is None:
            click.echo(f"✓ {finding.name}" + (f": {finding.found}" if finding.found else ""))
        else:
            click.echo(f"{'✗' if finding.required else '!'} {finding.name}: {finding.problem}\n    fix: {finding.fix}")
    if any(finding.fatal for finding in findings):
        raise click.exceptions.Exit(MISSING_CAPABILITY)


@click.command(
    epilog="""\b
Examples:
  export KUBECONFIG=$(plait kubeconfig --path)
  plait kubeconfig > kubeconfig.yaml
"""
)
@click.option("--path", "path_only", is_flag=True, help="Print only the path of the file.")
@click.pass_context
def kubeconfig(ctx: click.Context, *, path_only: bool) -> None:
    """Print the kubeconfig of the mesh, or where it is."""
    state = mesh(ctx).state
    path = state.kubeconfig
    if not path.exists():
        stop(f"{path} does not exist: the mesh never ran; start it with: {state.command} up", NOT_RUNNING)
    click.echo(path if path_only else path.read_text().rstrip("\n"))


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
def version(*, output: str) -> None:
    """Print the versions of plait and of its Envoy."""
    binary = envoy_binary()
    try:
        said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True).stdout
        envoy = said.strip().rpartition("version: ")[2]
    except (OSError, subprocess.CalledProcessError) as error:
        envoy = f"unknown ({error})"
    if output == "json":
        click.echo(json.dumps({"plait": __version__, "envoy": envoy}))
    else:
        click.echo(f"plait {__version__}\nenvoy {envoy}")
