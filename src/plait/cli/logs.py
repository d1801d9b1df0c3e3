"""`plait logs`: what plait's own processes wrote, and what a sidecar wrote about requests, in words."""

from __future__ import annotations

from pathlib import Path

import click

from plait.app.logtail import follow, last_lines, text_of
from plait.cli.context import FAILED, mesh, run, stop
from plait.cli.proxy_target import client_from, find_pod
from plait.proxy.accesslog import Explainer

_PROXY = "istio-proxy"


@click.command(
    epilog="""\b
Examples:
  plait logs                                   what there is
  plait logs node -f                           the node's log as it grows
  plait logs api --tail 50
  plait logs --proxy front-end-5b8c.sock-shop  requests through a sidecar, their flags explained
  plait logs --proxy deploy/istio-ingressgateway -n istio-system -f --errors

Other logs of pods are kubectl's: kubectl logs -n istio-system deploy/istiod
"""
)
@click.argument("process", required=False)
@click.option("--proxy", metavar="POD[.NAMESPACE]|deploy/NAME", help="The access log of this pod's istio-proxy.")
@click.option("-n", "--namespace", help="The pod's namespace.")
@click.option("--errors", is_flag=True, help="With --proxy: only requests that there is something to explain about.")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as the log grows; end with Ctrl-C.")
@click.option("--tail", default=200, show_default=True, help="How many lines from the end; -1 for all.")
@click.pass_context
def logs(  # noqa: PLR0917 -- one parameter an option
    ctx: click.Context,
    process: str | None,
    proxy: str | None,
    namespace: str | None,
    errors: bool,
    following: bool,
    tail: int,
) -> None:
    """Show the log of one of plait's own processes (launcher, api, node, relay, agent), or a sidecar's access log.

    With --proxy each line's response flags are explained below it: what happened, the usual cause, what to look at.
    """
    if proxy is not None:
        if process is not None:
            raise click.UsageError("say either a process or --proxy POD")
        _explained(ctx, proxy, namespace, errors=errors, following=following, tail=tail)
        return
    folder = mesh(ctx).state.logs
    files = {path.stem: path for path in sorted(folder.glob("*.log"))} if folder.exists() else {}
    if process is None:
        for name, path in files.items():
            click.echo(f"{name:10} {path} ({path.stat().st_size} bytes)")
        return
    if process not in files:
        stop(f"no log of {process!r}; there is: {', '.join(files) or 'none yet'}", FAILED)
    for line in last_lines(files[process], tail):
        click.echo(text_of(line))
    if following:
        try:
            run(_follow(files[process]))
        except KeyboardInterrupt:
            return


async def _follow(path: Path) -> None:
    async for line in follow(path):
        click.echo(text_of(line))


def _explained(
    ctx: click.Context, target: str, namespace: str | None, *, errors: bool, following: bool, tail: int
) -> None:
    async def work() -> None:
        async with client_from(ctx) as client:
            pod = await find_pod(client, target, namespace)
            explainer = Explainer(pod.id)
            rest = b""
            count = None if tail < 0 else tail
            chunks = client.logs(pod.namespace, pod.name, container=_PROXY, follow=following, tail=count)
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    _print(line, explainer, errors=errors)
            if rest:
                _print(rest, explainer, errors=errors)

    try:
        run(work())
    except KeyboardInterrupt:
        return


def _print(line: bytes, explainer: Explainer, *, errors: bool) -> None:
    text = line.decode("utf-8", "replace")
    words = explainer.explain(text)
    if words or not errors:
        click.echo(text)
    for word in words:
        click.echo(f"    {word}")
