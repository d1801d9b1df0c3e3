"""`istioctl`: plait's commands under Istio's names, for hands and scripts that know those."""

from __future__ import annotations

import os
from pathlib import Path

import click

from plait.analyze.tls_check import COLUMNS as TLS_COLUMNS
from plait.analyze.tls_check import tls_rows
from plait.analyze.world import World
from plait.cli.analyze import mesh_objects
from plait.cli.context import FAILED, Mesh, mesh, state_of, stop
from plait.cli.group import CommandGroup
from plait.cli.istioctl_analyze import analyze
from plait.cli.kube_inject import kube_inject
from plait.cli.objects import apply, create, delete, get, replace
from plait.cli.proxy_config import config_dump, proxy_config
from plait.cli.proxy_status import proxy_status
from plait.cli.proxy_target import table
from plait.cli.status import version
from plait.cli.workload import workload
from plait.kube.access import Access
from plait.proxy.authorization import COLUMNS, policy_rows
from plait.proxy.dump import extensions, listeners

_ALIASES = {"ps": "proxy-status", "pc": "proxy-config", "x": "experimental", "exp": "experimental"}


@click.group(
    cls=CommandGroup,
    aliases=_ALIASES,
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
    state = state_of(name)
    # Istio's tool follows the variable that kubectl does, so that both always speak of the same cluster.
    variable = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    chosen = kubeconfig or (Path(variable) if variable else None)
    ctx.obj = Mesh(state, chosen or state.kubeconfig)


@click.group(cls=CommandGroup)
def authn() -> None:
    """Authentication between workloads."""


@authn.command(
    "tls-check",
    epilog="""\b
Examples:
  istioctl authn tls-check
  istioctl authn tls-check carts.sock-shop.svc.cluster.local -n sock-shop
""",
)
@click.argument("names", metavar="[POD] [HOST[:PORT]]", nargs=-1)
@click.option("-n", "--namespace", help="Whose calls are looked at; usual is the namespace of the current context.")
@click.pass_context
def tls_check(ctx: click.Context, *, names: tuple[str, ...], namespace: str | None) -> None:
    """Show how Services are spoken to inside the mesh, and which policy and DestinationRule have a say.

    SERVER is what the pods take, CLIENT what sidecars send.
    """
    if len(names) > 2:
        raise click.UsageError("say at most a pod and a host")
    host = names[-1] if names else ""
    place = namespace or Access.from_kubeconfig(mesh(ctx).kubeconfig).namespace
    world = World(mesh_objects(ctx, files=False, use_mesh=True))
    rows = tuple(tls_rows(world, place, host))
    if not rows:
        stop(f"no Service has the host {host!r}; write NAME.NAMESPACE, or say nothing to see all", FAILED)
    click.echo(table(TLS_COLUMNS, [row.cells for row in rows]))


@click.group(cls=CommandGroup)
def experimental() -> None:
    """What Istio's tool has under `x`."""


@experimental.group(cls=CommandGroup)
def authz() -> None:
    """Authorization of workloads."""


@authz.command(
    "check",
    epilog="""\b
Examples:
  istioctl x authz check deploy/front-end -n sock-shop
  istioctl x authz check front-end-5b8c.sock-shop
""",
)
@click.argument("target", metavar="POD|KIND/NAME[.NAMESPACE]")
@click.option("-n", "--namespace", help="Namespace of the pod; usual is that of the current context.")
@click.pass_context
def authz_check(ctx: click.Context, *, target: str, namespace: str | None) -> None:
    """Show which AuthorizationPolicies the Envoy in a pod has, and how many of their rules."""
    dump = config_dump(ctx, target, namespace)
    rows = policy_rows(each.resource for each in (*listeners(dump), *extensions(dump)))
    click.echo(table(COLUMNS, [row.cells for row in rows]))


experimental.add_command(workload)

for command in (
    experimental,
    apply,
    create,
    replace,
    delete,
    get,
    proxy_status,
    proxy_config,
    kube_inject,
    version,
    analyze,
    authn,
):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="istioctl")
