"""`istioctl`: plait's commands under Istio's names, for hands and scripts that know those."""

from __future__ import annotations

import os
from pathlib import Path

import click

from plait.app.state import State
from plait.cli.context import FAILED, Mesh, stop
from plait.cli.istioctl_analyze import analyze
from plait.cli.kube_inject import kube_inject
from plait.cli.objects import apply, create, delete, get, replace
from plait.cli.proxy_config import proxy_config
from plait.cli.proxy_status import proxy_status
from plait.cli.status import version

_ALIASES = {"ps": "proxy-status", "pc": "proxy-config"}


class _Group(click.Group):
    """Knows Istio's short names, without listing them twice."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  istioctl create -f gateway.yaml -n sock-shop
  istioctl replace -f front-end-v2-route.yaml -n sock-shop
  istioctl ps
  istioctl pc routes deploy/istio-ingressgateway -n istio-system
""",
)
@click.option("--name", default="default", envvar="PLAIT_NAME", show_default=True, help="Which mesh of this machine.")
@click.option(
    "-c",
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Talk to this cluster; else to that of KUBECONFIG; else to the machine's mesh.",
)
@click.pass_context
def main(ctx: click.Context, *, name: str, kubeconfig: Path | None) -> None:
    """Do what Istio's tool does, by plait: it is plait's commands under other names."""
    try:
        state = State.of(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--name") from error
    # Istio's tool follows the variable that kubectl does, so that both always speak of the same cluster.
    variable = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    chosen = kubeconfig or (Path(variable) if variable else None)
    ctx.obj = Mesh(state, chosen or state.kubeconfig)


@click.group()
def authn() -> None:
    """Authentication between workloads."""


@authn.command("tls-check", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def tls_check(*, arguments: tuple[str, ...]) -> None:
    """Not part of this version: mutual TLS between sidecars."""
    del arguments
    stop(
        "mutual TLS is not part of this version: sidecars speak plain text to each other, whatever policies and "
        "DestinationRules say. See what a sidecar does for a host: plait proxy-config cluster POD --fqdn HOST",
        FAILED,
    )


for command in (apply, create, replace, delete, get, proxy_status, proxy_config, kube_inject, version, analyze, authn):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="istioctl")
