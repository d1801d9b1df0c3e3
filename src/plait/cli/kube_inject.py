"""`plait kube-inject`: the sidecar written into manifests, for those who do not label the namespace."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from plait.app.objects.given import Given, ObjectsError, read_given
from plait.cli.manifests import refuse, write
from plait.inject import AnnotationError, InjectConfig
from plait.inject.workload import inject_workload


@click.command(
    "kube-inject",
    epilog="""\b
Examples:
  plait kube-inject -f shop.yaml | kubectl apply -f -
  plait kube-inject -f shop.yaml -o shop-with-sidecars.yaml
  kubectl get deployment front-end -o yaml | plait kube-inject -f - | kubectl apply -f -
""",
)
@click.option(
    "-f", "--filename", "files", multiple=True, required=True, metavar="FILE|DIR|-", help="Manifests; - for stdin."
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write here, not to stdout.")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of objects that name none.")
def kube_inject(*, files: tuple[str, ...], output: Path | None, namespace: str) -> None:
    """Print manifests with the sidecar in every pod and pod template; all other objects as they are.

    Needs no mesh. What has plait's sidecar stays as it is, so that it can be done twice; a sidecar of another make is
    replaced with a warning. Pods made from the result are not injected again. A pod that says
    sidecar.istio.io/inject: "false" is left alone.
    """
    try:
        given = read_given(files, stdin=sys.stdin.read)
        made = [_injected(one, namespace) for one in given]
    except ObjectsError as error:
        refuse(error, "nothing was written")
    write(made, output)


def _injected(one: Given, namespace: str) -> dict[str, object]:
    try:
        made = inject_workload(one.obj, namespace=namespace, config=InjectConfig())
    except AnnotationError as error:
        above = {"Pod": "", "CronJob": "spec.jobTemplate.spec.template."}.get(str(one.obj["kind"]), "spec.template.")
        path = f"{above}metadata.annotations.{error.annotation}"
        raise ObjectsError([f"{one.where(path)}: {one.title}: {error}"]) from error
    for warning in made.warnings:
        click.echo(f"Warning: {one.where()}: {warning}", err=True)
    return made.pod
