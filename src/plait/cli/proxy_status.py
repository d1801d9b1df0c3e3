"""`plait proxy-status`: which proxies have which configuration."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click
import msgspec

from plait.cli.context import FAILED, run, stop
from plait.cli.proxy_target import Pod, admin, client_from, find_pod, istiods, monitoring, print_data, table
from plait.kube.client import Client
from plait.proxy.admin import AdminError
from plait.proxy.sync import compare, refusals, sync_rows, unanswered

COLUMNS = ("NAME", "CLUSTER", "CDS", "LDS", "EDS", "RDS", "ECDS", "ISTIOD", "VERSION", "SETTLED")


@click.command(
    "proxy-status",
    epilog="""\b
Examples:
  plait proxy-status                               all proxies
  plait proxy-status front-end-5b8c.sock-shop      one proxy, compared with what istiod has for it
  plait proxy-status deploy/front-end -n sock-shop
  plait proxy-status -o json
""",
)
@click.argument("target", metavar="[POD[.NAMESPACE]|deploy/NAME]", required=False)
@click.option("-n", "--namespace", help="The pod's namespace; without a pod, only proxies of this namespace.")
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", help="How to print it.")
@click.pass_context
def proxy_status(ctx: click.Context, *, target: str | None, namespace: str | None, output: str) -> None:
    """Show whether each proxy has accepted the newest configuration.

    SYNCED: it acknowledged the last thing it was sent. STALE: it has not answered yet. NACK: it refused something;
    the reason follows below. NOT SENT: it waits for a first answer. IGNORED: it never asked for this type.

    SETTLED says more than an acknowledgement: YES when everything objects wait for is in effect in the data plane,
    WAITING or WARMING while it is not, NO ANSWER when the proxy could not be asked.

    Exit status: 1 when a proxy refused something or, for one pod, when it differs from istiod.
    """
    if target is None:
        _all(ctx, namespace, output)
    else:
        _one(ctx, target, namespace, output)


def _all(ctx: click.Context, namespace: str | None, output: str) -> None:
    async def work() -> list[tuple[Pod, list[dict[str, Any]]]]:
        async with client_from(ctx) as client:
            return [(pod, await _syncz(client, pod)) for pod in await istiods(client)]

    found = [
        (pod, [p for p in proxies if namespace is None or str(p.get("proxy", "")).endswith(f".{namespace}")])
        for pod, proxies in run(work())
    ]
    flat = [proxy for _, proxies in found for proxy in proxies]
    refused = refusals(flat)
    if output == "table":
        rows = sorted(row for pod, proxies in found for row in sync_rows(proxies, istiod=pod.name))
        click.echo(table(COLUMNS, rows) if rows else "no proxies are connected")
        for line in (*refused, *unanswered(flat)):
            click.echo(line)
    else:
        print_data(flat, output)
    ctx.exit(FAILED if refused else 0)


def _one(ctx: click.Context, target: str, namespace: str | None, output: str) -> None:
    async def work() -> tuple[Pod, dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
        async with client_from(ctx) as client:
            pod = await find_pod(client, target, namespace)
            istiod, proxies = await _istiod_of(client, pod)
            wanted = await _get(client, istiod, f"/debug/config_dump?proxyID={quote(pod.id)}")
            try:
                actual = await admin(client, pod).config_dump()
            except AdminError as error:
                stop(str(error))
            return pod, wanted, actual, proxies

    pod, wanted, actual, proxies = run(work())
    differences = compare(wanted, actual)
    refused = refusals(proxies)
    if output == "table":
        for kind, lines in differences.items():
            click.echo(f"{kind} Match" if not lines else f"{kind} Don't Match ({pod.id})")
            for line in lines:
                click.echo(f"  {line}")
        for line in refused:
            click.echo(line)
    else:
        print_data({"proxy": pod.id, "differences": differences, "refused": refused}, output)
    ctx.exit(FAILED if refused or any(differences.values()) else 0)


async def _istiod_of(client: Client, pod: Pod) -> tuple[Pod, list[dict[str, Any]]]:
    """The control plane a proxy is connected to, and what that says about it."""
    found = [
        (istiod, proxies)
        for istiod in await istiods(client)
        if (proxies := [proxy for proxy in await _syncz(client, istiod) if proxy.get("proxy") == pod.id])
    ]
    if not found:
        stop(f"proxy {pod.id} is not connected to istiod; see all that are: plait proxy-status")
    return found[0]


async def _syncz(client: Client, istiod: Pod) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = await _get(client, istiod, "/debug/syncz")
    return answer


async def _get(client: Client, istiod: Pod, path: str) -> Any:
    try:
        return msgspec.json.decode(await monitoring(client, istiod).get(path))
    except (AdminError, msgspec.MsgspecError) as error:
        stop(f"istiod {istiod.id}: {error}")
