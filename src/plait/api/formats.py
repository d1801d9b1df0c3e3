"""Values of headers that rules set: Envoy reads `%NAME%` in them, and refuses the whole configuration for a bad one."""

from __future__ import annotations

import re
from typing import Final

from plait.api.names import is_header_value

_COMMAND: Final = re.compile(r"%([A-Z][A-Z0-9_]*)(?:\(([^()%]*)\)(?::\d{1,4})?)?%")
_PLAIN: Final = frozenset(
    {
        "BYTES_RECEIVED",
        "CONNECTION_ID",
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_LOCAL_ADDRESS",
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_LOCAL_PORT",
        "DOWNSTREAM_LOCAL_SUBJECT",
        "DOWNSTREAM_LOCAL_URI_SAN",
        "DOWNSTREAM_PEER_CERT",
        "DOWNSTREAM_PEER_FINGERPRINT_256",
        "DOWNSTREAM_PEER_ISSUER",
        "DOWNSTREAM_PEER_SERIAL",
        "DOWNSTREAM_PEER_SUBJECT",
        "DOWNSTREAM_PEER_URI_SAN",
        "DOWNSTREAM_REMOTE_ADDRESS",
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_TLS_CIPHER",
        "DOWNSTREAM_TLS_SESSION_ID",
        "DOWNSTREAM_TLS_VERSION",
        "DURATION",
        "HOSTNAME",
        "PROTOCOL",
        "REQUESTED_SERVER_NAME",
        "RESPONSE_CODE",
        "RESPONSE_CODE_DETAILS",
        "RESPONSE_FLAGS",
        "ROUTE_NAME",
        "START_TIME",
        "UPSTREAM_CLUSTER",
        "UPSTREAM_HOST",
        "UPSTREAM_LOCAL_ADDRESS",
        "UPSTREAM_REMOTE_ADDRESS",
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        "UPSTREAM_TRANSPORT_FAILURE_REASON",
        "VIRTUAL_CLUSTER_NAME",
    }
)
#: What the access log knows besides; each with an argument or without, as the value says.
_LOG_ONLY: Final = frozenset(
    {
        "BYTES_SENT",
        "CONNECTION_TERMINATION_DETAILS",
        "REQUEST_DURATION",
        "REQUEST_TX_DURATION",
        "RESPONSE_DURATION",
        "RESPONSE_TX_DURATION",
        "ROUNDTRIP_DURATION",
        "RESPONSE_FLAGS_LONG",
        "UPSTREAM_CLUSTER_RAW",
        "UPSTREAM_REQUEST_ATTEMPT_COUNT",
        "UPSTREAM_WIRE_BYTES_RECEIVED",
        "UPSTREAM_WIRE_BYTES_SENT",
        "DOWNSTREAM_WIRE_BYTES_RECEIVED",
        "DOWNSTREAM_WIRE_BYTES_SENT",
        "FILTER_CHAIN_NAME",
        "GRPC_STATUS",
        "GRPC_STATUS_NUMBER",
        "STREAM_ID",
        "UPSTREAM_PEER_URI_SAN",
        "UPSTREAM_LOCAL_URI_SAN",
        "UPSTREAM_TLS_VERSION",
        "UPSTREAM_TLS_CIPHER",
    }
)
_LOG_HEADERS: Final = frozenset({"REQ", "RESP", "TRAILER"})
_LOG_METADATA: Final = frozenset({"DYNAMIC_METADATA", "CLUSTER_METADATA", "UPSTREAM_METADATA"})
_METADATA_ARGUMENT: Final = re.compile(r"[-A-Za-z0-9_.]+(?::[-A-Za-z0-9_.]+)*")
_TIME_ARGUMENT: Final = re.compile(r"(?:[-A-Za-z :.,/TZ]|%[YmdHMSsfjyBbeFT]|%[1-9]f)*")
_LOG_COMMAND: Final = re.compile(
    r"%START_TIME\(((?:[^()%]|%[A-Za-z0-9])*)\)%|" + r"%([A-Z][A-Z0-9_]*)(?:\(([^()%]*)\)(?::\d{1,4})?)?%"
)
_OF_HEADER: Final = frozenset({"REQ", "RESP"})
_HEADER_ARGUMENT: Final = re.compile(r":?[-A-Za-z0-9_]+(?:\?:?[-A-Za-z0-9_]+)?")


def header_format_error(text: str) -> str | None:
    """Why Envoy would not take `text` as the value of a header, or None."""
    if not is_header_value(text):
        return "a line break or NUL in the value of a header"
    at = 0
    while (at := text.find("%", at)) >= 0:
        if text.startswith("%%", at):
            at += 2
            continue
        command = _COMMAND.match(text, at)
        if command is None:
            return f"Envoy reads % as the beginning of a variable: {text[at : at + 20]!r}"
        name, argument = command.group(1), command.group(2)
        plain = name in _PLAIN and argument is None
        if not plain and not (name in _OF_HEADER and argument and _HEADER_ARGUMENT.fullmatch(argument)):
            return f"{command.group()!r} is not a variable that can be used here"
        at = command.end()
    return None


def log_format_error(text: str) -> str | None:
    """Why Envoy would not take `text` as the format of an access log (or of one field of it), or None."""
    if "\0" in text:
        return "a NUL in the format"
    at = 0
    while (at := text.find("%", at)) >= 0:
        if text.startswith("%%", at):
            at += 2
            continue
        command = _LOG_COMMAND.match(text, at)
        if command is None:
            return f"Envoy reads % as the beginning of a variable: {text[at : at + 20]!r}"
        if not _is_log_variable(command):
            return f"{command.group()!r} is not a variable of the access log"
        at = command.end()
    return None


def _is_log_variable(command: re.Match[str]) -> bool:
    name, argument = command.group(2), command.group(3)
    if name is None:
        return _TIME_ARGUMENT.fullmatch(command.group(1)) is not None
    if argument is None:
        return name in _PLAIN or name in _LOG_ONLY
    if name in _LOG_HEADERS:
        return _HEADER_ARGUMENT.fullmatch(argument) is not None
    if name == "METADATA":
        kind, _, rest = argument.partition(":")
        return kind in {"ROUTE", "CLUSTER", "DYNAMIC", "UPSTREAM_HOST"} and bool(_METADATA_ARGUMENT.fullmatch(rest))
    return name in _LOG_METADATA and _METADATA_ARGUMENT.fullmatch(argument) is not None
