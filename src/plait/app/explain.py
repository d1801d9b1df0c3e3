"""Where a call would end up, and which objects decide it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from plait.api.spiffe import SCHEME
from plait.app.explain_tokens import TokenAnswer, token_answer
from plait.app.left_out import Asking, left_out
from plait.app.what_if import Mesh
from plait.mesh.node import ProxyNode
from plait.mesh.peers import PeerMode
from plait.simulate.call import NOBODY, STRANGER, Call, Outcome
from plait.simulate.judgement import Judgement
from plait.simulate.simulate import alternatives, simulate
from plait.snapshot.hosts import host_matches, is_wildcard
from plait.trial.agreement import expected
from plait.trial.trial import Place, trial
from plait.xds.authorization.filters import origin_of_rule
from plait.xds.mesh_tls import OFFER_BYTES, OFFER_HTTP1, OFFER_HTTP2

#: RFC 9110, 5.6.2: a token.
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: How often Envoy is asked where dice decide.
_THROWS = 20
#: As many proxies are followed, lest gateways that send to each other be followed for ever.
_HOPS = 5
#: Whoever calls a gateway, or a workload by itself.
OUTSIDE = "10.0.0.1"


class ExplainError(ValueError):
    """The question cannot be asked like that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request or connection in a person's words. `inbound`: it arrives at the workload instead of leaving it.

    `mutual`: it arrives, there or at a gateway, in mutual TLS of the mesh, with the certificate of `caller`
    (NAMESPACE/SERVICEACCOUNT, or a whole SPIFFE identity). `source` is the address that it comes from.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    inbound: bool = False
    http2: bool = False
    certificate: bool = False
    mutual: bool = False
    caller: str = ""
    source: str = ""
    #: The time of day, in seconds since the epoch: tokens end.
    now: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a scratch Envoy did with the same call, and whether the computed answer says the same."""

    agrees: bool
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`pod` is that of the proxy that was asked about. `others` are the routes beside the one taken: name, origin, and
    why it was not taken.

    `arrivals` are what the proxies do that the call meets on its way: that of the first endpoint, where the endpoint is
    a pod with a proxy, and beyond a gateway those after it.
    `demanded` is what workloads that the call arrives at demand of callers, by their pods, in the order of its way.
    `allowing` are the AuthorizationPolicies of which one must allow a call, by the pods where none did.
    `hint` says what may be wrong with the question.
    """

    call: Call
    outcome: Outcome
    pod: str = ""
    gateway: bool = False
    others: tuple[tuple[str, str, str], ...] = ()
    arrivals: tuple[tuple[str, Outcome], ...] = ()
    demanded: Mapping[str, PeerMode] = field(default_factory=dict)
    allowing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: What is said of the call's token wherever somebody looks at it, by the pods of the proxies.
    tokens: Mapping[str, TokenAnswer] = field(default_factory=dict)
    hint: str = ""
    verdict: Verdict | None = None

    def as_json(self) -> dict[str, Any]:
        """What `-o json` prints."""
        result: dict[str, Any] = {"address": f"{self.call.address}:{self.call.port}", **_outcome(self.outcome)}
        result["otherRoutes"] = [
            {"route": name, "origin": origin, "because": why} for name, origin, why in self.others if why
        ]
        result["arrivals"] = [{"pod": pod, **_outcome(met)} for pod, met in self.arrivals]
        result["mutualTLS"] = [
            {"pod": pod, "mode": said.mode, "origin": str(said.origin) if said.origin else None}
            for pod, said in self.demanded.items()
        ]
        result["allowing"] = [{"pod": pod, "policies": list(policies)} for pod, policies in self.allowing.items()]
        result["tokens"] = [{"pod": pod, **asdict(said)} for pod, said in self.tokens.items()]
        result["hint"] = self.hint or None
        if self.verdict is not None:
            places = [_place(place) for place in self.verdict.places]
            result["envoy"] = {"agrees": self.verdict.agrees, "places": places}
        return result


