"""Values of headers and formats of access logs: Envoy reads `%NAME%` in them, and refuses everything for a bad one.

The tables are what Envoy 1.40 takes; one list serves both, since headers are formatted as access logs are.
"""

from __future__ import annotations

import re
from typing import Final

#: Istio: a tab is the only one that a value may have.
_CONTROL: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
#: Envoy: a name, an argument in parentheses, and after that the greatest length.
_COMMAND: Final = re.compile(r"%([A-Z][A-Z0-9_]*)(?:\((.*?)\)(?::(\d+))?)?%")


def _sides(*suffixes: str) -> list[str]:
    return [f"{side}_{suffix}" for side in ("DOWNSTREAM", "UPSTREAM") for suffix in suffixes]


_PLAIN: Final = frozenset(
    [
        *_sides(
            "DETECTED_CLOSE_TYPE", "HEADER_BYTES_RECEIVED", "HEADER_BYTES_SENT", "LOCAL_ADDRESS", "LOCAL_DNS_SAN",
            "LOCAL_ADDRESS_WITHOUT_PORT", "LOCAL_PORT", "LOCAL_URI_SAN", "PEER_CERT", "PEER_DNS_SAN", "PEER_ISSUER",
            "PEER_SUBJECT", "PEER_URI_SAN", "REMOTE_ADDRESS", "REMOTE_ADDRESS_WITHOUT_PORT", "REMOTE_PORT",
            "TLS_CIPHER", "TLS_SESSION_ID", "TLS_VERSION", "TRANSPORT_FAILURE_REASON", "WIRE_BYTES_RECEIVED",
            "WIRE_BYTES_SENT",
        ),
        "ACCESS_LOG_TYPE", "BYTES_RECEIVED", "BYTES_RETRANSMITTED", "BYTES_SENT", "CONNECTION_ID",
        "CONNECTION_TERMINATION_DETAILS", "CUSTOM_FLAGS", "DOWNSTREAM_DIRECT_LOCAL_ADDRESS",
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_DIRECT_LOCAL_PORT",
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_DIRECT_REMOTE_PORT", "DOWNSTREAM_HANDSHAKE_DURATION", "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID",
        "DOWNSTREAM_LOCAL_EMAIL_SAN", "DOWNSTREAM_LOCAL_IP_SAN", "DOWNSTREAM_LOCAL_SUBJECT",
        "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256",
        "DOWNSTREAM_PEER_CHAIN_SERIALS", "DOWNSTREAM_PEER_EMAIL_SAN", "DOWNSTREAM_PEER_FINGERPRINT_1",
        "DOWNSTREAM_PEER_FINGERPRINT_256", "DOWNSTREAM_PEER_IP_SAN", "DOWNSTREAM_PEER_OTHERNAME_SAN",
        "DOWNSTREAM_PEER_SERIAL", "DURATION", "FILTER_CHAIN_NAME", "GRPC_STATUS", "GRPC_STATUS_NUMBER", "HOSTNAME",
        "LOCAL_REPLY_BODY", "PACKETS_RETRANSMITTED", "PATH", "PROTOCOL", "QUERY_PARAMS", "REQUESTED_SERVER_NAME",
        "REQUEST_DURATION", "REQUEST_HEADERS_BYTES", "REQUEST_TX_DURATION", "RESPONSE_CODE", "RESPONSE_CODE_DETAILS",
        "RESPONSE_DURATION", "RESPONSE_FLAGS", "RESPONSE_FLAGS_LONG", "RESPONSE_HEADERS_BYTES",
        "RESPONSE_TRAILERS_BYTES", "RESPONSE_TX_DURATION", "ROUNDTRIP_DURATION", "ROUTE_NAME", "SPAN_ID", "STREAM_ID",
        "TLS_JA3_FINGERPRINT", "TLS_JA4_FINGERPRINT", "TRACE_ID", "UNIQUE_ID", "UPSTREAM_CLUSTER",
        "UPSTREAM_CLUSTER_RAW", "UPSTREAM_CONNECTION_ID", "UPSTREAM_CONNECTION_POOL_READY_DURATION", "UPSTREAM_HOST",
        "UPSTREAM_HOSTS_ATTEMPTED", "UPSTREAM_HOST_NAME", "UPSTREAM_HOST_NAME_WITHOUT_PORT", "UPSTREAM_PROTOCOL",
        "UPSTREAM_REQUEST_ATTEMPT_COUNT", "VIRTUAL_CLUSTER_NAME",
    ]
)  # fmt: skip
#: A point in time, with an argument for how it is written or without.
_TIMES: Final = frozenset(
    {"START_TIME", "START_TIME_LOCAL", "EMIT_TIME", "EMIT_TIME_LOCAL", "DOWNSTREAM_PEER_CERT_V_START",
     "DOWNSTREAM_PEER_CERT_V_END", "UPSTREAM_PEER_CERT_V_START", "UPSTREAM_PEER_CERT_V_END"}
)  # fmt: skip
_HEADER: Final = r":?[-!#$%&'*+.^_`|~A-Za-z0-9]+(?:\?(?::?[-!#$%&'*+.^_`|~A-Za-z0-9]+)?)?"
_ANY: Final = r".+"
#: Variables with an argument, and what it looks like; those of the second table are there without one as well.
_ARGUMENTS: Final = {
    name: re.compile(pattern, re.DOTALL)
    for pattern, names in (
        (_HEADER, ("REQ", "RESP", "TRAILER", "REQUEST_HEADER", "RESPONSE_HEADER")),
        # Names with colons between, or a list of texts as JSON has it.
        (_ANY, ("DYNAMIC_METADATA", "CLUSTER_METADATA", "UPSTREAM_METADATA")),
        (r"(?:ROUTE|CLUSTER|DYNAMIC|UPSTREAM_HOST|LISTENER|VIRTUAL_HOST|LISTENER_FILTER_CHAIN)(?::.*)?", ("METADATA",)),
        (r"[^:]+(?::(?:PLAIN|TYPED|FIELD:.+)?)?", ("FILTER_STATE", "UPSTREAM_FILTER_STATE")),
        (_ANY, ("QUERY_PARAM", "ENVIRONMENT")),
        (r"[^:]+", ("PER_REQUEST_STATE",)),
        (r"[^:]*:[^:]*(?::(?:ms|us|ns))?", ("COMMON_DURATION",)),
    )
    for name in names
}
_OPTIONAL: Final = {
    name: re.compile(pattern, re.DOTALL)
    for pattern, names in (
        (r".*", (*_TIMES, "RESPONSE_CODE_DETAILS")),
        (r"(?:WQ|NQ)?(?::(?:ORIG|PATH|ORIG_OR_PATH)?)?", ("PATH",)),
        (r"ORIG|DECODED", ("QUERY_PARAMS",)),
        (r"CAMEL_STRING|SNAKE_STRING|NUMBER", ("GRPC_STATUS",)),
    )
    for name in names
}
#: Whose text can be cut off.
_CUT: Final = frozenset(
    {"REQ", "RESP", "TRAILER", "REQUEST_HEADER", "RESPONSE_HEADER", "DYNAMIC_METADATA", "METADATA", "FILTER_STATE",
     "UPSTREAM_FILTER_STATE", "QUERY_PARAM", "ENVIRONMENT", "PATH", "QUERY_PARAMS"}
)  # fmt: skip


def header_format_error(text: str) -> str | None:
    """Why Envoy would not take `text` as the value of a header, or None."""
    if _CONTROL.search(text):
        return "a line break or another control character in the value of a header"
    return _format_error(text)


def log_format_error(text: str) -> str | None:
    """Why Envoy would not take `text` as the format of an access log (or of one field of it), or None."""
    return "a NUL in the format" if "\0" in text else _format_error(text)


def _format_error(text: str) -> str | None:
    at = 0
    while (at := text.find("%", at)) >= 0:
        if text.startswith("%%", at):
            at += 2
            continue
        command = _COMMAND.match(text, at)
        if command is None:
            return f"Envoy reads % as the beginning of a variable: {text[at : at + 20]!r}"
        if not _is_variable(*command.groups()):
            return f"{command.group()!r} is not a variable that can be used here"
        at = command.end()
    return None


def _is_variable(name: str, argument: str | None, length: str | None) -> bool:
    if length is not None and name not in _CUT:
        return False
    if argument is None:
        return name in _PLAIN or name in _TIMES
    pattern = _ARGUMENTS.get(name) or _OPTIONAL.get(name)
    return pattern is not None and pattern.fullmatch(argument) is not None
