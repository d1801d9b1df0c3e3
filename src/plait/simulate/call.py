"""A call as somebody makes it, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from plait.simulate.judgement import Judgement, refusal
from plait.simulate.token_judgement import TokenJudgement
from plait.simulate.upstream import Spoken

#: Some address that nobody owns.
NOBODY = "1.3.3.7"
#: A workload of the mesh that nobody has named: handshakes take it, and policies know nothing of it.
STRANGER: Final = "spiffe://cluster.local/ns/trial/sa/trial"

Error = Literal[
    "no listener",
    "no filter chain",
    "multiple filter chains",
    "invalid tls",
    "invalid mtls",
    "protocol error",
    "no virtual host",
    "no route",
    "tls redirect 301",
    "unknown filter",
    "access denied",
    "token refused",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One connection with one request on it.

    `inbound` says that it is on its way into the workload; otherwise it leaves the workload, or arrives at a gateway.
    `tls`: plaintext, TLS of anybody's, or mutual TLS of the mesh. `alpn` and `sni` are those of the handshake. The
    names in `headers` are in lower case; `source` is the caller's address.
    """

    port: int
    address: str = NOBODY
    protocol: Literal["tcp", "http", "http2"] = "tcp"
    tls: Literal["plaintext", "tls", "mtls"] = "plaintext"
    alpn: tuple[str, ...] = ()
    sni: str = ""
    host: str = ""
    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inbound: bool = False
    source: str = "10.0.0.1"
    #: Whether the caller of ordinary TLS shows a certificate that the server trusts.
    certificate: bool = False
    #: The server certificate that a caller of mutual TLS takes for the mesh's own, by the name of its secret.
    mesh_certificate: str = "default"
    #: Whom the caller's certificate names, in mutual TLS or where ordinary TLS has one.
    peer: str = STRANGER
    #: What filters have noted of the request before anybody decides over it, by their names: the claims of a token.
    metadata: Mapping[str, Any] = field(default_factory=dict)
    #: The time of day, in seconds since the epoch: tokens end.
    now: float = 0.0
    #: Where the dice fall, 0 up to 1, wherever Envoy throws them: weighted destinations, shares of requests, faults.
    dice: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was met on the way, by the names that Envoy has for it; empty where the way did not lead.

    `route_number` counts the routes of the virtual host from 0. `status` is that of an answer of the proxy's own
    (0: the request goes on), `redirect` where it leads. `host` and `path` are what the destination gets to see.
    `shares` are the destinations among which dice decide, with their parts of 1. `fault` is the status and the share
    of an injected fault, told whether or not the dice hit it. `spoken` is how the first endpoint is called. `origins`
    say, for each stage that has one, which object decided and at which path: `VirtualService/shop/web spec.http[0]`.
    `judged` is what the filters of authorization say, up to the one that refuses.
    `tokens` is what was said of the request's tokens; None: nobody looks at them. `headers` are those of the call as
    the next one gets to see them; None: as they were.
    """

    error: Error | None = None
    listener: str = ""
    filter_chain: str = ""
    route_configuration: str = ""
    virtual_host: str = ""
    route: str = ""
    route_number: int | None = None
    cluster: str = ""
    endpoints: tuple[str, ...] = ()
    status: int = 0
    redirect: str = ""
    host: str = ""
    path: str = ""
    shares: tuple[tuple[str, float], ...] = ()
    fault: tuple[int, float] = (0, 0.0)
    spoken: Spoken | None = None
    judged: tuple[Judgement, ...] = ()
    tokens: TokenJudgement | None = None
    headers: Mapping[str, tuple[str, ...]] | None = None
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def denied(self) -> Judgement | None:
        """The judgement by which the call was refused."""
        return refusal(self.judged)