def _outcome(met: Outcome) -> dict[str, Any]:
    return {
        "error": met.error,
        "listener": met.listener,
        "filterChain": met.filter_chain,
        "routeConfiguration": met.route_configuration,
        "virtualHost": met.virtual_host,
        "route": met.route,
        "cluster": met.cluster,
        "shares": [{"cluster": cluster, "percent": round(share * 100, 2)} for cluster, share in met.shares],
        "fault": {"status": met.fault[0], "percent": met.fault[1] * 100} if met.fault[1] else None,
        "host": met.host or None,
        "path": met.path or None,
        "endpoints": list(met.endpoints),
        "spoken": asdict(met.spoken) if met.spoken is not None else None,
        "status": met.status or None,
        "redirect": met.redirect or None,
        "authorization": [_judgement(each) for each in met.judged],
        "origins": dict(met.origins),
    }


def _judgement(said: Judgement) -> dict[str, Any]:
    origin = origin_of_rule(said.rule)
    return {
        "action": "CUSTOM" if said.asks else "AUDIT" if said.action == "LOG" else said.action,
        "allowed": said.allowed,
        "origin": str(origin) if origin is not None else None,
        "dryRun": said.tried and not said.asks,
        "asks": said.asks or None,
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "listener": place.listener,
        "filterChain": place.filter_chain,
        "virtualHost": place.virtual_host,
        "route": place.route,
        "cluster": place.cluster,
        "status": place.status or None,
        "redirect": place.location or None,
    }


def explain(mesh: Mesh, node: ProxyNode, question: Question) -> Answer:
    """Follow a request from a proxy's workload, through a gateway, or into a workload. Raises ExplainError."""
    if question.inbound and node.kind == "router":
        raise ExplainError("all that a gateway gets arrives from outside; ask without --inbound")
    call, host = _call(mesh, node, question)
    configuration = mesh.configuration(node)
    gateway = node.kind == "router"
    outcome = simulate(configuration, call, gateway=gateway)
    if outcome.fault[1] and outcome.fault[1] < 1:
        # A fault that hits some is told beside the way of the others.
        outcome = simulate(configuration, replace(call, dice=outcome.fault[1]), gateway=gateway)
    arrivals = () if question.inbound else tuple(_arrivals(mesh, node, call, outcome))
    return Answer(
        call=call,
        outcome=outcome,
        pod=f"{node.pod}.{node.namespace}",
        gateway=gateway,
        demanded=_demanded(mesh, node, question, call, outcome, arrivals),
        allowing=_allowing(mesh, node, ((f"{node.pod}.{node.namespace}", outcome), *arrivals)),
        others=_others(mesh, node, call, outcome, alternatives(configuration, call, gateway=gateway)),
        arrivals=arrivals,
        tokens=_tokens(mesh, node, outcome, arrivals),
        hint="" if question.inbound or gateway or call.address != NOBODY else _hint(mesh, node, host),
    )


def _allowing(mesh: Mesh, node: ProxyNode, met: Iterable[tuple[str, Outcome]]) -> dict[str, tuple[str, ...]]:
    """By pods, where nothing allowed a call: what could have."""
    nodes = {f"{each.pod}.{each.namespace}": each for each in (*mesh.nodes.values(), node)}
    found: dict[str, tuple[str, ...]] = {}
    for pod, outcome in met:
        denied = outcome.denied
        if denied is not None and not denied.rule:
            found[pod] = tuple(str(key) for key in mesh.allowing(nodes[pod]))
    return found


async def ask_envoy(mesh: Mesh, node: ProxyNode, answer: Answer) -> Answer:
    """The same answer with what a scratch Envoy does. Raises EnvoyError if none takes the configuration."""
    configuration, gateway = mesh.configuration(node), node.kind == "router"
    foreseen = expected(configuration, answer.call, gateway=gateway)
    async with trial(configuration, gateway=gateway) as scratch:
        found = await scratch.ask([answer.call] * (_THROWS if len(set(foreseen)) > 1 else 1))
    places = tuple(dict.fromkeys(found))
    return replace(answer, verdict=Verdict(agrees=all(place in foreseen for place in places), places=places))


