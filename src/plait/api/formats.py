"""Values of headers that rules set: Envoy reads `%NAME%` in them, and refuses the whole configuration for a bad one."""

from __future__ import annotations

import re
from typing import Final

from plait.api.names import is_header_value

_COMMAND: Final = re.compile(r"%([A-Z][A-Z0-9_]*)(?:\(([^()%]*)\))?(?::\d{1,4})?%")
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
