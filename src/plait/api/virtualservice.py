"""networking.istio.io VirtualService, in full. Durations stay text here; `durations.parse_duration` reads them.

Of a string match exactly one of the forms is set; all empty means "present" (header and query matches only).
"""

from __future__ import annotations

import msgspec

from plait.api.meta import Metadata


class StringMatch(msgspec.Struct, frozen=True):
    """How a text is compared; `regex` must match the whole text (RE2)."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


class PortSelector(msgspec.Struct, frozen=True):
    """A port by number. A `name` is what an Ingress may give instead; Istio's own kinds have none."""

    number: int = 0
    name: str = ""


class Destination(msgspec.Struct, frozen=True):
    """Where traffic goes; a short `host` is completed with the namespace of the object it stands in."""

    host: str = ""
    subset: str = ""
    port: PortSelector | None = None


class HeaderOperations(msgspec.Struct, frozen=True):
    """Headers to set (replace), add and remove."""

    set: dict[str, str] = {}
    add: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class Headers(msgspec.Struct, frozen=True):
    """Header changes of the request on its way out and of the response on its way back."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class RouteDestination(msgspec.Struct, frozen=True):
    """A destination's share of the traffic. Without a weight a single destination gets all of it."""

    destination: Destination = Destination()
    weight: int = 0
    headers: Headers | None = None


class HTTPMatchRequest(msgspec.Struct, frozen=True, rename="camel"):
    """All conditions set must hold (AND)."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[str, StringMatch] = {}
    without_headers: dict[str, StringMatch] = {}
    query_params: dict[str, StringMatch] = {}
    ignore_uri_case: bool = False
    port: int = 0
    source_labels: dict[str, str] = {}
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()
    stat_prefix: str = ""


class RegexRewrite(msgspec.Struct, frozen=True):
    """Replace what `match` finds in the path by `rewrite`, where a backslash and a number stand for a group."""

    match: str = ""
    rewrite: str = ""


class HTTPRewrite(msgspec.Struct, frozen=True, rename="camel"):
    """Change the path (its matched part) and the authority on the way to the destination."""

    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None


class HTTPRedirect(msgspec.Struct, frozen=True, rename="camel"):
    """Answer with a redirect."""

    uri: str = ""
    authority: str = ""
    port: int | None = None
    derive_port: str = ""
    scheme: str = ""
    redirect_code: int = 0
    prefix_rewrite: str = ""


class HTTPBody(msgspec.Struct, frozen=True):
    """A body as text, or as base64."""

    string: str | None = None
    bytes: str | None = None


class HTTPDirectResponse(msgspec.Struct, frozen=True):
    """Answer without asking anybody."""

    status: int = 0
    body: HTTPBody | None = None


class Delegate(msgspec.Struct, frozen=True):
    """Another VirtualService that holds the details."""

    name: str = ""
    namespace: str = ""


class HTTPRetry(msgspec.Struct, frozen=True, rename="camel"):
    """How often and when a failed request is sent again; attempts 0 switches retries off."""

    attempts: int = 0
    per_try_timeout: str | None = None
    retry_on: str = ""
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: str | None = None


class Percent(msgspec.Struct, frozen=True):
    """A share, 0.0 to 100.0."""

    value: float = 0.0


class Delay(msgspec.Struct, frozen=True, rename="camel"):
    """A fixed delay for a share of the requests; `percent` is the 1.0-era form."""

    fixed_delay: str | None = None
    exponential_delay: str | None = None
    percentage: Percent | None = None
    percent: int | None = None


class Abort(msgspec.Struct, frozen=True, rename="camel"):
    """An error answer for a share of the requests; `percent` is the 1.0-era form."""

    http_status: int | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None
    percent: int | None = None


class HTTPFaultInjection(msgspec.Struct, frozen=True):
    """Faults made on purpose."""

    delay: Delay | None = None
    abort: Abort | None = None


class HTTPMirrorPolicy(msgspec.Struct, frozen=True):
    """A copy of the traffic for another destination."""

    destination: Destination = Destination()
    percentage: Percent | None = None


class CorsPolicy(msgspec.Struct, frozen=True, rename="camel"):
    """Cross-origin rules; `allow_origin` is the 1.0-era form of `allow_origins`."""

    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: str | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: str = ""


class HTTPRoute(msgspec.Struct, frozen=True, rename="camel"):
    """One rule: the first whose match holds is used; no match means every request."""

    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[RouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: str | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    mirror_percent: int | None = None
    mirror_percent_snake: int | None = msgspec.field(default=None, name="mirror_percent")
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None

    @property
    def old_mirror_percent(self) -> int | None:
        """The share of `mirror` in the form of 1.0, in either spelling that Istio's schema has."""
        return self.mirror_percent if self.mirror_percent is not None else self.mirror_percent_snake


class TLSMatch(msgspec.Struct, frozen=True, rename="camel"):
    """A match of a TLS rule."""

    sni_hosts: tuple[str, ...] = ()
    destination_subnets: tuple[str, ...] = ()
    port: int = 0
    source_labels: dict[str, str] = {}
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


class TLSRoute(msgspec.Struct, frozen=True):
    """Traffic chosen by SNI."""

    match: tuple[TLSMatch, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class L4Match(msgspec.Struct, frozen=True, rename="camel"):
    """A match of a TCP rule."""

    destination_subnets: tuple[str, ...] = ()
    port: int = 0
    source_subnet: str = ""
    source_labels: dict[str, str] = {}
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


class TCPRoute(msgspec.Struct, frozen=True):
    """Opaque connections."""

    match: tuple[L4Match, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class VirtualServiceSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What callers of `hosts` get. Without `gateways` it holds for the sidecars (`mesh`)."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    export_to: tuple[str, ...] = ()


class VirtualService(msgspec.Struct, frozen=True):
    """networking.istio.io VirtualService, any version."""

    metadata: Metadata
    spec: VirtualServiceSpec = VirtualServiceSpec()
