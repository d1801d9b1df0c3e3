"""`plait proxy-config`: what an Envoy has, read from its admin interface."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

import click

from plait.cli.context import run, stop
from plait.cli.group import CommandGroup
from plait.cli.proxy_target import admin, client_from, find_pod, has_proxy, print_data, table
from plait.kube.errors import ApiError
from plait.proxy import dump as dumps
from plait.proxy.admin import Admin, AdminError
from plait.proxy.authorization import extension_rows
from plait.proxy.clusters import cluster_matches, cluster_rows, endpoint_rows
from plait.proxy.listeners import listener_matches, listener_rows
from plait.proxy.routes import route_rows

LISTENER = ("ADDRESSES", "PORT", "MATCH", "DESTINATION")
ROUTE = ("NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE")
CLUSTER = ("SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE")
SECRET = ("RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE", "IDENTITY")
EXTENSION = ("ECDS NAME", "TYPE")
ENDPOINT = ("ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER")

Options = Callable[[Callable[..., None]], Callable[..., None]]


def _common(default: str = "table") -> Options:
    """The argument and options that all subcommands have."""

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        for option in (
            click.pass_context,
            click.option(
                "-o",
                "--output",
                type=click.Choice(["table", "json", "yaml"]),
                default=default,
                show_default=True,
                help="How to print it.",
            ),
            click.option("-n", "--namespace", help="The pod's namespace; else the kubeconfig's."),
            click.argument("target", metavar="POD[.NAMESPACE]|deploy/NAME"),
        ):
            command = option(command)
        return command

    return wrap


def _ask(
    ctx: click.Context, target: str, namespace: str | None, question: Callable[[Admin], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    async def work() -> dict[str, Any]:
        async with client_from(ctx) as client:
            pod = await find_pod(client, target, namespace)
            try:
                return await question(admin(client, pod))
            except (AdminError, ApiError) as error:
                if not await has_proxy(client, pod):
                    stop(f"pod {pod.id} has no proxy; those that have one: plait proxy-status")
                stop(str(error))

    return run(work())


def config_dump(ctx: click.Context, target: str, namespace: str | None, *, endpoints: bool = False) -> dict[str, Any]:
    """What the Envoy in a pod holds, as it says itself; ends the command where that cannot be asked."""
    return _ask(ctx, target, namespace, lambda envoy: envoy.config_dump(endpoints=endpoints))


#: The other names Istio's users type.
_ALIASES = {
    "clusters": "cluster",
    "c": "cluster",
    "listeners": "listener",
    "l": "listener",
    "routes": "route",
    "r": "route",
    "endpoints": "endpoint",
    "ep": "endpoint",
    "ec": "ecds",
    "b": "bootstrap",
    "secrets": "secret",
    "s": "secret",
    "a": "all",
}


@click.group(
    "proxy-config",
    cls=CommandGroup,
    aliases=_ALIASES,
    short_help="Show the configuration of an Envoy.",
    epilog="""\b
Examples:
  plait proxy-config listener front-end-5b8c.sock-shop
  plait proxy-config route deploy/front-end -n sock-shop --name 80
  plait proxy-config cluster deploy/front-end -n sock-shop --fqdn catalogue.sock-shop.svc.cluster.local
  plait proxy-config endpoint deploy/front-end -n sock-shop --status healthy
  plait proxy-config ecds deploy/front-end -n sock-shop
  plait proxy-config secret deploy/front-end -n sock-shop
  plait proxy-config all deploy/istio-ingressgateway -n istio-system -o json
