"""The `plait` command: parse, call, print."""

from __future__ import annotations

from pathlib import Path

import click

from plait.app.state import State
from plait.cli.completion import completion
from plait.cli.context import Mesh
from plait.cli.image import image
from plait.cli.kube_inject import kube_inject
from plait.cli.load import load
from plait.cli.logs import logs
from plait.cli.objects import apply, create, delete, describe_command, get, replace
from plait.cli.proxy_config import proxy_config
from plait.cli.proxy_status import proxy_status
from plait.cli.status import doctor, kubeconfig, status, version
from plait.cli.up import down, up


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  plait up --demo sock-shop        a mesh with the Sock Shop, ready in seconds
  export KUBECONFIG=$(plait kubeconfig --path)
  kubectl get pods -A
  plait proxy-status               which proxies have which configuration
  plait down                       stop; the objects are kept
""",
)
@click.option("--name", default="default", envvar="PLAIT_NAME", show_default=True, help="Which mesh of this machine.")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Talk to this cluster instead of the machine's mesh.",
)
@click.pass_context
def main(ctx: click.Context, *, name: str, kubeconfig: Path | None) -> None:
    """Run a service mesh: Istio's YAML, stock Envoy, one Linux machine or Kubernetes."""
    try:
        state = State.of(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--name") from error
    ctx.obj = Mesh(state, kubeconfig or state.kubeconfig)


for command in (up, down, status, doctor, kubeconfig, image, logs, version, proxy_status, proxy_config, completion):
    main.add_command(command)
for command in (apply, create, replace, delete, get, describe_command, kube_inject, load):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="plait")
