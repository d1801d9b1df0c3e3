"""What Envoy's response flags mean to somebody who looks for a fault in the mesh. Data only.

The set is that of Envoy's access log filter (`ResponseFlagFilter.flags`); a line may carry several, with commas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `cause` is what usually stands behind it in a mesh, `look` what to look at next.

    `look` may have the places {pod} (POD.NAMESPACE of the proxy that wrote the line), {cluster} and {host} (the
    upstream cluster's name in Envoy, and its host).
    """

    name: str
    title: str
    meaning: str
    cause: str
    look: str


_FLAGS: Final = (
    Flag(
        "UH",
        "no healthy upstream",
        "the route was found, but its cluster has no endpoint that may be used",
        "no pod is ready, the subset's labels match no pod, or outlier detection has ejected all of them",
        "plait proxy-config endpoint {pod} --cluster '{cluster}'; kubectl get pods --show-labels",
    ),
    Flag(
        "UF",
        "upstream connection failure",
        "no connection to the endpoint could be made",
        "the port in the Service is not the one the application listens on, the pod has just died, or one side expects "
        "mutual TLS and the other does not speak it",
        "the text in quotes after the flags says why; plait proxy-config endpoint {pod} --cluster '{cluster}'",
    ),
    Flag(
        "UO",
        "upstream overflow",
        "a circuit breaker was full, so the request was refused without being sent",
        "more connections, pending requests or requests at once than connectionPool in the DestinationRule allows",
        "plait get destinationrules -A -o yaml: trafficPolicy.connectionPool of {host}; "
        "counter upstream_rq_pending_overflow of the cluster",
    ),
    Flag(
        "NR",
        "no route found",
        "no route matched the request, or no filter chain the connection; the answer is 404",
        "the host or path is in no VirtualService of this gateway, the Gateway has no server for the port or host, or "
        "the VirtualService names another gateway",
        "plait proxy-config route {pod}; plait get gateways,virtualservices -A",
    ),
    Flag(
        "NC",
        "upstream cluster not found",
        "the route leads to a cluster that does not exist; the answer is 503",
        "the VirtualService names a subset that no DestinationRule defines (often a rule replaced by one without "
        "subsets), or a host that is no Service",
        "plait get destinationrules -A: subsets of {host}; plait proxy-config cluster {pod}",
    ),
    Flag(
        "URX",
        "retries or connection attempts used up",
        "the request was tried as often as allowed and failed each time (TCP: max_connect_attempts)",
        "an application that keeps failing; look at the flag beside it, which tells about the last attempt",
        "retries in the VirtualService; kubectl logs of {host}",
    ),
    Flag(
        "UC",
        "upstream connection terminated",
        "the other end closed the connection before it had answered; the answer is 503",
        "the application crashed, was being stopped, or closes idle connections sooner than the proxy uses them again",
        "kubectl logs --previous of {host}; idleTimeout in its DestinationRule; retries with retryOn: reset",
    ),
    Flag(
        "UR",
        "upstream reset",
        "the other end reset the stream",
        "the application, or the sidecar before it, gave up on this one request",
        "plait logs --proxy of the pod that was called: it tells why",
    ),
    Flag(
        "UT",
        "upstream request timeout",
        "no answer within the time the route allows; the answer is 504",
        "timeout in the VirtualService is shorter than the application (or a delay fault after it) takes",
        "plait proxy-config route {pod} -o json: timeout; timeout in the VirtualService of {host}",
    ),
    Flag(
        "UPE",
        "upstream protocol error",
        "what the other end sent is not the protocol the proxy expects",
        "a port named http- or http2- that speaks something else, or HTTP/2 asked of an HTTP/1 server",
        "the port's name or appProtocol in the Service of {host}",
    ),
    Flag(
        "UMSDR",
        "upstream maximum stream duration reached",
        "the stream was open longer than allowed",
        "a long stream (gRPC, server-sent events) through a route or cluster with a maximum duration",
        "connectionPool.http and timeout of {host}",
    ),
    Flag(
        "DC",
        "downstream connection terminated",
        "the caller went away before it had the answer",
        "a client that timed out, was cancelled or stopped: what is slow is behind this proxy",
        "the duration in the line; the caller's own timeout",
    ),
    Flag(
        "DR",
        "downstream reset",
        "the caller reset its stream before it had the answer",
        "a client that cancelled this request (gRPC deadline, a closed browser tab)",
        "the duration in the line; the caller's own timeout",
    ),
    Flag(
        "DPE",
        "downstream protocol error",
        "what the caller sent is not valid HTTP; the answer is 400",
        "TLS or another protocol to a plain HTTP port, or a broken client",
        "the port's name or appProtocol in the Service; the scheme of the caller's URL",
    ),
    Flag(
        "DI",
        "delay injected",
        "the mesh held the request back",
        "fault.delay in a VirtualService",
        "plait get virtualservices -A -o yaml: fault.delay for {host}",
    ),
    Flag(
        "FI",
        "fault injected",
        "the mesh answered by itself with the status it was told to",
        "fault.abort in a VirtualService",
        "plait get virtualservices -A -o yaml: fault.abort for {host}",
    ),
    Flag(
        "RL",
        "rate limited",
        "a rate limit refused the request; the answer is 429",
        "more requests than a local or global rate limit allows",
        "the rate limit's own configuration (EnvoyFilter)",
    ),
    Flag(
        "RLSE",
        "rate limit service error",
        "the rate limit service could not be asked, and the filter is told to refuse then",
        "the rate limit service is down or unreachable",
        "kubectl get pods of the rate limit service",
    ),
    Flag(
        "UAEX",
        "refused by external authorization",
        "the external authorization service refused the request, or could not be asked",
        "an AuthorizationPolicy with action CUSTOM, or its provider is down",
        "plait get authorizationpolicies -A; logs of the provider",
    ),
    Flag(
        "LH",
        "local health check failed",
        "the proxy's own service failed its health check",
        "the proxy is draining, or its health check filter was told to fail",
        "kubectl get pods; kubectl logs -c istio-proxy of {pod}",
    ),
    Flag(
        "LR",
        "local reset",
        "this proxy reset the connection",
        "a limit or timeout of this proxy was reached while the answer was on its way",
        "kubectl logs -c istio-proxy of {pod}",
    ),
    Flag(
        "IH",
        "invalid x-envoy header",
        "the caller sent an x-envoy-* header that this proxy takes strictly, with a bad value; the answer is 400",
        "a client that sets Envoy's own headers",
        "the headers the caller sends",
    ),
    Flag(
        "SI",
        "stream idle timeout",
        "nothing moved on the stream for too long; the answer is 408 or 504",
        "a caller that does not finish its request, or an application that stalls in the middle of an answer",
        "the duration in the line; kubectl logs of {host}",
    ),
    Flag(
        "DT",
        "duration timeout",
        "the connection or request was open longer than its maximum",
        "maxConnectionDuration or a maximum stream duration",
        "connectionPool.tcp.maxConnectionDuration in the DestinationRule of {host}",
    ),
    Flag(
        "DF",
        "DNS resolution failed",
        "the name of the endpoint could not be resolved; the answer is 503",
        "a ServiceEntry with resolution: DNS whose host does not exist, or DNS does not answer",
        "plait get serviceentries -A; getent hosts {host} inside the pod",
    ),
    Flag(
        "DO",
        "drop overload",
        "a share of the requests is dropped as the endpoints' configuration says (drop_overload)",
        "endpoints delivered with a drop policy",
        "plait proxy-config endpoint {pod} --cluster '{cluster}' -o json",
    ),
    Flag(
        "UDO",
        "unconditional drop overload",
        "all requests are dropped as the endpoints' configuration says (drop_overload of 100 %)",
        "endpoints delivered with a drop policy",
        "plait proxy-config endpoint {pod} --cluster '{cluster}' -o json",
    ),
    Flag(
        "OM",
        "overload manager",
        "the proxy was short of memory or connections and refused the request",
        "a limit of the proxy's overload manager",
        "kubectl logs -c istio-proxy of {pod}; sidecar.istio.io/proxyMemoryLimit",
    ),
    Flag(
        "RFCF",
        "response from cache filter",
        "the answer came from the proxy's cache; no fault",
        "a cache filter (EnvoyFilter)",
        "nothing to do",
    ),
    Flag(
        "NFCF",
        "no filter configuration found",
        "a filter's configuration was to be delivered apart and is missing; the answer is 500",
        "an extension (WasmPlugin) that could not be fetched or delivered",
        "kubectl logs -c istio-proxy of {pod}",
    ),
)

FLAGS: Final = {flag.name: flag for flag in _FLAGS}

#: The beginning of those of AuthorizationPolicies.
RBAC: Final = "rbac_access_denied"
#: Beginnings of %RESPONSE_CODE_DETAILS% that say something no flag says.
DETAILS: Final = {
    "jwt_authn_access_denied": "refused by a RequestAuthentication: the token is missing, expired or not valid",
    "ext_authz_denied": "refused by the external authorization service",
    "ext_authz_error": "the external authorization service could not be asked",
    "direct_response": "answered by the mesh itself: a redirect or directResponse in a VirtualService",
    "fault_filter_abort": "answered by fault.abort in a VirtualService",
    "request_payload_too_large": "the request's body is larger than a filter of the proxy may hold",
    "request_headers_too_large": "the request's headers are larger than the proxy takes (60 KiB)",
    "downstream_local_disconnect": "this proxy closed the caller's connection",
    "internal_redirect": "followed a redirect inside the proxy",
    "filter_chain_not_found": "no filter chain takes this connection: with TLS, often a server name no Gateway has",
    "maintenance_mode": "the cluster is in maintenance mode (runtime upstream.maintenance_mode)",
}