""",
)
def proxy_config() -> None:
    """Show the configuration of the Envoy in a pod, as Envoy itself reports it."""


@proxy_config.command()
@_common()
@click.option("--port", type=int, help="Only listeners on this port.")
@click.option("--address", help="Only listeners on this address.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["HTTP", "TCP", "HTTP+TCP"], case_sensitive=False),
    help="Only listeners of this type.",
)
def listener(
    ctx: click.Context,
    *,
    target: str,
    namespace: str | None,
    output: str,
    port: int | None,
    address: str | None,
    kind: str | None,
) -> None:
    """Listeners: what each filter chain matches and where it leads."""
    found = [
        entry.resource
        for entry in dumps.listeners(config_dump(ctx, target, namespace))
        if listener_matches(entry.resource, port=port, address=address, kind=kind)
    ]
    if output == "table":
        click.echo(table(LISTENER, listener_rows(found)))
    else:
        print_data(found, output)


@proxy_config.command()
@_common()
@click.option("--name", help="Only the route configuration of this name.")
def route(ctx: click.Context, *, target: str, namespace: str | None, output: str, name: str | None) -> None:
    """Routes, in the order in which Envoy tries them, with the VirtualService each comes from."""
    found = [
        entry.resource
        for entry in dumps.routes(config_dump(ctx, target, namespace))
        if name is None or entry.resource.get("name") == name
    ]
    if output == "table":
        click.echo(table(ROUTE, route_rows(found)))
    else:
        print_data(found, output)


@proxy_config.command()
@_common()
@click.option("--fqdn", help="Only clusters of hosts that begin with this.")
@click.option("--port", type=int, help="Only clusters of this port.")
@click.option("--subset", help="Only clusters of this subset.")
@click.option("--direction", type=click.Choice(["inbound", "outbound"]), help="Only clusters of this direction.")
def cluster(
    ctx: click.Context,
    *,
    target: str,
    namespace: str | None,
    output: str,
    fqdn: str | None,
    port: int | None,
    subset: str | None,
    direction: str | None,
) -> None:
    """Clusters, with the DestinationRule each is shaped by."""
    found = [
        entry.resource
        for entry in dumps.clusters(config_dump(ctx, target, namespace))
        if cluster_matches(entry.resource, fqdn=fqdn, port=port, subset=subset, direction=direction)
    ]
    if output == "table":
        click.echo(table(CLUSTER, cluster_rows(found)))
    else:
        print_data(found, output)


@proxy_config.command()
@_common()
@click.option("--cluster", "cluster_name", help="Only endpoints of this cluster, for example outbound|80||host.")
@click.option("--address", help="Only endpoints at this address.")
@click.option("--port", type=int, help="Only endpoints at this port.")
@click.option("--status", help="Only endpoints with this status: healthy, unhealthy, draining, …")
def endpoint(
    ctx: click.Context,
    *,
    target: str,
    namespace: str | None,
    output: str,
    cluster_name: str | None,
    address: str | None,
    port: int | None,
    status: str | None,
) -> None:
    """Endpoints, with the health Envoy sees."""
    statuses = _ask(ctx, target, namespace, Admin.clusters)
    rows = endpoint_rows(statuses, cluster=cluster_name, address=address, port=port, status=status)
    if output == "table":
        click.echo(table(ENDPOINT, rows))
    else:
        kept = {row.cluster for row in rows}
        print_data([each for each in statuses.get("cluster_statuses") or () if each.get("name") in kept], output)


@proxy_config.command()
@_common()
def ecds(ctx: click.Context, *, target: str, namespace: str | None, output: str) -> None:
    """Configurations of filters that come by ECDS: those of authorization and tokens, and what EnvoyFilters add."""
    found = [entry.resource for entry in dumps.extensions(config_dump(ctx, target, namespace))]
    if output == "table":
        click.echo(table(EXTENSION, extension_rows(found)))
    else:
        print_data(found, output)


@proxy_config.command()
@_common()
def secret(ctx: click.Context, *, target: str, namespace: str | None, output: str) -> None:
    """Certificates: how long they are valid, and whose they are. Private keys are never shown."""
    # Reading certificates takes a library that no other command here has a use for.
    from plait.proxy.secrets import secret_rows, secrets  # noqa: PLC0415

    found = config_dump(ctx, target, namespace)
    if output != "table":
        print_data(secrets(found), output)
    elif rows := secret_rows(found, dt.datetime.now(dt.UTC)):
        click.echo(table(SECRET, rows))
    else:
        click.echo("no secrets: nothing in this proxy uses a certificate yet")


@proxy_config.command()
@_common(default="json")
def bootstrap(ctx: click.Context, *, target: str, namespace: str | None, output: str) -> None:
    """The bootstrap Envoy was started with."""
    found = dumps.bootstrap(config_dump(ctx, target, namespace))
    if output != "table":
        print_data({"bootstrap": found}, output)
        return
    node = found.get("node") or {}
    metadata = node.get("metadata") or {}
    rows = [
        ("id", str(node.get("id", ""))),
        ("cluster", str(node.get("cluster", ""))),
        ("namespace", str(metadata.get("NAMESPACE", ""))),
        ("service account", str(metadata.get("SERVICE_ACCOUNT", ""))),
        ("version", str(metadata.get("ISTIO_VERSION", ""))),
        ("envoy", _envoy_version(node)),
    ]
    click.echo(table(("FIELD", "VALUE"), rows))


def _envoy_version(node: dict[str, Any]) -> str:
    version = (node.get("user_agent_build_version") or {}).get("version") or {}
    return ".".join(str(version.get(part, 0)) for part in ("major_number", "minor_number", "patch")) if version else ""


@proxy_config.command("all")
@_common()
def everything(ctx: click.Context, *, target: str, namespace: str | None, output: str) -> None:
    """Clusters, listeners, routes, endpoints and extensions one after the other; with -o the whole dump."""
    if output != "table":
        print_data(config_dump(ctx, target, namespace, endpoints=True), output)
        return

    async def both(envoy: Admin) -> dict[str, Any]:
        return {"dump": await envoy.config_dump(endpoints=False), "clusters": await envoy.clusters()}

    found = _ask(ctx, target, namespace, both)
    dump = found["dump"]
    click.echo(table(CLUSTER, cluster_rows(entry.resource for entry in dumps.clusters(dump))) + "\n")
    click.echo(table(LISTENER, listener_rows(entry.resource for entry in dumps.listeners(dump))) + "\n")
    click.echo(table(ROUTE, route_rows(entry.resource for entry in dumps.routes(dump))) + "\n")
    click.echo(table(ENDPOINT, endpoint_rows(found["clusters"])))
    if rows := extension_rows(entry.resource for entry in dumps.extensions(dump)):
        click.echo("\n" + table(EXTENSION, rows))
