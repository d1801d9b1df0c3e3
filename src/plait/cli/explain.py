"""`plait explain`: where a call would end up, and which objects decide it."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import Final

import click

from plait.app.explain import Answer, ExplainError, Question, Verdict, ask_envoy, explain
from plait.app.explain_tokens import TokenAnswer
from plait.app.what_if import mesh_of
from plait.cli.context import FAILED, USAGE, run, stop
from plait.cli.proxy_target import client_from, find_pod, give_keys, print_data
from plait.mesh.peers import PeerMode
from plait.proxy.envoy import EnvoyError
from plait.simulate.call import NOBODY, Outcome
from plait.simulate.judgement import Judgement
from plait.xds.authorization.filters import origin_of_rule

_STAGES = (
    ("listener", "listener", ""),
    ("filter_chain", "filter chain", "filter_chain"),
    ("route_configuration", "routes", ""),
    ("virtual_host", "virtual host", "virtual_host"),
    ("route", "route", "route"),
    ("cluster", "cluster", "cluster"),
)


@click.command(
    "explain",
    epilog="""\b
Examples:
  plait explain --from deploy/front-end-v1.sock-shop GET http://catalogue/catalogue
  plait explain --from deploy/istio-ingressgateway.istio-system GET http://127.0.0.1/ -H "Host: shop.example"
  plait explain --from deploy/orders.sock-shop GET http://payment/health -H "x-user: jason" -o json
  plait explain --from deploy/payment.sock-shop --inbound GET http://payment/health
  plait explain --from deploy/payment.sock-shop --inbound --mutual --caller sock-shop/orders POST http://payment/paymentAuth
  plait explain --from deploy/orders.sock-shop GET tcp://orders-db:27017 --envoy
