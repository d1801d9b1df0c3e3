"""The `plait` command: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from plait.app.state import State
from plait.cli.context import Mesh
from plait.cli.lazy import LazyGroup

#: Commands and where they are.
_COMMANDS: Final = {
    "analyze": "plait.cli.analyze:analyze",
    "apply": "plait.cli.objects:apply",
    "completion": "plait.cli.completion:completion",
    "create": "plait.cli.objects:create",
    "delete": "plait.cli.objects:delete",
    "describe": "plait.cli.objects:describe_command",
    "diff": "plait.cli.diff:diff",
    "explain": "plait.cli.explain:explain_command",
    "dev": "plait.cli.dev:dev",
    "doctor": "plait.cli.status:doctor",
    "down": "plait.cli.up:down",
    "get": "plait.cli.objects:get",
    "image": "plait.cli.image:image",
    "kube-inject": "plait.cli.kube_inject:kube_inject",
    "kubeconfig": "plait.cli.status:kubeconfig",
    "load": "plait.cli.load:load",
    "logs": "plait.cli.logs:logs",
    "proxy-config": "plait.cli.proxy_config:proxy_config",
    "proxy-status": "plait.cli.proxy_status:proxy_status",
    "replace": "plait.cli.objects:replace",
    "status": "plait.cli.status:status",
    "up": "plait.cli.up:up",
    "validate": "plait.cli.validate:validate",
    "version": "plait.cli.status:version",
}


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
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


if __name__ == "__main__":
    main(prog_name="plait")
