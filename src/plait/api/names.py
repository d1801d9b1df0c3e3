"""Names: DNS labels, hosts with wildcards, HTTP header names. Predicates only; nothing here knows an object."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

_LABEL: Final = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_HOST_LABEL: Final = re.compile(r"[a-zA-Z0-9_](?:[-a-zA-Z0-9_]{0,61}[a-zA-Z0-9_])?")
#: RFC 9110 token: what Envoy accepts as the name of a header.
_HEADER: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")


def is_dns_label(text: str) -> bool:
    """Whether `text` is one label of a DNS name (RFC 1123)."""
    return _LABEL.fullmatch(text) is not None


def is_hostname(text: str) -> bool:
    """Whether `text` is a DNS name without a wildcard; a final dot is allowed."""
    text = text.removesuffix(".")
    return 0 < len(text) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in text.split("."))


def is_wildcard_host(text: str) -> bool:
    """Whether `text` is `*`, `*.domain` or a plain host name."""
    if text in {"*", "*."}:
        return text == "*"
    return is_hostname(text.removeprefix("*."))


def is_ip(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address, without a zone."""
    if "%" in text:
        return False
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_header_name(text: str) -> bool:
    """Whether `text` can be the name of an HTTP header."""
    return _HEADER.fullmatch(text) is not None


def is_header_value(text: str) -> bool:
    """Whether `text` can be the value of an HTTP header: no NUL, CR or LF."""
    return not any(mark in text for mark in "\0\r\n")


def is_port(number: int) -> bool:
    """Whether `number` is a TCP port one can name."""
    return 1 <= number <= 65535
