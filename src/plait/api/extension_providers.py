"""`extensionProviders` of Istio's MeshConfig: who is asked by AuthorizationPolicies with the action CUSTOM."""

from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import msgspec

from plait.api.validate.findings import Findings

#: Statuses that Envoy has a name for: Python's, but for those that say that one goes on.
STATUSES: Final = frozenset({100, *(int(each) for each in HTTPStatus if each >= 200)}) - {418, 425, 451}


#: Envoy takes some years more, and nobody waits for that.
_LONGEST: Final = timedelta(days=1)


class RequestBody(msgspec.Struct, frozen=True, rename="camel"):
    """How much of a request's body is shown."""

    max_request_bytes: int = 0
    allow_partial_message: bool = False
    pack_as_bytes: bool = False


class ExtAuthzHTTP(msgspec.Struct, frozen=True, rename="camel"):
    """A server that is asked by a request like the one that came, and whose answer of 200 lets it through.

    `include_headers_in_check` is the former name of `include_request_headers_in_check`.
    """

    service: str = ""
    port: int = 0
    timeout: str | None = None
    path_prefix: str = ""
    fail_open: bool = False
    clear_route_cache: bool = False
    status_on_error: str = ""
    include_headers_in_check: tuple[str, ...] = ()
    include_request_headers_in_check: tuple[str, ...] = ()
    include_additional_headers_in_check: dict[str, str] = {}
    include_request_body_in_check: RequestBody | None = None
    headers_to_upstream_on_allow: tuple[str, ...] = ()
    headers_to_downstream_on_deny: tuple[str, ...] = ()
    headers_to_downstream_on_allow: tuple[str, ...] = ()


class ExtAuthzGRPC(msgspec.Struct, frozen=True, rename="camel"):
    """A server that is asked by Envoy's own protocol (`envoy.service.auth.v3.Authorization`)."""

    service: str = ""
    port: int = 0
    timeout: str | None = None
    fail_open: bool = False
    clear_route_cache: bool = False
    status_on_error: str = ""
    include_request_body_in_check: RequestBody | None = None


class ExtensionProvider(msgspec.Struct, frozen=True, rename="camel"):
    """One provider: a name, and one of its kinds."""

    name: str = ""
    envoy_ext_authz_http: ExtAuthzHTTP | None = None
    envoy_ext_authz_grpc: ExtAuthzGRPC | None = None


def validate_providers(path: str, providers: tuple[ExtensionProvider, ...], findings: Findings) -> None:
    """As Istio does; a policy that asks one which is wrong denies what it matches."""
    seen: set[str] = set()
    for index, provider in enumerate(providers):
        here = f"{path}[{index}]"
        if not provider.name:
            findings.error(f"{here}.name", "a provider without a name", fix="the name that policies say")
        elif provider.name in seen:
            findings.error(f"{here}.name", f"another provider is called {provider.name!r}", fix="a name of its own")
        seen.add(provider.name)
        kinds = (
            ("envoyExtAuthzHttp", provider.envoy_ext_authz_http),
            ("envoyExtAuthzGrpc", provider.envoy_ext_authz_grpc),
        )
        given = [(name, server) for name, server in kinds if server is not None]
        if len(given) > 1:
            findings.error(here, "envoyExtAuthzHttp and envoyExtAuthzGrpc exclude each other", fix="one of them")
        for name, server in given:
            _server(f"{here}.{name}", server, findings)


def _server(path: str, server: ExtAuthzHTTP | ExtAuthzGRPC, findings: Findings) -> None:
    namespace, slash, host = server.service.rpartition("/")
    if not host or (slash and not namespace) or "*" in server.service or "/" in namespace:
        text = f"{server.service!r} is not a host" if server.service else "a host is missing"
        fix = "HOST or NAMESPACE/HOST, for example ext-authz.foo.svc.cluster.local"
        findings.error(f"{path}.service", text, fix=fix, value=server.service or None)
    if not 1 <= server.port <= 65535:
        findings.error(f"{path}.port", f"{server.port} is not a port", fix="1 to 65535", value=server.port)
    findings.duration(f"{path}.timeout", server.timeout, maximum=_LONGEST)
    body = server.include_request_body_in_check
    if body is not None:
        findings.integer(
            f"{path}.includeRequestBodyInCheck.maxRequestBytes", body.max_request_bytes, low=1, high=2**32 - 1
        )
    status = server.status_on_error
    if status and not (status.isascii() and status.isdigit() and int(status) in STATUSES):
        findings.error(f"{path}.statusOnError", f"{status!r} is not a status", fix='for example "403"', value=status)
    if not isinstance(server, ExtAuthzHTTP):
        return
    if server.path_prefix and not server.path_prefix.startswith("/"):
        text = f"{server.path_prefix!r} does not begin with /"
        findings.error(f"{path}.pathPrefix", text, fix=f"/{server.path_prefix}", value=server.path_prefix)
    for name, value in server.include_additional_headers_in_check.items():
        here = f"{path}.includeAdditionalHeadersInCheck[{name}]"
        findings.header_name(here, name)
        if re.search(r"[\x00\r\n]", value):
            findings.error(here, f"{value!r} has several lines", fix="a text of one line", value=value)
    for name, headers in (
        ("includeHeadersInCheck", server.include_headers_in_check),
        ("includeRequestHeadersInCheck", server.include_request_headers_in_check),
        ("headersToUpstreamOnAllow", server.headers_to_upstream_on_allow),
        ("headersToDownstreamOnDeny", server.headers_to_downstream_on_deny),
        ("headersToDownstreamOnAllow", server.headers_to_downstream_on_allow),
    ):
        for index, header in enumerate(headers):
            if header == "*":
                findings.error(f"{path}.{name}[{index}]", "all headers at once", fix="x-* or *-x", value=header)