def _call(mesh: Mesh, node: ProxyNode, question: Question) -> tuple[Call, str]:
    url = question.url
    nonsense = (
        f"{url!r} is not the address of a call; write for example http://reviews:9080/path, https://shop.example/, "
        "tcp://mysql:3306 or tls://db.example:5432"
    )
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port if parts.port is not None else {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError as error:  # a port that is no number, or none of 0 to 65535; half a bracket
        raise ExplainError(nonsense) from error
    if parts.scheme not in {"http", "https", "tcp", "tls"} or not parts.hostname:
        raise ExplainError(nonsense)
    if _METHOD.fullmatch(question.method) is None:
        raise ExplainError(f"{question.method!r} is not a method of HTTP; write for example GET")
    if not port:
        raise ExplainError(f"{url!r} has no port; write for example {parts.scheme}://{parts.hostname}:3306")
    given: dict[str, tuple[str, ...]] = {}
    for name, value in question.headers:
        given[name.lower()] = (*given.get(name.lower(), ()), value)
    secure, bytes_only = parts.scheme in {"https", "tls"}, parts.scheme in {"tcp", "tls"}
    host = given.pop("host", (parts.netloc.rpartition("@")[2],))[0]
    alpn: tuple[str, ...] = () if not secure or bytes_only else ("h2",) if question.http2 else ("http/1.1",)
    if question.mutual:
        alpn = OFFER_BYTES if bytes_only else OFFER_HTTP2 if question.http2 else OFFER_HTTP1
    return Call(
        port=port,
        address=node.ip if question.inbound else _address(mesh, node, parts.hostname),
        protocol="tcp" if bytes_only else "http2" if question.http2 else "http",
        tls="mtls" if question.mutual else "tls" if secure else "plaintext",
        certificate=question.certificate,
        alpn=alpn,
        sni=parts.hostname if secure or question.mutual else "",
        host="" if bytes_only else host,
        method=question.method.upper(),
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        headers=given,
        inbound=question.inbound,
        source=question.source or (OUTSIDE if question.inbound or node.kind == "router" else node.ip),
        peer=_peer(mesh, question.caller),
        now=question.now,
    ), parts.hostname


def _peer(mesh: Mesh, caller: str) -> str:
    if not caller or caller.startswith(SCHEME):
        return caller or STRANGER
    namespace, slash, account = caller.partition("/")
    if not (namespace and slash and account) or "/" in account:
        raise ExplainError(f"{caller!r} is not a caller; write NAMESPACE/SERVICEACCOUNT")
    return mesh.identity(ProxyNode(kind="sidecar", ip="", pod="", namespace=namespace, service_account=account))


def _address(mesh: Mesh, node: ProxyNode, host: str) -> str:
    """What the pod's resolver says of a name: the address of a Service or ServiceEntry, or one as it is written."""
    if host.replace(".", "").isdigit() or ":" in host:
        return host
    labels = host.removesuffix(".").split(".")
    domain = ["svc", *mesh.engine.mesh.domain.split(".")]
    namespace = labels[1] if len(labels) > 1 else node.namespace
    service = mesh.object("Service", namespace, labels[0]) if labels[2:] in ([], ["svc"], domain) else None
    if service is None:
        return mesh.entry_addresses().get(host.lower().removesuffix("."), NOBODY)
    if service.spec.cluster_ip not in {"", "None"}:
        return str(service.spec.cluster_ip)
    # Without an address of its own a name is that of its pods.
    pods = (
        each.addresses[0] for piece in mesh.slices(namespace, labels[0]) for each in piece.endpoints if each.addresses
    )
    return next(iter(sorted(pods)), NOBODY)


def _hint(mesh: Mesh, node: ProxyNode, host: str) -> str:
    """Which name may have been meant by one that nobody in the mesh has."""
    known = {name for namespace, name in mesh.services() if namespace == node.namespace}
    known |= {f"{name}.{namespace}" for namespace, name in mesh.services()} | mesh.entry_hosts()
    wide = sorted((name for name in known if is_wildcard(name)), key=len, reverse=True)
    known.difference_update(wide)
    if host.lower() in known:
        return ""
    if is_wildcard(host):
        return f"{host} stands for many names; ask for one, such as www.{host.lstrip('*.') or 'example.com'}"
    covering = next((name for name in wide if host_matches(name, host.lower())), "")
    if covering:
        return f"{host} is one of {covering}: which address it has, DNS outside of the mesh says"
    # Of what a wildcard covers, one name.
    covered = {_one_of(pattern, host.lower()): pattern for pattern in wide}
    near = get_close_matches(host.lower(), sorted(covered), n=1, cutoff=0.85)
    near = near or get_close_matches(host.lower(), sorted(known), n=1, cutoff=0.7)
    if not near and "." in host:
        return ""  # a name of the world outside
    if near and near[0] in covered:
        meant = f"; {covered[near[0]]} covers names such as {near[0]}"
    else:
        meant = f"; did you mean {near[0]}?" if near else ""
    return f"no Service or ServiceEntry that {node.pod} sees is called {host}{meant}"


def _one_of(pattern: str, host: str) -> str:
    """The name that a wildcard covers which `host` is most like."""
    first, _, rest = host.partition(".")
    tail = pattern.lstrip("*")
    if not tail.startswith("."):
        return f"{first}{tail}"
    return f"{first}{tail}" if rest.count(".") >= tail.count(".") - 1 else f"www{tail}"


def _others(
    mesh: Mesh, node: ProxyNode, call: Call, met: Outcome, routes: tuple[tuple[str, str, str], ...]
) -> tuple[tuple[str, str, str], ...]:
    """The routes beside the one taken, and the rules that the proxy has none of."""
    origins = (met.origins.get("virtual_host", ""), *(origin for _, origin, _ in routes))
    return (*routes, *left_out(mesh, Asking(node, call.port, mesh.gateways(node)), origins))


def _demanded(  # noqa: PLR0917 (an answer's parts)
    mesh: Mesh,
    node: ProxyNode,
    question: Question,
    call: Call,
    outcome: Outcome,
    arrivals: tuple[tuple[str, Outcome], ...],
) -> dict[str, PeerMode]:
    """What is demanded wherever the call arrives."""
    places = [(node, call.port)] if question.inbound else []
    nodes = {f"{each.pod}.{each.namespace}": each for each in mesh.nodes.values()}
    before = outcome
    for pod, met in arrivals:
        places.append((nodes[pod], int(before.endpoints[0].rpartition(":")[2])))
        before = met
    found = ((each, mesh.demanded(each, port)) for each, port in places)
    return {f"{each.pod}.{each.namespace}": said for each, said in found if said is not None}


def _tokens(
    mesh: Mesh, node: ProxyNode, outcome: Outcome, arrivals: tuple[tuple[str, Outcome], ...]
) -> dict[str, TokenAnswer]:
    """What is said of the token at each proxy that looks at it."""
    nodes = {f"{each.pod}.{each.namespace}": each for each in mesh.nodes.values()}
    places = [(f"{node.pod}.{node.namespace}", node, outcome), *((pod, nodes[pod], met) for pod, met in arrivals)]
    found = ((pod, token_answer(met, mesh.token_rules(each))) for pod, each, met in places)
    return {pod: said for pod, said in found if said is not None}


def _arrivals(mesh: Mesh, node: ProxyNode, call: Call, met: Outcome) -> Iterator[tuple[str, Outcome]]:
    """What happens at the first endpoint, if a proxy is in front of it, and at the next one beyond a gateway."""
    for _ in range(_HOPS):
        address, _, port = met.endpoints[0].rpartition(":") if met.endpoints else ("", "", "")
        there = next((each for each in mesh.nodes.values() if each.ip == address), None)
        if met.error or met.status or there is None or not port.isdigit():
            return
        gateway = there.kind == "router"
        headers = call.headers if met.headers is None else met.headers
        if node.kind == "router" and met.route_configuration:
            # The gateway says for whom it asks.
            headers = {**headers, "x-forwarded-for": (*headers.get("x-forwarded-for", ()), call.source)}
        call = replace(
            call, address=address, port=int(port), inbound=not gateway, source=node.ip, headers=headers,
            host=met.host or call.host, path=met.path or call.path, peer=mesh.identity(node),
        )  # fmt: skip
        if met.spoken is not None and met.spoken.tls != "plaintext":
            call = replace(call, tls=met.spoken.tls, alpn=met.spoken.alpn, sni=met.spoken.sni)
        elif call.tls != "plaintext" and met.route_configuration:
            # TLS ends at the proxy that has read the request.
            call = replace(call, tls="plaintext", alpn=(), sni="")
        met = simulate(mesh.configuration(there), call, gateway=gateway)
        yield f"{there.pod}.{there.namespace}", met
        if not gateway:
            return
        node = there