""",
)
@click.option("--from", "source", required=True, metavar="POD|KIND/NAME[.NAMESPACE]", help="Who calls.")
@click.argument("method")
@click.argument("url")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME: VALUE", help="A header of the request.")
@click.option("--inbound", is_flag=True, help="The call arrives at the workload; the URL's port is the container's.")
@click.option("--http2", is_flag=True, help="The caller speaks HTTP/2.")
@click.option("--certificate", is_flag=True, help="The caller of https shows a certificate that the server trusts.")
@click.option("--mutual", is_flag=True, help="It arrives in mutual TLS of the mesh (with --inbound, or at a gateway).")
@click.option("--caller", metavar="NAMESPACE/SERVICEACCOUNT", help="Whose certificate it arrives with (with --mutual).")
@click.option("--source", "address", metavar="ADDRESS", help="Where it comes from (with --inbound, or at a gateway).")
@click.option("--envoy", is_flag=True, help="Ask a scratch Envoy with the same configuration too.")
@click.option("-n", "--namespace", help="Namespace of the caller.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True)
@click.pass_context
def explain_command(
    ctx: click.Context,
    *,
    source: str,
    method: str,
    url: str,
    headers: tuple[str, ...],
    inbound: bool,
    http2: bool,
    certificate: bool,
    mutual: bool,
    caller: str | None,
    address: str | None,
    envoy: bool,
    namespace: str | None,
    output: str,
) -> None:
    """Tell where a call would end up: listener, filter chain, route, cluster and endpoints.

    Each comes with the object and path that decided it, and the routes beside it with the reason why they were not
    taken. Nothing is sent: the answer is computed from the objects of the mesh, as istiod computes configuration. With
    --envoy a real Envoy is started beside it, given the same configuration, and called: exit status 1 if it disagrees.
    """
    question = Question(
        method=method,
        url=url,
        headers=tuple(_header(text) for text in headers),
        inbound=inbound,
        http2=http2,
        certificate=certificate,
        mutual=mutual,
        caller=caller or "",
        source=_source(address),
        now=time.time(),
    )

    async def ask() -> Answer:
        async with client_from(ctx) as client:
            pod = await find_pod(client, source, namespace)
            world = await mesh_of(client)
            await give_keys(client, world)
        node = world.nodes.get((pod.namespace, pod.name))
        if node is None:
            stop(f"{pod.id} has no proxy, so nothing of the mesh decides where its calls go", FAILED)
        try:
            answer = explain(world, node, question)
            return await ask_envoy(world, node, answer) if envoy else answer
        except ExplainError as error:
            stop(str(error), USAGE)
        except (EnvoyError, FileNotFoundError) as error:
            stop(f"the scratch Envoy could not be asked: {error}", FAILED)

    answer = run(ask())
    if output == "text":
        _print(answer)
    else:
        print_data(answer.as_json(), output)
    if answer.verdict is not None and not answer.verdict.agrees:
        raise SystemExit(FAILED)


def _source(text: str | None) -> str:
    try:
        return str(ip_address(text)) if text else ""
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is not an address; write for example 10.1.2.3", param_hint="--source"
        ) from error


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{text!r} is not a header; write NAME: VALUE", param_hint="--header")
    return name.strip(), value.strip()


def _line(title: str, text: str) -> None:
    click.echo(f"{title:<15}{text}")


def _print(answer: Answer) -> None:
    unknown = answer.call.address == NOBODY
    nobody = "the gateway" if answer.gateway else "an address that the mesh does not know"
    address = nobody if unknown else answer.call.address
    how = {"mtls": ", in mutual TLS", "tls": ", in TLS"}.get(answer.call.tls, "")
    _line("connection to", f"{address}, port {answer.call.port}{how}")
    if answer.call.inbound:
        _print_demanded(next(iter(answer.demanded.values()), None))
    _print_token(answer.tokens.get(answer.pod))
    _print_outcome(answer.outcome, answer.allowing.get(answer.pod, ()))
    if answer.hint:
        _line("note", answer.hint)
    others = [(name, origin, why) for name, origin, why in answer.others if why]
    if others:
        click.echo("not taken:")
        for name, origin, why in others:
            click.echo(f"  {origin or name}: {why}")
    for pod, met in answer.arrivals:
        click.echo(f"at {pod}:")
        _print_demanded(answer.demanded.get(pod))
        _print_token(answer.tokens.get(pod))
        _print_outcome(met, answer.allowing.get(pod, ()))
    if answer.verdict is not None:
        _print_verdict(answer.verdict)


def _print_outcome(met: Outcome, allowing: tuple[str, ...]) -> None:
    for field, title, stage in _STAGES:
        value, origin = getattr(met, field), met.origins.get(stage, "")
        if field == "cluster" and met.shares:
            for number, (cluster, share) in enumerate(met.shares):
                _line("" if number else title, f"{share * 100:g} % {cluster}")
        elif value or origin:
            _line(title, (value or "(no name)") + (f"   ({origin})" if origin else ""))
    for judgement in met.judged:
        _print_judgement(judgement, allowing)
    status, share = met.fault
    if share:
        _line("fault", f"{share * 100:g} % of requests are answered with {status}")
    if met.path and not met.status:
        _line("sent as", f"{met.host}{met.path}")
    if met.endpoints and met.endpoints[0].startswith(f"{NOBODY}:"):
        _line("endpoints", "the address that the caller meant")
    elif met.endpoints:
        of = f"   (of {met.cluster})" if met.shares else ""
        _line("endpoints", ", ".join(met.endpoints) + of)
    _print_spoken(met)
    if met.status and not (met.error and met.status == 404):
        _line("answered with", f"{met.status}" + (f" to {met.redirect}" if met.redirect else _reason(met)))
    elif met.error:
        _line("ends with", met.error)
    elif not met.endpoints and met.cluster.startswith("outbound|"):
        _line("ends with", f"503: nobody is behind {met.cluster}")


#: How an endpoint is spoken to; one that may be another for the next endpoint of the same cluster says why.
_SPOKEN: Final = {
    ("mtls", True): "mutual TLS, as the endpoint takes part in it",
    ("plaintext", True): "plain, as the endpoint takes no part in mutual TLS",
    ("mtls", False): "mutual TLS",
    ("tls", False): "TLS",
    ("plaintext", False): "plain",
}


def _print_spoken(met: Outcome) -> None:
    if met.spoken is None or not met.cluster.startswith("outbound"):
        return
    origin = met.origins.get("cluster", "")
    by_rule = origin.startswith("DestinationRule/") and not met.spoken.by_endpoint
    _line("spoken", _SPOKEN[met.spoken.tls, met.spoken.by_endpoint] + (f"   ({origin})" if by_rule else ""))


def _print_judgement(said: Judgement, allowing: tuple[str, ...]) -> None:
    """What one kind of policy says; nothing where it has nothing to say."""
    origin = origin_of_rule(said.rule)
    title = "dry run" if said.tried and not said.asks else "authorization"
    would = "would be " if title == "dry run" else ""
    if said.asks:
        _line(title, f"{said.asks} is asked   ({origin})")
    elif said.action == "LOG":
        if origin is not None:
            _line(title, f"noted   ({origin})")
    elif not said.allowed and origin is not None:
        _line(title, f"{would}denied   ({origin})")
    elif not said.allowed:
        those = ", ".join(allowing if title == "authorization" else _policies(said)) or "none is about such connections"
        _line(title, f"{would}denied: no policy allows it   ({those})")
    elif said.action == "ALLOW":
        _line(title, f"{would}allowed   ({origin})")


def _policies(said: Judgement) -> list[str]:
    found = (origin_of_rule(name) for name in said.names)
    return list(dict.fromkeys(str(origin.object) for origin in found if origin is not None))


def _print_demanded(said: PeerMode | None) -> None:
    if said is not None:
        _line("mutual TLS", f"{said.mode}   ({said.origin or 'nobody says otherwise'})")


def _print_token(said: TokenAnswer | None) -> None:
    if said is None:
        return
    where = f" in {said.place}" if said.place else ""
    _line("token", f"{said.verdict}{where}: {said.words}" + (f"   ({said.origin})" if said.origin else ""))
    if said.principal:
        _line("", f"requestPrincipals: {said.principal}")


def _reason(met: Outcome) -> str:
    return f": there is no cluster {met.cluster}" if met.status == 503 and met.cluster else ""


def _print_verdict(verdict: Verdict) -> None:
    if verdict.agrees:
        _line("envoy", "does the same")
        return
    _line("envoy", "DOES NOT AGREE:")
    for place in verdict.places:
        words = [place.listener, place.filter_chain, place.virtual_host, place.cluster, str(place.status or "")]
        click.echo("  " + (", ".join(word for word in words if word) or "takes no such connection"))
