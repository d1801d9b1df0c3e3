"""`istioctl analyze`: plait's analysis with the flags and the manners of Istio's tool."""

from __future__ import annotations

from pathlib import Path

import click

from plait.analyze.registry import ANALYZERS
from plait.analyze.suppress import Suppression, Suppressions
from plait.app.analysis import Question, Scope, answer
from plait.cli.analyze import (
    FAILURE,
    IGNORE_UNKNOWN,
    LEVELS,
    MESH_CONFIG,
    SHOWN,
    SUPPRESS,
    fails,
    given_objects,
    mesh_objects,
    read_settings,
    show,
    wants_namespace,
)
from plait.cli.context import FAILED, mesh
from plait.cli.objects import RECURSIVE
from plait.kube.access import Access


@click.command(
    epilog="""\b
Examples:
  istioctl analyze                       the running mesh, namespace of the current context
  istioctl analyze -A
  istioctl analyze a.yaml b.yaml         files laid over the mesh
  istioctl analyze --use-kube=false -R my-istio-config/
"""
)
@click.argument("files", nargs=-1, metavar="[FILE|DIR|-]…")
@RECURSIVE
@click.option("-n", "--namespace", help="Show findings of this namespace; usual is that of the current context.")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Show findings of every namespace.")
@click.option(
    "-k",
    "--use-kube",
    type=bool,
    default=True,
    show_default=True,
    help="Lay the files over the running mesh; false leaves the mesh out.",
)
@click.option("-o", "--output", type=click.Choice(["log", "json", "yaml"]), default="log", help="How to print it.")
@click.option("--color/--no-color", default=True, help="Colours are used on terminals only, whatever this says.")
@click.option("-v", "--verbose", is_flag=True, help="Say how many analyzers ran.")
@click.option("--timeout", help="Has no effect: an analysis takes well under a second.")
@click.option("--revision", help="Has no effect: there is one control plane.")
@FAILURE
@SHOWN
@SUPPRESS
@MESH_CONFIG
@IGNORE_UNKNOWN
@click.option("-L", "--list-analyzers", "listing", is_flag=True, help="List the analyzers and what each reports.")
@click.pass_context
def analyze(
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    recursive: bool,
    namespace: str | None,
    everywhere: bool,
    use_kube: bool,
    output: str,
    color: bool,
    verbose: bool,
    timeout: str | None,
    revision: str | None,
    failure_threshold: str,
    output_threshold: str,
    suppressed: tuple[Suppression, ...],
    mesh_config: Path | None,
    ignore_unknown: bool,
    listing: bool,
) -> None:
    """Find what is wrong with the configuration: `plait analyze` with the flags of Istio's tool."""
    del color, timeout, revision
    if listing:
        for analyzer in ANALYZERS:
            click.echo(f"* {analyzer.name}: {', '.join(message.name for message in analyzer.messages)}")
        return
    given, whole = given_objects(files, recursive=recursive, ignore_unknown=ignore_unknown)
    objects = mesh_objects(ctx, files=bool(files), use_mesh=use_kube)
    place = namespace or (_context_namespace(ctx) if use_kube else "default")
    question = Question(
        given=given,
        mesh=objects,
        namespace=place,
        scope=Scope(namespace=None if everywhere or files else place),
        suppressions=Suppressions(suppressed),
        mesh_config=read_settings(mesh_config),
    )
    if not files and not everywhere:
        wants_namespace(objects, place)
    reported = answer(question)
    if verbose:
        click.echo(f"{sum(analyzer.usual for analyzer in ANALYZERS)} analyzers ran", err=True)
    show(reported, "text" if output == "log" else output, whole=whole, threshold=LEVELS[output_threshold])
    ctx.exit(0 if whole and not fails(reported, failure_threshold) else FAILED)


def _context_namespace(ctx: click.Context) -> str:
    return Access.from_kubeconfig(mesh(ctx).kubeconfig).namespace
